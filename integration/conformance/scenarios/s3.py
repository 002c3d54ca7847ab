"""Objects, conditions, listings, versions and bucket settings."""

BUCKET = "conformance-bucket"
HERE = {"LocationConstraint": "eu-west-1"}


def run(at):
    buckets(at)
    objects(at)
    conditions(at)
    listings(at)
    versions(at)
    settings(at)
    end(at)


def buckets(at):
    s3 = at.s3
    at.step("head an absent bucket", lambda: s3.head_bucket(Bucket=BUCKET))
    at.step("create a bucket", lambda: s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration=HERE))
    at.step("create it again", lambda: s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration=HERE))
    at.step("create one without a location", lambda: s3.create_bucket(Bucket="conformance-elsewhere"))
    at.step("create one with a bad name", lambda: s3.create_bucket(Bucket="Conformance_Bucket", CreateBucketConfiguration=HERE))
    at.tidy(lambda: s3.delete_bucket(Bucket="Conformance_Bucket"))
    at.step("head a bucket", lambda: s3.head_bucket(Bucket=BUCKET), "BucketRegion")
    at.step("list buckets", lambda: s3.list_buckets(), "Buckets[].Name")
    at.step("location", lambda: s3.get_bucket_location(Bucket=BUCKET), "LocationConstraint")


def objects(at):
    s3 = at.s3
    put = lambda **more: s3.put_object(Bucket=BUCKET, Key="a/1 +&.txt", Body=b"hello world", **more)
    at.step("put", lambda: put(ContentType="text/plain", Metadata={"made-by": "windlass"}), "[ETag, VersionId, ChecksumCRC32]")
    get = lambda **more: s3.get_object(Bucket=BUCKET, Key="a/1 +&.txt", **more)
    at.step("get", lambda: whole(get()), "[Bytes, ContentType, Metadata, ETag, ContentLength, AcceptRanges]")
    at.step("get the first bytes", lambda: whole(get(Range="bytes=0-4")), "[Bytes, ContentRange, ResponseMetadata.HTTPStatusCode]")
    at.step("get the last bytes", lambda: whole(get(Range="bytes=-5")), "[Bytes, ContentRange]")
    at.step("get from a byte on", lambda: whole(get(Range="bytes=6-100")), "[Bytes, ContentRange]")
    at.step("get beyond the end", lambda: get(Range="bytes=11-"))
    at.step("get if it has that ETag", lambda: get(IfMatch='"5eb63bbbe01eeed093cb22bb8f5acdc3"'), "ETag")
    at.step("get if it has another ETag", lambda: get(IfMatch='"0"'))
    at.step("get if it has not that ETag", lambda: get(IfNoneMatch='"5eb63bbbe01eeed093cb22bb8f5acdc3"'))
    at.step("head", lambda: s3.head_object(Bucket=BUCKET, Key="a/1 +&.txt"), "[ContentLength, ContentType, Metadata, ETag]")
    at.step("get an absent key", lambda: s3.get_object(Bucket=BUCKET, Key="none"))
    at.step("head an absent key", lambda: s3.head_object(Bucket=BUCKET, Key="none"))
    at.step("get from an absent bucket", lambda: s3.get_object(Bucket="no-such-bucket-here", Key="k"))
    at.step("put into an absent bucket", lambda: s3.put_object(Bucket="no-such-bucket-here", Key="k", Body=b""))
    at.step("put with a wrong CRC32", lambda: s3.put_object(Bucket=BUCKET, Key="bad", Body=b"x", ChecksumCRC32="AAAAAA=="))
    at.step("put with a wrong MD5", lambda: s3.put_object(Bucket=BUCKET, Key="bad", Body=b"x", ContentMD5="AAAAAAAAAAAAAAAAAAAAAA=="))
    at.step("put with an MD5 that is none", lambda: s3.put_object(Bucket=BUCKET, Key="bad", Body=b"x", ContentMD5="AAAA"))
    at.step("put with SHA-256", lambda: s3.put_object(Bucket=BUCKET, Key="sha", Body=b"x", ChecksumAlgorithm="SHA256"), "ChecksumSHA256")
    at.step("get with its checksum", lambda: s3.get_object(Bucket=BUCKET, Key="sha", ChecksumMode="ENABLED"), "ChecksumSHA256")
    at.step("get without a content type", lambda: s3.get_object(Bucket=BUCKET, Key="sha"), "ContentType")
    at.step("put with too much metadata", lambda: s3.put_object(Bucket=BUCKET, Key="bad", Body=b"x", Metadata={"m": "x" * 3000}))
    at.tidy(lambda: s3.delete_object(Bucket=BUCKET, Key="bad"))
    at.step("put with SSE-S3", lambda: s3.put_object(Bucket=BUCKET, Key="sse", Body=b"x", ServerSideEncryption="AES256"), "ServerSideEncryption")
    copy = lambda **more: s3.copy_object(**{"Bucket": BUCKET, "Key": "copied", "CopySource": {"Bucket": BUCKET, "Key": "a/1 +&.txt"}, **more})
    at.step("copy", copy, "CopyObjectResult.ETag")
    at.step("head the copy", lambda: s3.head_object(Bucket=BUCKET, Key="copied"), "[ContentType, Metadata, ContentLength]")
    at.step("copy with other metadata", lambda: copy(MetadataDirective="REPLACE", Metadata={"by": "me"}), "CopyObjectResult.ETag")
    at.step("head the other copy", lambda: s3.head_object(Bucket=BUCKET, Key="copied"), "Metadata")
    at.step("copy what is not there", lambda: copy(CopySource={"Bucket": BUCKET, "Key": "none"}))
    at.step("copy onto itself", lambda: copy(Key="a/1 +&.txt"))
    at.step("delete the copy", lambda: s3.delete_object(Bucket=BUCKET, Key="copied"))
    at.step("delete", lambda: s3.delete_object(Bucket=BUCKET, Key="sse"), "[DeleteMarker, VersionId]")
    at.step("delete what is not there", lambda: s3.delete_object(Bucket=BUCKET, Key="sse"), "[DeleteMarker, VersionId]")
    delete = {"Objects": [{"Key": "sha"}, {"Key": "none"}]}
    at.step("delete many", lambda: s3.delete_objects(Bucket=BUCKET, Delete=delete), "[sort(Deleted[].Key), Errors]")


