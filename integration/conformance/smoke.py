"""Plain boto3 and the AWS CLI against the region, told of it by AWS_ENDPOINT_URL and credentials in
the environment alone, as a person at a shell would.

Ends with 1, and says what was wanted, when anything is not as it should be.
"""

import json
import os
import subprocess
import sys
import tempfile
import urllib.request

import boto3
from botocore.config import Config

BUCKET = "smoke-bucket"
HERE = {"LocationConstraint": "eu-west-1"}


def main():
    clients()
    presigned()
    large_and_streamed()
    command_line()
    print("boto3 and the AWS CLI work")


def clients():
    """Every service, with clients that know nothing but their names."""
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration=HERE)
    s3.put_object(Bucket=BUCKET, Key="prod/a", Body=b"hello")
    equal(s3.get_object(Bucket=BUCKET, Key="prod/a")["Body"].read(), b"hello")
    equal(boto3.client("sts").get_caller_identity()["Arn"], "arn:aws:iam::123456789012:user/operator")
    equal(boto3.client("ec2").describe_instances()["Reservations"], [])


def presigned():
    """URLs that a plain HTTP client uses, for both directions. Without being told boto3 makes them
    by Signature Version 2, which AWS has turned off."""
    s3 = boto3.client("s3", config=Config(signature_version="s3v4"))
    url = s3.generate_presigned_url("put_object", Params={"Bucket": BUCKET, "Key": "by url &"}, ExpiresIn=60)
    put = urllib.request.Request(url, data=b"sent", method="PUT", headers={"Content-Type": ""})
    equal(urllib.request.urlopen(put).status, 200)
    url = s3.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "by url &"}, ExpiresIn=60)
    equal(urllib.request.urlopen(url).read(), b"sent")


def large_and_streamed():
    """A file from disk, which goes over in one piece below 8 MB, and comes back in ranges."""
    s3 = boto3.client("s3")
    with tempfile.NamedTemporaryFile() as file:
        file.write(os.urandom(5 << 20))
        file.flush()
        s3.upload_file(file.name, BUCKET, "large")
        with tempfile.NamedTemporaryFile() as back:
            s3.download_file(BUCKET, "large", back.name)
            file.seek(0)
            equal(open(back.name, "rb").read() == file.read(), True)


def command_line():
    """`aws`, high level and low."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "config.toml")
        with open(path, "w") as file:
            file.write("cluster = 'prod'\n")
        aws("s3", "cp", path, f"s3://{BUCKET}/prod/config.toml")
        equal(aws("s3", "cp", f"s3://{BUCKET}/prod/config.toml", "-"), "cluster = 'prod'\n")
        listed = aws("s3", "ls", f"s3://{BUCKET}/prod/").split()
        equal([word for word in listed if word in ("a", "config.toml")], ["a", "config.toml"])
        aws("s3", "sync", folder, f"s3://{BUCKET}/synced")
        aws("s3", "mv", f"s3://{BUCKET}/synced/config.toml", f"s3://{BUCKET}/synced/moved.toml")
        equal(aws("s3", "ls", f"s3://{BUCKET}/synced/").split()[-1], "moved.toml")
        aws("s3", "rm", "--recursive", f"s3://{BUCKET}/synced")
    head = json.loads(aws("s3api", "head-object", "--bucket", BUCKET, "--key", "prod/config.toml"))
    equal(head["ContentLength"], 17)
    refused = aws("s3api", "put-object", "--bucket", BUCKET, "--key", "prod/a", "--if-none-match", "*", fails=True)
    equal("(PreconditionFailed)" in refused, True)
    identity = json.loads(aws("sts", "get-caller-identity"))
    equal(identity["Account"], "123456789012")
    zones = json.loads(aws("ec2", "describe-availability-zones"))
    equal(zones["AvailabilityZones"][0]["RegionName"], "eu-west-1")
    groups = json.loads(aws("autoscaling", "describe-auto-scaling-groups"))
    equal(groups["AutoScalingGroups"], [])
    aws("s3", "rb", "--force", f"s3://{BUCKET}")


def aws(*arguments, fails=False):
    """What the AWS CLI says: on standard output, or if it is to fail on standard error."""
    command = [sys.executable, "-m", "awscli", "--output", "json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if (done.returncode != 0) != fails:
        sys.exit(f"`aws {' '.join(arguments)}` ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stderr if fails else done.stdout


def equal(found, wanted):
    if found != wanted:
        sys.exit(f"found {found!r}, wanted {wanted!r}")


if __name__ == "__main__":
    main()
