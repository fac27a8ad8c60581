"""What lies in dags/ and goes to Airflow."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.settings.conftest import Load, mistakes

# In parts, so that nobody takes this file for one that holds secrets.
ACCESS_KEY = "AKIA" + "QWERTYUIOPASDFGH"
HEADER, KEY = "-----BEGIN {}" + "PRIVATE KEY-----", "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC"


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        (f"key = '{ACCESS_KEY}'", "an AWS access key"),
        (f'{{"AccessKeyId": "{ACCESS_KEY.replace("AKIA", "ASIA")}"}}', "an AWS access key"),
        (f"{HEADER.format('')}\n{KEY}", "a private key"),
        (f"{HEADER.format('OPENSSH ')}\r\n{KEY}", "a private key"),
        (f"{HEADER.format('RSA ')}\nProc-Type: 4,ENCRYPTED", "a private key"),
        (f'{{"private_key": "{HEADER.format("")}\\n{KEY}"}}', "a private key"),
    ],
)
def test_a_secret_is_refused_by_its_file_and_not_shown(
    load: Load, dags: Path, content: str, secret: str
) -> None:
    (dags / "team").mkdir()
    (dags / "team" / "notes.txt").write_text(f"# notes\n{content}\n")

    (line,) = mistakes(load, {})
    assert line.startswith(f"dags/team/notes.txt: holds {secret}: revoke it")
    assert "airflow/mwaa-on-eks-dev/connections/" in line
    assert content not in line

    load({"airflow.dagDelivery": "pipeline"})


@pytest.mark.parametrize(
    "content",
    [
        "key = 'AKIAIOSFODNN7EXAMPLE'",  # AWS's documentation
        f"x = '{ACCESS_KEY}IJ'",
        f"pem.replace('{HEADER.format('')}', '')",
        f"f'{HEADER.format('')}\\n{{body}}'",
        "-----BEGIN CERTIFICATE-----\nMIIE",
    ],
)
def test_what_only_looks_like_a_secret_is_let_pass(
    load: Load, warnings: list[str], dags: Path, content: str
) -> None:
    (dags / "dag.py").write_text(content)

    load({})

    assert warnings == []


def test_what_is_not_uploaded_is_warned_about_by_name(
    load: Load, warnings: list[str], dags: Path
) -> None:
    (dags / ".env").write_text(ACCESS_KEY)  # which stays here
    (dags / "link.py").symlink_to("nowhere")

    load({})

    assert [line.partition(": ")[0] for line in warnings] == ["dags/.env", "dags/link.py"]
    assert all("is not uploaded" in line for line in warnings)

    warnings.clear()
    load({"airflow.dagDelivery": "pipeline"})
    assert warnings == []


def test_a_folder_that_is_not_there_is_named(load: Load, dags: Path) -> None:
    (dags / "requirements.txt").unlink()
    dags.rmdir()

    assert mistakes(load, {}) == [
        "dags/: is no folder: create it, or set airflow.dagDelivery to pipeline"
    ]