def conditions(at):
    s3 = at.s3
    put = lambda key="c", body=b"1", **more: s3.put_object(Bucket=BUCKET, Key=key, Body=body, **more)
    etag = at.step("put if absent, absent", lambda: put(IfNoneMatch="*"), "ETag").get("ETag", "none")
    at.step("put if absent, present", lambda: put(IfNoneMatch="*"))
    at.step("put if it has that ETag", lambda: put(body=b"2", IfMatch=etag), "ETag")
    at.step("put if it has the ETag of before", lambda: put(body=b"3", IfMatch=etag))
    at.step("put if an absent key has an ETag", lambda: put(key="none", IfMatch=etag))
    at.step("get after all that", lambda: whole(s3.get_object(Bucket=BUCKET, Key="c")), "Bytes")
    at.step("delete if it has another ETag", lambda: s3.delete_object(Bucket=BUCKET, Key="c", IfMatch=etag))
    at.step("delete if an absent key is there", lambda: s3.delete_object(Bucket=BUCKET, Key="none", IfMatch="*"))
    at.step("delete if it is there", lambda: s3.delete_object(Bucket=BUCKET, Key="c", IfMatch="*"))


def listings(at):
    s3 = at.s3
    for key in ["b/1", "b/2", "b/3/x", "b/3/y", "c", "ü/&<>"]:
        s3.put_object(Bucket=BUCKET, Key=key, Body=key.encode())
    list_ = lambda **more: s3.list_objects_v2(Bucket=BUCKET, **more)
    seen = "[Contents[].[Key, Size, ETag, StorageClass], CommonPrefixes[].Prefix, KeyCount, IsTruncated, MaxKeys, Prefix, Delimiter]"
    at.step("list all", list_, seen)
    at.step("list a prefix", lambda: list_(Prefix="b/"), seen)
    at.step("list by a delimiter", lambda: list_(Delimiter="/"), seen)
    at.step("list a prefix by a delimiter", lambda: list_(Prefix="b/", Delimiter="/"), seen)
    at.step("list nothing", lambda: list_(Prefix="none/"), seen)
    at.step("list after a key", lambda: list_(StartAfter="b/3/x"), "Contents[].Key")
    page = at.step("list a page", lambda: list_(MaxKeys=3), "[Contents[].Key, KeyCount, IsTruncated, MaxKeys]")
    token = page.get("NextContinuationToken", "none")
    at.step("list the next page", lambda: list_(MaxKeys=3, ContinuationToken=token), "[Contents[].Key, KeyCount, IsTruncated]")
    at.step("list a page of prefixes", lambda: list_(MaxKeys=2, Delimiter="/"), "[Contents[].Key, CommonPrefixes[].Prefix, IsTruncated]")
    at.step("list a page of none", lambda: list_(MaxKeys=0), "[Contents, KeyCount, IsTruncated]")
    at.step("list with a token that is none", lambda: list_(ContinuationToken="!"))
    at.step("list an absent bucket", lambda: s3.list_objects_v2(Bucket="no-such-bucket-here"))
    at.step("list page by page", lambda: {"Keys": [key["Key"] for page in pages(at, PageSize=2) for key in page.get("Contents", [])]}, "Keys")
    at.step("list as in version 1", lambda: s3.list_objects(Bucket=BUCKET, Delimiter="/"), "[Contents[].Key, CommonPrefixes[].Prefix, IsTruncated]")


