"""What a stack needs of its account, and does not make."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable

from sandbox.clone import Clone
from sandbox.tests.aws_account import push


def example(clone: Clone, stack: str) -> str:
    """Return an example, which names an account of the reader's, for the account of the sandbox."""
    account = clone.aws("sts").get_caller_identity()["Account"]
    text = (clone.directory / f"Pulumi.{stack}.yaml").read_text()
    (named,) = set(re.findall(r"\b\d{12}\b", text))
    return text.replace(named, account)


def make_principals(clone: Clone, arns: Iterable[str]) -> None:
    """Make the roles that settings give access to."""
    account = clone.aws("sts").get_caller_identity()["Account"]
    trust = {"Effect": "Allow", "Principal": {"AWS": account}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    for arn in arns:
        name = arn.rpartition("/")[2]
        clone.aws("iam").create_role(RoleName=name, AssumeRolePolicyDocument=document)


def copy_images(clone: Clone) -> list[str]:
    """Let the account's registry have all that README's loop copies; return the public names."""
    images = subprocess.run(
        [sys.executable, "-m", "components.images", "1.35"],
        cwd=clone.directory,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    for image in images:
        repository, _, tag = image.rpartition(":")
        push(clone.aws("ecr"), f"mirror/{repository}", tag)
    return images


def take_access_logs(clone: Clone, bucket: str) -> None:
    """Make the bucket that account.accessLogBucket names."""
    s3 = clone.aws("s3")
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
    deliver = {"Principal": {"Service": "logging.s3.amazonaws.com"}, "Action": "s3:PutObject"}
    allowed = {"Effect": "Allow", **deliver, "Resource": f"arn:aws:s3:::{bucket}/*"}
    policy = {"Version": "2012-10-17", "Statement": [allowed]}
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
