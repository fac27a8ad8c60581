"""How large the MWAA environment and the cluster's node group may be."""

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
