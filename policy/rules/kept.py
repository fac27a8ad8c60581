"""What is lost for good with a resource, and how a stack is marked."""

from __future__ import annotations

import json

from .airflow import ENVIRONMENT, VIRTUAL_CLUSTER
from .eks import CLUSTER
from .rule import RULES, Findings, Props, Resource, Rule, Stack, rule
from .storage import BUCKET, KEY, OLDER_BUCKET

KEPT = frozenset({BUCKET, CLUSTER, ENVIRONMENT, KEY, OLDER_BUCKET, VIRTUAL_CLUSTER})
PROVIDER = "pulumi:providers:aws"


def _protected(resource: Resource, _stack: Stack, settings: Props) -> Findings:
    if not resource.protected and resource.type not in settings.get("unprotected", ()):
        yield "it has no protect"


RULES.append(
    Rule(
        name="data-protected",
        types=KEPT,
        demand="A change that replaces or deletes what holds data ends at its preview.",
        sources="Pulumi documentation (the resource option protect)",
        way_out="give it the option protect, or name its type in the rule's setting unprotected",
        gate="production",
        check=_protected,
        of_stack=False,
        settings={
            "unprotected": {
                "type": "array",
                "items": {"type": "string", "enum": sorted(KEPT)},
                "description": "Types of what may be replaced or deleted.",
            }
        },
    )
)


@rule(
    PROVIDER,
    demand="With the credentials of another account, nothing is done.",
    sources="Pulumi AWS documentation (allowedAccountIds)",
    way_out="give aws.Provider allowed_account_ids",
)
def provider_of_one_account(provider: Resource) -> Findings:
    if not _decoded(provider, "allowedAccountIds"):
        yield "allowedAccountIds is empty"


@rule(
    PROVIDER,
    demand="Each resource says by its tags what it belongs to.",
    sources="AWS tagging best practices",
    way_out="give aws.Provider default_tags",
)
def provider_tags_everything(provider: Resource) -> Findings:
    given = _decoded(provider, "defaultTags")
    if not given or not given.get("tags"):
        yield "defaultTags is empty"


def _decoded(provider: Resource, key: str) -> Props | None:
    # A provider is given all but strings as JSON.
    given = provider.props.get(key)
    found: Props | None = json.loads(given) if isinstance(given, str) else given
    return found
