"""How large the MWAA environment, the cluster's node group and a policy may be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class EnvironmentCapacity:
    """The size of an MWAA environment's containers, and how many of them there are."""

    environment_class: str
    min_workers: int
    max_workers: int
    schedulers: int
    min_webservers: int
    max_webservers: int


@dataclass(frozen=True, kw_only=True)
class NodeGroup:
    """The kind of a cluster's nodes, and how many of them there are."""

    instance_types: tuple[str, ...]
    ami_type: str
    min_size: int
    max_size: int
    disk_gib: int


EXECUTORS = ("spark-executors", "spot")
"""Label and taint, key and value, of the nodes on spot capacity: pods that name both go there, and
no others. The cluster autoscaler, which starts these nodes from zero, reads both of EKS."""

TEAMS_PER_POLICY = 10
"""How many Spark teams one managed policy of the MWAA execution role lets in: it may have 6,144
characters ("IAM and AWS STS quotas", IAM User Guide), and the ARNs of ten teams fit in whatever the
names, the regions and the length of role names."""
