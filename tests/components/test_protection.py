"""What is protected."""

from __future__ import annotations

from typing import get_args

import pulumi
import pytest

from components.protection import PROTECTED, protect_all_but
from settings.values import Protected


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
