"""Files that are gone from a folder are gone from its bucket too, and can be brought back."""

from typing import Any

import boto3
from pulumi import Input, ResourceOptions, dynamic

from components.credentials import BOUNDED


class RemovedFilesProvider(dynamic.ResourceProvider):
    """Hides what an update no longer lists, and does nothing else.

    It is pickled into the state as JobRunDrainProvider is, by its name alone.
    """

    serialize_as_secret_always = False

    def create(self, props: dict[str, Any]) -> dynamic.CreateResult:
        """Note what there is."""
        return dynamic.CreateResult(props["bucket"], _known(props))

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> dynamic.DiffResult:
        """Tell whether there are other files, or another bucket."""
        changed = [key for key, value in _known(_news).items() if _olds.get(key) != value]
        return dynamic.DiffResult(
            changes=bool(changed), replaces=[key for key in changed if key != "keys"]
        )

    def update(
        self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]
    ) -> dynamic.UpdateResult:
        """Hide what there is no longer."""
        client = boto3.client("s3", region_name=_news["region"], config=BOUNDED)
        for key in sorted({*_olds["keys"]} - {*_news["keys"]}):
            # Without a version, S3 lays a delete marker over the object's versions.
            client.delete_object(Bucket=_news["bucket"], Key=key)
        return dynamic.UpdateResult(_known(_news))


class RemovedFiles(dynamic.Resource):
    """Delete markers for objects whose files have been removed since the last `up`.

    Deleting an object by Pulumi's AWS provider would take every version of its key along. So these
    objects are retained, and this hides them. What is there when this itself goes stays as it is.
    """

    def __init__(
        self,
        name: str,
        *,
        bucket: Input[str],
        region: str,
        keys: list[str],
        opts: ResourceOptions | None = None,
    ) -> None:
        props: dict[str, Input[str] | list[str]] = {
            "bucket": bucket,
            "region": region,
            "keys": keys,
        }
        super().__init__(RemovedFilesProvider(), name, props, opts)


def _known(props: dict[str, Any]) -> dict[str, Any]:
    return {key: props[key] for key in ("bucket", "region", "keys")}