def versions(at):
    s3 = at.s3
    at.step("versioning before", lambda: s3.get_bucket_versioning(Bucket=BUCKET), "Status")
    set_ = lambda status: s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": status})
    s3.put_object(Bucket=BUCKET, Key="v", Body=b"null")
    at.step("set versioning to nonsense", lambda: set_("Perhaps"))
    at.step("enable versioning", lambda: set_("Enabled"))
    at.step("versioning after", lambda: s3.get_bucket_versioning(Bucket=BUCKET), "Status")
    first = s3.put_object(Bucket=BUCKET, Key="v", Body=b"first").get("VersionId", "none")
    at.call(first, "first version")
    second = s3.put_object(Bucket=BUCKET, Key="v", Body=b"second").get("VersionId", "none")
    at.call(second, "second version")
    at.step("get the current version", lambda: whole(s3.get_object(Bucket=BUCKET, Key="v")), "[Bytes, VersionId]")
    at.step("get an older version", lambda: whole(s3.get_object(Bucket=BUCKET, Key="v", VersionId=first)), "[Bytes, VersionId]")
    at.step("get the null version", lambda: whole(s3.get_object(Bucket=BUCKET, Key="v", VersionId="null")), "Bytes")
    at.step("get an absent version", lambda: s3.get_object(Bucket=BUCKET, Key="v", VersionId="0" * 32))
    at.step("get a version that is none", lambda: s3.get_object(Bucket=BUCKET, Key="v", VersionId="what?"))
    marker = at.step("delete the current version", lambda: s3.delete_object(Bucket=BUCKET, Key="v"), "DeleteMarker").get("VersionId", "none")
    at.call(marker, "marker")
    at.step("get what is deleted", lambda: s3.get_object(Bucket=BUCKET, Key="v"))
    at.step("head what is deleted", lambda: s3.head_object(Bucket=BUCKET, Key="v"))
    at.step("get a delete marker", lambda: s3.get_object(Bucket=BUCKET, Key="v", VersionId=marker))
    at.step("put if absent, deleted", lambda: s3.put_object(Bucket=BUCKET, Key="w", Body=b"", IfNoneMatch="*"), "ETag")
    list_ = lambda **more: s3.list_object_versions(Bucket=BUCKET, Prefix="v", **more)
    at.step("list versions", list_, "[Versions[].[Key, VersionId, IsLatest, Size], DeleteMarkers[].[Key, VersionId, IsLatest], IsTruncated]")
    page = at.step("list a page of versions", lambda: list_(MaxKeys=2), "[Versions[].VersionId, DeleteMarkers[].VersionId, IsTruncated]")
    after = {"KeyMarker": page.get("NextKeyMarker", ""), "VersionIdMarker": page.get("NextVersionIdMarker", "")}
    at.step("list the next page of versions", lambda: list_(**after), "[Versions[].VersionId, DeleteMarkers[].VersionId, IsTruncated]")
    at.step("delete the marker", lambda: s3.delete_object(Bucket=BUCKET, Key="v", VersionId=marker), "[DeleteMarker, VersionId]")
    at.step("delete a version", lambda: s3.delete_object(Bucket=BUCKET, Key="v", VersionId=second), "[DeleteMarker, VersionId]")
    at.step("get the version before", lambda: whole(s3.get_object(Bucket=BUCKET, Key="v")), "[Bytes, VersionId]")


def settings(at):
    s3 = at.s3
    at.step("public access block of a new bucket", lambda: s3.get_public_access_block(Bucket=BUCKET), "PublicAccessBlockConfiguration")
    block = {"BlockPublicAcls": True, "IgnorePublicAcls": True, "BlockPublicPolicy": False, "RestrictPublicBuckets": False}
    at.step("block public access", lambda: s3.put_public_access_block(Bucket=BUCKET, PublicAccessBlockConfiguration=block))
    at.step("public access block", lambda: s3.get_public_access_block(Bucket=BUCKET), "PublicAccessBlockConfiguration")
    at.step("unblock public access", lambda: s3.delete_public_access_block(Bucket=BUCKET))
    at.step("public access block after", lambda: s3.get_public_access_block(Bucket=BUCKET))
    at.step("encryption of a new bucket", lambda: s3.get_bucket_encryption(Bucket=BUCKET), "ServerSideEncryptionConfiguration.Rules[].ApplyServerSideEncryptionByDefault")


def end(at):
    s3 = at.s3
    at.step("delete a bucket that is not empty", lambda: s3.delete_bucket(Bucket=BUCKET))
    left = s3.list_object_versions(Bucket=BUCKET)
    objects = [{"Key": it["Key"], "VersionId": it["VersionId"]} for it in left.get("Versions", []) + left.get("DeleteMarkers", [])]
    at.step("delete all versions", lambda: s3.delete_objects(Bucket=BUCKET, Delete={"Objects": objects, "Quiet": True}), "[Deleted, Errors]")
    at.step("delete the bucket", lambda: s3.delete_bucket(Bucket=BUCKET))
    at.step("delete it again", lambda: s3.delete_bucket(Bucket=BUCKET))


def pages(at, **paging):
    return at.s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, PaginationConfig=paging)


def whole(answer):
    """The answer with its body read, as text."""
    return {**answer, "Bytes": answer["Body"].read().decode()}
