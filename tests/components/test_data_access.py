"""What the statements about data allow."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from components.data_access import (
    BucketAccess,
    DatabaseAccess,
    bucket_statements,
    database_statements,
)
from sandbox.cloud.aws.authorization import is_allowed
from tests.components.conftest import ACCOUNT
from tests.settings.any_settings import FIXED

OURS, THEIRS = ACCOUNT.id, "777788889999"
KEY, OTHER_KEY = (f"arn:aws:kms:us-west-2:{ACCOUNT.id}:key/{number}" for number in (1, 2))
VIA_S3 = {"kms:ViaService": "s3.us-west-2.amazonaws.com"}


def access(bucket: str, prefix: str = "", **given: Any) -> BucketAccess:  # noqa: ANN401
    defaults = {"account_id": OURS, "write": False, "kms_key_arn": None}
    arn = f"arn:aws:s3:::{bucket}"
    return BucketAccess(bucket_arn=arn, prefix=prefix, **{**defaults, **given})


DATA = [
    access("lake", "raw/trades"),
    access("lake", "risk", write=True, kms_key_arn=KEY),
    access("read", kms_key_arn=OTHER_KEY),
    access("theirs", "out", write=True, account_id=THEIRS),
]
DATABASES = [
    DatabaseAccess(database="trades", write=False),
    DatabaseAccess(database="risk", write=True),
]
READS = ["s3:GetObject"]
WRITES = ["s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]


def may(action: str, resource: str, **context: str) -> bool:
    statements = [*bucket_statements(DATA, ACCOUNT), *database_statements(DATABASES, ACCOUNT)]
    document = {"Version": "2012-10-17", "Statement": statements}
    return is_allowed([document], action, resource, context)


def reach(path: str, owner: str = OURS) -> set[str]:
    """The actions on an object."""
    context = {"aws:ResourceAccount": owner}
    return {one for one in READS + WRITES if may(one, f"arn:aws:s3:::{path}", **context)}


def lists(bucket: str, prefix: str | None, owner: str = OURS) -> bool:
    asked = {} if prefix is None else {"s3:prefix": prefix}
    context = {"aws:ResourceAccount": owner, **asked}
    return may("s3:ListBucket", f"arn:aws:s3:::{bucket}", **context)


def test_what_is_read_is_not_written() -> None:
    assert reach("lake/raw/trades/2026/one.csv") == set(READS)
    assert reach("read/anything") == set(READS)


def test_what_is_written_is_read_too() -> None:
    assert reach("lake/risk/one.csv") == {*READS, *WRITES}
    assert reach("lake/risk/") == {*READS, *WRITES}


def test_beside_a_prefix_nothing_is_reached() -> None:
    for path in ("lake/raw/trades-2/one.csv", "lake/raw/one.csv", "lake/risky/one", "lake/risk"):
        assert reach(path) == set(), path


def test_what_is_listed_lies_below_the_prefix() -> None:
    for prefix in ("risk", "risk/", "risk/2026/", "raw/trades/"):
        assert lists("lake", prefix), prefix
    for other in (None, "", "r", "risk-2/", "raw/"):
        assert not lists("lake", other), other
    assert lists("read", None)
    assert lists("read", "any/")


def test_a_bucket_is_reached_only_where_its_owner_is_the_one_named() -> None:
    assert reach("theirs/out/one", THEIRS) == {*READS, *WRITES}
    assert reach("theirs/out/one", OURS) == set()
    assert reach("lake/risk/one", THEIRS) == set()
    assert lists("theirs", "out/", THEIRS)
    assert not lists("theirs", "out/", OURS)
    location = "s3:GetBucketLocation"
    assert may(location, "arn:aws:s3:::theirs", **{"aws:ResourceAccount": THEIRS})
    assert not may(location, "arn:aws:s3:::lake", **{"aws:ResourceAccount": THEIRS})


# Prefixes that begin like one another, and objects beside and below them.
_PREFIXES = st.lists(st.sampled_from(["a", "a-2", "b"]), max_size=3).map("/".join)
_ACCESSES = st.builds(
    lambda bucket, prefix, write: access(bucket, prefix, write=write),
    st.sampled_from(["lake", "lake-2"]),
    _PREFIXES,
    st.booleans(),
)


@FIXED
@given(st.lists(_ACCESSES, min_size=1, max_size=4), st.sampled_from(["lake", "lake-2"]), _PREFIXES)
def test_an_object_is_reached_if_and_only_if_it_lies_below_a_prefix(
    accesses: list[BucketAccess], bucket: str, folder: str
) -> None:
    arn = f"arn:aws:s3:::{bucket}"
    key = f"{folder}/one".removeprefix("/")
    document = {"Version": "2012-10-17", "Statement": bucket_statements(accesses, ACCOUNT)}
    context = {"aws:ResourceAccount": OURS}
    below = [
        one
        for one in accesses
        if one.bucket_arn == arn and (not one.prefix or key.startswith(f"{one.prefix}/"))
    ]
    assert is_allowed([document], "s3:GetObject", f"{arn}/{key}", context) is bool(below)
    writes = any(one.write for one in below)
    assert is_allowed([document], "s3:PutObject", f"{arn}/{key}", context) is writes
    listed = {**context, "s3:prefix": f"{folder}/"}
    if folder:
        assert is_allowed([document], "s3:ListBucket", arn, listed) is bool(below)


def test_keys_are_used_through_s3_only_and_to_write_only_where_there_is_written() -> None:
    assert may("kms:Decrypt", OTHER_KEY, **VIA_S3)
    assert not may("kms:GenerateDataKey", OTHER_KEY, **VIA_S3)
    assert may("kms:Decrypt", KEY, **VIA_S3)
    assert may("kms:GenerateDataKey", KEY, **VIA_S3)
    assert not may("kms:Decrypt", KEY)


def test_tables_are_read_and_those_of_some_databases_written() -> None:
    glue = f"arn:aws:glue:us-west-2:{OURS}:"
    for resource in ("catalog", "database/trades", "table/trades/one", "table/risk/one"):
        assert may("glue:GetTable", f"{glue}{resource}")
    for resource in ("catalog", "database/risk", "table/risk/one"):
        assert may("glue:CreateTable", f"{glue}{resource}")
    assert not may("glue:CreateTable", f"{glue}table/trades/one")
    assert not may("glue:GetTable", f"{glue}table/other/one")
    assert not may("glue:GetTable", f"{glue}table/risk-2/one")


def test_databases_themselves_stay_as_they_are() -> None:
    resources = ["catalog", "database/risk", "database/default", "table/risk/*"]
    for action in ("CreateDatabase", "DeleteDatabase", "UpdateDatabase", "GetDatabases"):
        for resource in resources:
            assert not may(f"glue:{action}", f"arn:aws:glue:us-west-2:{OURS}:{resource}")


def test_spark_finds_what_it_looks_for_as_it_starts() -> None:
    glue = f"arn:aws:glue:us-west-2:{OURS}:"
    for database in ("default", "global_temp"):
        assert may("glue:GetDatabase", f"{glue}database/{database}")
        assert not may("glue:GetTable", f"{glue}table/{database}/one")


def test_who_has_no_databases_has_no_catalog() -> None:
    assert database_statements([], ACCOUNT) == []
