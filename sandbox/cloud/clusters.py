"""Where the cluster of the account is, of which those who serve it are not told."""

from __future__ import annotations

import boto3

from sandbox.machine.aws_api import Aws, in_region


class Clusters:
    """The clusters of the account, in whichever region they are."""

    def __init__(self, aws: Aws) -> None:
        self._aws = aws
        self._regions = boto3.Session().get_available_regions("eks")
        self._last = aws.region

    def find(self) -> tuple[str, str] | None:
        """Return the region and the name of the one that there is."""
        for region in sorted(self._regions, key=lambda one: one != self._last):
            with in_region(region):
                for cluster in self._aws.client("eks").list_clusters()["clusters"]:
                    self._last = region
                    return region, cluster
        return None
