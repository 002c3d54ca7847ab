"""One side of the comparison: clients of one endpoint, and what each step came to.

What differs by nature is evened out: IDs become `<i-1>`, `<i-2>` in the order in which they are
first seen, times become `<time>`.
"""

import datetime
import re
import time

import boto3
import jmespath
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

REGION = "eu-west-1"
ID = re.compile(r"\b(i|r|vpc|subnet|rtb|rtbassoc|eni|eni-attach|sg|lt|igw|ami|vol|acl|dopt|vpc-cidr-assoc|subnet-cidr-assoc)-[0-9a-f]{8,17}\b")
CONFIG = Config(
    region_name=REGION,
    retries={"total_max_attempts": 1},
    s3={"addressing_style": "path"},
    connect_timeout=5,
    read_timeout=30,
)


class Side:
    def __init__(self, endpoint):
        session = boto3.Session(region_name=REGION)
        self.s3, self.ec2, self.autoscaling, self.sts = (
            session.client(service, endpoint_url=endpoint, config=CONFIG)
            for service in ("s3", "ec2", "autoscaling", "sts")
        )
        self.outcomes = {}
        self.scenario = ""
        self._names = {}
        self._counts = {}

    def step(self, name, call, show=None):
        """Makes the call and records what `show` (JMESPath) picks of the answer, or the error.

        Returns the answer; {} after an error.
        """
        try:
            answer = call()
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            outcome, answer = f"{status} {error.response['Error']['Code']}", {}
        except (BotoCoreError, ResponseParserError) as error:
            # The answer was none that boto3 understands.
            outcome, answer = f"no answer: {type(error).__name__}", {}
        else:
            outcome = jmespath.search(show, answer) if show else "done"
        name = f"{self.scenario}: {name}"
        if name in self.outcomes:
            raise ValueError(f"two steps are called `{name}`")
        self.outcomes[name] = self._even(outcome)
        return answer

    def tidy(self, call):
        """Makes the call for its effect, whatever comes of it: what one side let through must not
        show in later steps."""
        try:
            call()
        except ClientError:
            pass

    def call(self, value, name):
        """From here on `value` is called `<name>` in outcomes."""
        if value:
            self._names[value] = f"<{name}>"

    def until(self, call, wanted):
        """Calls until the answer is as wanted, at most 30 s; returns the last one."""
        deadline = time.monotonic() + 30
        while True:
            answer = call()
            if wanted(answer) or time.monotonic() > deadline:
                return answer
            time.sleep(0.1)

    def _even(self, outcome):
        if isinstance(outcome, dict):
            return {key: self._even(value) for key, value in outcome.items()}
        if isinstance(outcome, list):
            return [self._even(value) for value in outcome]
        if isinstance(outcome, datetime.datetime):
            return "<time>"
        if isinstance(outcome, str):
            return ID.sub(self._numbered, self._names.get(outcome, outcome))
        return outcome

    def _numbered(self, found):
        kind, whole = found[1], found[0]
        if whole not in self._names:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            self._names[whole] = f"<{kind}-{self._counts[kind]}>"
        return self._names[whole]
