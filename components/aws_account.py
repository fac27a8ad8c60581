"""Where in AWS a stack is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AwsAccount:
    """The account and the region that everything of a stack is in."""

    id: str
    region: str
    partition: str

    def arn(self, service: str, resource: str) -> str:
        """Return the ARN of something in this account and region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.id}:{resource}"
