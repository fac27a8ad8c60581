"""What is protected."""

from __future__ import annotations

from typing import get_args

import pulumi
import pytest

from components.protection import (
    PROTECTED,
    all_resources,
    anything_is_protected,
    protect_all_but,
)
from settings.values import Protected
from tests.components.conftest import Engine


@pytest.mark.parametrize(
    ("unprotected", "protected"), [((), True), (("key",), True), (("buckets",), False)]
)
def test_what_the_stack_does_not_name_is_protected(
    monkeypatch: pytest.MonkeyPatch, unprotected: tuple[str, ...], protected: bool
) -> None:
    transforms: list[pulumi.ResourceTransform] = []
    monkeypatch.setattr(pulumi.runtime, "register_resource_transform", transforms.append)
    protect_all_but(unprotected)

    def options(typ: str) -> pulumi.ResourceOptions | None:
        given = pulumi.ResourceOptions(retain_on_delete=True)
        (transform,) = transforms
        result = transform(pulumi.ResourceTransformArgs(True, typ, "dags", {"bucket": "b"}, given))
        if result is None:
            return None
        assert isinstance(result, pulumi.ResourceTransformResult)
        assert result.props == {"bucket": "b"}
        return result.opts

    found = options("aws:s3/bucket:Bucket")
    assert (found is not None and found.protect is True and found.retain_on_delete) is protected
    assert options("aws:iam/role:Role") is None


def test_a_stack_can_name_each() -> None:
    assert set(PROTECTED.values()) == set(get_args(Protected))


def test_something_is_protected_until_a_stack_has_named_all() -> None:
    every = get_args(Protected)
    assert anything_is_protected(())
    assert anything_is_protected(every[1:])
    assert not anything_is_protected(every)


def test_all_resources_are_those_in_components_too(engine: Engine) -> None:
    found: list[pulumi.Resource] = []

    def program() -> None:
        made = all_resources()
        component = pulumi.ComponentResource("test:index:Component", "component")
        inside = pulumi.CustomResource(
            "test:index:Inside", "inside", opts=pulumi.ResourceOptions(parent=component)
        )
        outside = pulumi.CustomResource("test:index:Outside", "outside")
        assert made == [inside, outside]
        found.extend(made)

    engine.run(program)
    assert len(found) == 2
