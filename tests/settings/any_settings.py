"""Settings as anybody may write them, most of them acceptable, for tests of what holds for all."""

from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir

# The same examples everywhere and each time, and no files of theirs in the tree.
set_hypothesis_home_dir(Path(__file__).parents[2] / ".pytest_cache" / "hypothesis")
FIXED = settings(derandomize=True, database=None, deadline=None)

_BLOCKS = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/15", "100.64.0.0/10", "8.0.0.0/8")
_SIZES = ("large", "xlarge", "2xlarge", "4xlarge")


def _words(longest: int) -> st.SearchStrategy[str]:
    """Names, some of them as long as they may be, or longer by one."""
    inner = (f"0,{longest // 2}", f"0,{longest - 2}", f"{longest - 2}", f"0,{longest - 1}")
    return st.one_of(
        [st.from_regex(rf"[a-z]([a-z0-9-]{{{n}}}[a-z0-9])?", fullmatch=True) for n in inner]
    )


@st.composite
def ranges(draw: st.DrawFn) -> str:
    """Address ranges of a VPC, some of which are too large, too small or not private."""
    block = IPv4Network(draw(st.sampled_from(_BLOCKS)))
    prefix = draw(st.sampled_from([16] * 6 + [17, 18, 18, 19, 20, 21, 22, 23, 24, 15, 25]))
    place = draw(st.integers(0, 2 ** (prefix - block.prefixlen) - 1))
    return f"{block.network_address + place * 2 ** (32 - prefix)}/{prefix}"


def networks() -> st.SearchStrategy[dict[str, Any]]:
    """What decides on subnets and their addresses."""
    return st.fixed_dictionaries(
        {
            "network.cidrBlock": ranges(),
            "cluster.nodeMax": st.integers(3, 40) | st.integers(3, 451),
        },
        optional={
            "network.zones": st.integers(2, 4),
            "network.availabilityZones": st.lists(
                st.sampled_from([f"us-west-2{zone}" for zone in "abcd"]),
                min_size=1,
                max_size=4,
                unique=True,
            ),
            "network.interfaceEndpoints": st.lists(
                st.sampled_from(["ecr.api", "logs", "sts", "sqs"]), max_size=4, unique=True
            ),
            "cluster.instanceTypes": st.lists(
                st.sampled_from([f"m7i.{size}" for size in _SIZES]), min_size=1, unique=True
            ),
            "spark.spot": st.fixed_dictionaries(
                {
                    "instanceTypes": st.lists(
                        st.sampled_from([f"m7i.{size}" for size in _SIZES]), min_size=1, unique=True
                    ),
                    "max": st.integers(1, 40) | st.integers(1, 451),
                }
            ),
            "airflow.maxWorkers": st.integers(1, 50),
            "airflow.schedulers": st.integers(2, 5),
        },
    )


def names() -> st.SearchStrategy[dict[str, Any]]:
    """What names are made from, apart from those of project and stack."""
    policy = "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"
    return st.fixed_dictionaries(
        {
            "spark.teams": st.lists(
                st.fixed_dictionaries({"name": _words(20)}), min_size=1, max_size=5
            )
        },
        optional={
            "airflow.podNamespace": _words(63),
            "airflow.podServiceAccounts": st.lists(
                st.fixed_dictionaries({"name": _words(46), "policyArns": st.just([policy])}),
                max_size=3,
            ),
        },
    )


STACKS = _words(33)
