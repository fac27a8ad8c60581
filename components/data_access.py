"""What jobs may read and write, as statements of the policy of their role."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pulumi import Input, Output

from components.aws_account import AwsAccount

# By whether there is written.
_OBJECT_ACTIONS: Final[Mapping[bool, tuple[str, ...]]] = {
    False: ("s3:GetObject",),
    True: ("s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"),
}
_KEY_ACTIONS: Final[Mapping[bool, tuple[str, ...]]] = {
    False: ("kms:Decrypt",),
    True: ("kms:Decrypt", "kms:GenerateDataKey"),
}
# What Spark's client of the Data Catalog asks ("Use AWS Glue Data Catalog with Spark", Amazon EMR
# Release Guide), but for what makes, changes, deletes or lists databases.
_READ_TABLES: Final = (
    "glue:GetDatabase",
    "glue:GetTable",
    "glue:GetTables",
    "glue:GetPartition",
    "glue:GetPartitions",
    "glue:BatchGetPartition",
    "glue:GetUserDefinedFunction",
    "glue:GetUserDefinedFunctions",
)
_WRITE_TABLES: Final = (
    "glue:CreateTable",
    "glue:UpdateTable",
    "glue:DeleteTable",
    "glue:CreatePartition",
    "glue:BatchCreatePartition",
    "glue:UpdatePartition",
    "glue:DeletePartition",
    "glue:BatchDeletePartition",
)
GLUE_METASTORE: Final = "com.amazonaws.glue.catalog.metastore.AWSGlueDataCatalogHiveClientFactory"
"""The class in EMR's images by which Spark has the Data Catalog as its metastore."""


@dataclass(frozen=True, kw_only=True)
class BucketAccess:
    """A prefix of a bucket that jobs read, or write too."""

    bucket_arn: Input[str]
    account_id: str
    """Whose the bucket is; one that someone else has made under its name is another."""
    prefix: str
    """Without a slash at its end; empty for the whole bucket."""
    write: bool
    kms_key_arn: Input[str] | None
    """The key of the bucket's account or another one; None where S3 encrypts with its own."""


def own_prefix(
    team: str, bucket_arn: Input[str], kms_key_arn: Input[str], account: AwsAccount
) -> BucketAccess:
    """Return what a team has in the bucket of the jobs, as its jobs and its members have it."""
    return BucketAccess(
        bucket_arn=bucket_arn,
        account_id=account.id,
        prefix=team,
        write=True,
        kms_key_arn=kms_key_arn,
    )


@dataclass(frozen=True, kw_only=True)
class DatabaseAccess:
    """A database of the Glue Data Catalog whose tables jobs read, or write too."""

    database: str
    write: bool


def bucket_statements(
    accesses: Sequence[BucketAccess], account: AwsAccount
) -> list[Mapping[str, object]]:
    """Return what allows access to the prefixes, and to nothing else in their buckets."""
    statements: list[Mapping[str, object]] = []
    for account_id in dict.fromkeys(one.account_id for one in accesses):
        owned = {"aws:ResourceAccount": account_id}
        of_account = [one for one in accesses if one.account_id == account_id]
        for write, actions in _OBJECT_ACTIONS.items():
            if objects := [_objects(one) for one in of_account if one.write is write]:
                statements.append(_allow(actions, objects, {"StringEquals": owned}))
        buckets = list(dict.fromkeys(one.bucket_arn for one in of_account))
        for bucket in buckets:
            prefixes = [one.prefix for one in of_account if one.bucket_arn == bucket]
            listed = {"StringEquals": owned, **_listed(prefixes)}
            statements.append(_allow(("s3:ListBucket",), [bucket], listed))
        statements.append(_allow(("s3:GetBucketLocation",), buckets, {"StringEquals": owned}))
    via_s3 = {"StringEquals": {"kms:ViaService": f"s3.{account.region}.amazonaws.com"}}
    for write, actions in _KEY_ACTIONS.items():
        keys = dict.fromkeys(one.kms_key_arn for one in accesses if one.write is write)
        if named := [key for key in keys if key is not None]:
            statements.append(_allow(actions, named, via_s3))
    return statements


def database_statements(
    accesses: Sequence[DatabaseAccess], account: AwsAccount
) -> list[Mapping[str, object]]:
    """Return what allows access to the databases' tables; none if there are no databases."""
    if not accesses:
        return []
    catalog = account.arn("glue", "catalog")
    written = [one for one in accesses if one.write]
    statements = [
        _allow(actions, [catalog, *(arn for one in some for arn in _parts(one, account))])
        for actions, some in ((_READ_TABLES, accesses), (_WRITE_TABLES, written))
        if some
    ]
    # Each session looks whether they are there: the client of the catalog for the first, Spark for
    # the second. The first is an account's to make: where it is missing, the client would make it.
    looked_for = [account.arn("glue", f"database/{one}") for one in ("default", "global_temp")]
    return [*statements, _allow(("glue:GetDatabase",), [catalog, *looked_for])]


def _allow(
    actions: Sequence[str],
    resources: Sequence[Input[str]],
    condition: Mapping[str, object] | None = None,
) -> Mapping[str, object]:
    statement = {
        "Effect": "Allow",
        "Action": _one_or_all(actions),
        "Resource": _one_or_all(resources),
    }
    return {**statement, "Condition": condition} if condition else statement


def _one_or_all(values: Sequence[object]) -> object:
    return values[0] if len(values) == 1 else list(values)


def _objects(access: BucketAccess) -> Input[str]:
    below = f"/{access.prefix}/*" if access.prefix else "/*"
    # Text stays text, which can be measured before anything is made.
    if isinstance(access.bucket_arn, str):
        return access.bucket_arn + below
    return Output.concat(access.bucket_arn, below)


def _listed(prefixes: Sequence[str]) -> Mapping[str, object]:
    if "" in prefixes:
        return {}
    patterns = [pattern for one in prefixes for pattern in (one, f"{one}/*")]
    return {"StringLike": {"s3:prefix": patterns}}


def _parts(access: DatabaseAccess, account: AwsAccount) -> list[str]:
    kinds = ("database/{}", "table/{}/*", "userDefinedFunction/{}/*")
    return [account.arn("glue", kind.format(access.database)) for kind in kinds]
