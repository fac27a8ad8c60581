"""The stack files that the repository comes with."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.settings.conftest import Load

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("stack", ["dev", "prod", "sandbox"])
def test_the_example_stacks_are_right(load: Load, warnings: list[str], stack: str) -> None:
    content = yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())
    sections = {key.removeprefix("mwaa-on-eks:"): value for key, value in content["config"].items()}

    settings = load({"account": None, "cluster": None} | sections, stack=stack)

    assert warnings == []
    assert settings.account.production == (stack == "prod")


def test_the_production_example_accepts_that_people_sign_in_from_the_internet_alone() -> None:
    content = yaml.safe_load((ROOT / "Pulumi.prod.yaml").read_text())
    assert content["config"]["mwaa-on-eks:account"]["acceptedRisks"] == ["publicWebServer"]


def test_the_sandbox_opens_with_its_documented_passphrase() -> None:
    content = yaml.safe_load((ROOT / "Pulumi.sandbox.yaml").read_text())
    # v1:<salt of the key>:v1:<nonce>:<"pulumi", encrypted>
    _, salt, _, nonce, sealed = content["encryptionsalt"].split(":")
    key = hashlib.pbkdf2_hmac("sha256", b"sandbox", base64.b64decode(salt), 1_000_000)
    opened = AESGCM(key).decrypt(base64.b64decode(nonce), base64.b64decode(sealed), None)
    assert opened == b"pulumi"
