"""Drives the region and moto with the same boto3 script and compares what they answer.

    python compare.py --region http://127.0.0.1:1234 --moto http://127.0.0.1:5678

Credentials are those of the environment. Prints one line a step; ends with 1 if the two differ in
a step that `differences.py` does not name, or agree in one that it does.
"""

import argparse
import json
import sys
import traceback

import differences
from recorder import Side
from scenarios import ec2, groups, ipv6, routes, s3, sts, templates

SCENARIOS = [s3, ec2, ipv6, routes, templates, groups, sts]


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--region", required=True, help="the region's endpoint")
    options.add_argument("--moto", required=True, help="moto's endpoint")
    options = options.parse_args()
    sides = [Side(options.region), Side(options.moto)]
    for scenario in SCENARIOS:
        for side in sides:
            side.scenario = scenario.__name__.rsplit(".", 1)[-1]
            run(scenario, side)
    sys.exit(report(*(side.outcomes for side in sides)))


def run(scenario, side):
    """A scenario that cannot go on must not hide what the others have to say."""
    try:
        scenario.run(side)
        side.outcomes[f"{side.scenario}: its end"] = "reached"
    except Exception:
        side.outcomes[f"{side.scenario}: its end"] = f"not reached on this side: {traceback.format_exc()}"


def report(region, moto):
    """Prints the verdict on every step; 1 if any is wrong."""
    wrong = 0
    unknown = [name for name in differences.REASONS if name not in region]
    for name in unknown:
        wrong += 1
        print(f"WRONG  {name}: differences.py names a step that does not exist")
    for name, ours in region.items():
        reason = differences.REASONS.get(name)
        alike = ours == moto.get(name)
        if alike and not reason:
            print(f"same   {name}: {shown(ours, 100)}")
        elif not alike and reason:
            print(f"listed {name}: {reason}")
        elif alike:
            wrong += 1
            print(f"WRONG  {name}: listed as different, but both say {shown(ours)}\n       hint: take it out of differences.py")
        else:
            wrong += 1
            print(f"WRONG  {name}:\n       region {shown(ours)}\n       moto   {shown(moto.get(name))}")
    listed = len(differences.REASONS) - len(unknown)
    print(f"{len(region)} steps, {listed} differences listed, {wrong} wrong")
    return 1 if wrong else 0


def shown(outcome, limit=2000):
    text = json.dumps(outcome, sort_keys=True)
    return text if len(text) <= limit else text[:limit] + "…"


if __name__ == "__main__":
    main()
