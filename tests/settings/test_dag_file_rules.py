"""What lies in dags/ and goes to Airflow."""

from __future__ import annotations

import base64
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import pytest

from tests.settings.conftest import Load, mistakes

# In parts, so that nobody takes this file for one that holds secrets.
ACCESS_KEY = "AKIA" + "QWERTYUIOPASDFGH"
SECRET_KEY = "wJalrXUtnFEMI/" + "K7MDENGbPxRfiCY+zzzzzzzzzz"
HEADER, KEY = "-----BEGIN {}" + "PRIVATE KEY-----", "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC"
GITHUB, SLACK = "ghp" + "_" + "a1" * 18, "xox" + "b-123456789012-abcdefghijklmnopqrst"
PEM = f"{HEADER.format('')}\n{KEY}"


def in_base64(header: str) -> str:
    return base64.b64encode(f"{HEADER.format(header)}\n{KEY}".encode()).decode()


SECRETS = [
    (f"key = '{ACCESS_KEY}'", "an AWS access key"),
    (f'{{"AccessKeyId": "{ACCESS_KEY.replace("AKIA", "ASIA")}"}}', "an AWS access key"),
    (f"export AWS_SECRET_ACCESS_KEY={SECRET_KEY}", "an AWS secret key"),
    (f'{{"SecretAccessKey": "{SECRET_KEY}"}}', "an AWS secret key"),
    (f"aws_secret_access_key = {SECRET_KEY}", "an AWS secret key"),
    (f"Client(secret_access_key='{SECRET_KEY}')", "an AWS secret key"),
    (PEM, "a private key"),
    (f"{HEADER.format('OPENSSH ')}\r\n{KEY}", "a private key"),
    (f"{HEADER.format('RSA ')}\nProc-Type: 4,ENCRYPTED", "a private key"),
    (f'{{"private_key": "{HEADER.format("")}\\n{KEY}"}}', "a private key"),
    *(
        (f"client-key-data: {in_base64(kind)}", "a private key")
        for kind in ("", "RSA ", "EC ", "OPENSSH ")
    ),
    (f"token = '{GITHUB}'", "a token of GitHub"),
    (f"GITHUB_TOKEN={GITHUB.replace('ghp', 'ghs')}", "a token of GitHub"),
    ("github" + "_pat_" + "11ABCDEFG0" * 8, "a token of GitHub"),
    ("glpat" + "-" + "a1B2" * 5, "a token of GitLab"),
    (f"--index-url https://__token__:{'pypi' + '-AgE'}{'IcHlwaS5vcmc' * 5}@x", "a token of PyPI"),
    ("pul" + "-" + "0a" * 20, "a token of Pulumi"),
    (f"slack = {SLACK}", "a token of Slack"),
    (f"https://hooks.slack.com/services/T0/B0/{'a' * 24}", "a token of Slack"),
    ("AIza" + "Sy" + "a1B2c3D4e5F" * 3, "a key of Google's API"),
]


@pytest.mark.parametrize(("content", "secret"), SECRETS)
def test_a_secret_is_refused_by_its_file_and_line_and_not_shown(
    load: Load, dags: Path, content: str, secret: str
) -> None:
    (dags / "team").mkdir()
    (dags / "team" / "notes.txt").write_text(f"# notes\n{content}\n")

    assert mistakes(load, {}) == [
        f"dags/team/notes.txt: holds {secret} (line 2): revoke it, take it out, and keep its "
        "successor in Secrets Manager, as a connection below airflow/mwaa-on-eks-dev/connections/"
    ]

    load({"airflow.dagDelivery": "pipeline"})


def test_every_line_and_kind_is_named(load: Load, dags: Path) -> None:
    (dags / "dag.py").write_text(f"\n{ACCESS_KEY} {ACCESS_KEY}\n{GITHUB}\nx\n{ACCESS_KEY}")

    lines = mistakes(load, {})

    assert [line.partition(": revoke")[0] for line in lines] == [
        "dags/dag.py: holds an AWS access key (line 2, 5)",
        "dags/dag.py: holds a token of GitHub (line 3)",
    ]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_a_secret_is_found_in_what_windows_writes(load: Load, dags: Path, encoding: str) -> None:
    (dags / "notes.txt").write_bytes(f"\r\nkey {ACCESS_KEY}\r\n".encode(encoding))

    (line,) = mistakes(load, {})
    assert line.startswith("dags/notes.txt: holds an AWS access key (line 2): ")


def packaged(file: Path, **content: str) -> None:
    with ZipFile(file, "w", ZIP_DEFLATED) as archive:
        for name, text in content.items():
            archive.writestr(name.replace("__", "/"), text)


def test_a_secret_is_found_in_packaged_dags_and_not_in_a_wheel(
    load: Load, warnings: list[str], dags: Path
) -> None:
    packaged(
        dags / "x-1.0-py3-none-any.whl", x="", tests__key=PEM, **{"x-1.0.dist-info__RECORD": ""}
    )
    load({})
    assert warnings == []

    packaged(dags / "team.zip", team__dag=f"\n\n{ACCESS_KEY}")
    (line,) = mistakes(load, {})
    assert line.startswith("dags/team.zip: holds an AWS access key (line 3 of team/dag): ")


def test_a_zip_file_that_is_none_is_let_pass(load: Load, warnings: list[str], dags: Path) -> None:
    (dags / "broken.zip").write_bytes(b"PK\3\4 and no more")
    load({})
    assert warnings == []


@pytest.mark.parametrize(
    "content",
    [
        "key = 'AKIAIOSFODNN7EXAMPLE'",  # AWS's documentation
        f"x = '{ACCESS_KEY}IJ'",
        "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "secret_access_key = os.environ['AWS_SECRET_ACCESS_KEY']",
        "export AWS_SECRET_ACCESS_KEY=$(pass show aws)",
        "sha1 = 'da39a3ee5e6b4b0d3255bfef95601890afd80709'",
        "token = 'ghp_'",
        "re.compile(r'xox[abp]-')",
        f"certificate-authority-data: {base64.b64encode(b'-----BEGIN CERTIFICATE-----').decode()}",
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
