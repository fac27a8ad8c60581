"""Tags in the forms that AWS services use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypedDict

from sandbox.machine.aws_api import Client
from sandbox.providers.protocol import Properties


class Tag(TypedDict):
    """A tag as most services write it."""

    Key: str
    Value: str


def tag_list(tags: Mapping[str, str]) -> list[Tag]:
    """Write tags as most services want them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def tag_map(tags: Iterable[Tag] | None) -> dict[str, str]:
    """Read tags as most services give them, without those that AWS sets itself."""
    pairs = {tag["Key"]: tag["Value"] for tag in tags or ()}
    return {key: value for key, value in pairs.items() if not key.startswith("aws:")}


def tag_changes(old: Properties, new: Properties) -> tuple[dict[str, str], list[str]]:
    """Return the tags to set and the keys to remove."""
    before, after = old.get("tagsAll", {}), new.get("tagsAll", {})
    wanted = {key: value for key, value in after.items() if before.get(key) != value}
    return wanted, [key for key in before if key not in after]


def retag(api: Client, arn: str, old: Properties, new: Properties) -> None:
    """Change the tags in a service that knows its resources by their ARNs."""
    wanted, removed = tag_changes(old, new)
    if removed:
        api.untag_resource(resourceArn=arn, tagKeys=removed)
    if wanted:
        api.tag_resource(resourceArn=arn, tags=wanted)


def retag_listed(api: Client, old: Properties, new: Properties, **which: str) -> None:
    """Change the tags in a service that has them in a list.

    which: the resource, as the service's two calls name it.
    """
    wanted, removed = tag_changes(old, new)
    if removed:
        api.untag_resource(**which, TagKeys=removed)
    if wanted:
        api.tag_resource(**which, Tags=tag_list(wanted))
