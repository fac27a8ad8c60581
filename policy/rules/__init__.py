"""What is demanded of the resources of a data platform on AWS."""

from . import airflow, eks, iam, kept, kubernetes, network, storage, watch
from .rule import RULES, Resource, Rule, Stack

__all__ = [
    "RULES",
    "Resource",
    "Rule",
    "Stack",
    "airflow",
    "eks",
    "iam",
    "kept",
    "kubernetes",
    "network",
    "storage",
    "watch",
]
