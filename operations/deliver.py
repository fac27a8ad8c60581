"""DAGs, plugins, startup script and requirements reach Airflow, and nothing else changes.

    python -m operations.deliver --environment mwaa-on-eks-dev

For stacks with `airflow.dagDelivery: pipeline`, which upload nothing themselves. It takes rights
to the bucket and to the environment, and none to the stack. What has the same content already
stays; what is gone from the folder is hidden by a delete marker, and its versions stay. Airflow
restarts only if requirements, plugins or startup script have changed, once for all of them; DAGs
follow when it has what they may need.
"""

from __future__ import annotations

import argparse
import ast
import base64
import hashlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final, TypeAlias
from zipfile import BadZipFile, ZipFile

from botocore.exceptions import BotoCoreError, ClientError

from components.dag_folder import (
    DAG_FOLDER,
    NO_SCRIPT,
    PLUGINS,
    REQUIREMENTS,
    STARTUP_SCRIPT,
    files_to_upload,
    left_out,
    secrets_in,
)
from components.plugins import zip_file
from operations.identities import Account

Json: TypeAlias = Any
Say: TypeAlias = Callable[[str], None]

MARK: Final = "dag-delivery"
"""The tag of an environment that says who delivers: the program writes it."""
POLL_SECONDS: Final = 15
LONGEST_SECONDS: Final = 3 * 3600

_PINNED: Final = {
    REQUIREMENTS: "RequirementsS3",
    PLUGINS: "PluginsS3",
    STARTUP_SCRIPT: "StartupScriptS3",
}
"""The beginnings of what MWAA calls their paths and versions."""
_WORKING: Final = frozenset(
    {"CREATING", "CREATING_SNAPSHOT", "MAINTENANCE", "PENDING", "ROLLING_BACK", "UPDATING"}
)
_READY: Final = frozenset({"AVAILABLE", "UPDATE_FAILED"})


class DeliveryError(Exception):
    """Why nothing, or not all, was delivered."""


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What the repository gives to Airflow."""

    dags: Path
    plugins: Path | None = None
    startup_script: Path | None = None

    def files(self, room: Path) -> dict[str, Path]:
        """Return the files by the keys that they get; room: for one that has to be made."""
        script = room / STARTUP_SCRIPT
        script.write_text(NO_SCRIPT)
        return {
            **dict(files_to_upload(self.dags)),
            # Always, as the program: MWAA lets go of none.
            PLUGINS: zip_file(self.plugins),
            STARTUP_SCRIPT: self.startup_script or script,
        }


def problems(sources: Sources, files: Mapping[str, Path]) -> Iterator[str]:
    """Name what the program would refuse, too."""
    if REQUIREMENTS not in files:
        yield f"{sources.dags}/{REQUIREMENTS} is missing: write it, with Airflow's constraints"
    for key, path in files.items():
        if key == PLUGINS:
            yield from _zip_problems(sources.plugins, path)
            continue
        content = path.read_bytes()
        for secret in secrets_in(content):
            yield (
                f"{path} holds {secret}: revoke it, take it out, and keep its successor in "
                "Secrets Manager"
            )
        if key.startswith(f"{DAG_FOLDER}/") and path.suffix == ".py":
            try:
                ast.parse(content, str(path))
            except (SyntaxError, ValueError) as error:
                yield f"{path} is not Python: {error}"
    if sources.startup_script is not None:
        yield from _script_problems(sources.startup_script)


def _zip_problems(plugins: Path | None, path: Path) -> Iterator[str]:
    try:
        with ZipFile(path) as archive:
            for one in archive.infolist():
                name = PurePosixPath(one.filename)
                if name.is_absolute() or ".." in name.parts:
                    yield f"{plugins} holds {name}, which leads out of the folder: zip it anew"
                elif one.flag_bits & 1:
                    yield f"{plugins} has a password on {name}, which MWAA does not know"
                else:
                    for secret in secrets_in(archive.read(one)):
                        yield f"{plugins} holds {secret} in {name}: revoke it, and take it out"
    except (BadZipFile, NotImplementedError) as error:
        yield f"{plugins} is no zip file that MWAA could unpack ({error}): zip it anew"


def _script_problems(script: Path) -> Iterator[str]:
    try:
        text = script.read_bytes().decode()
    except UnicodeDecodeError:
        yield f"{script} is not in UTF-8: save it so"
        return
    first = text.partition("\n")[0]
    if "\r" in text:
        yield f"{script} has lines that end as on Windows, in CR: save it with LF alone"
    elif first.startswith("#!") and not first.rstrip().endswith("sh"):
        yield f"{script} begins with {first}, and MWAA runs it with bash: write it for bash"


class Bucket:
    """The objects that Airflow reads, compared by content."""

    def __init__(self, account: Account, name: str) -> None:
        self._account = account
        self._s3 = account.client("s3")
        self.name = name

    def keys(self) -> dict[str, int]:
        """Return sizes by key, of what is not hidden."""
        found = self._account.pages("s3", "list_objects_v2", Bucket=self.name)
        return {one["Key"]: one["Size"] for one in found}

    def version(self, key: str) -> str:
        """Return the version that counts."""
        version: str = self._s3.head_object(Bucket=self.name, Key=key)["VersionId"]
        return version

    def holds(self, key: str, path: Path, version: str | None = None) -> bool:
        """Tell whether an object, or this version of it, has the content of a file."""
        which = {"Bucket": self.name, "Key": key, **({"VersionId": version} if version else {})}
        try:
            head = self._s3.head_object(**which, ChecksumMode="ENABLED")
        except ClientError as error:
            if error.response["Error"]["Code"] in {"400", "404", "NoSuchKey", "NoSuchVersion"}:
                return False
            raise
        if head["ContentLength"] != path.stat().st_size:
            return False
        checksum = head.get("ChecksumSHA256")
        # Of an object uploaded in parts it is a checksum of checksums.
        if checksum is None or head.get("ChecksumType") == "COMPOSITE":
            checksum = _sha256(self._s3.get_object(**which)["Body"])
        return bool(checksum == _sha256_of(path))

    def put(self, key: str, path: Path) -> str:
        """Upload a file and return the version that it got."""
        with path.open("rb") as body:
            stored = self._s3.put_object(
                Bucket=self.name, Key=key, Body=body, ChecksumSHA256=_sha256_of(path)
            )
        version: str = stored["VersionId"]
        return version

    def hide(self, key: str) -> None:
        """Lay a delete marker over an object's versions."""
        self._s3.delete_object(Bucket=self.name, Key=key)


def _sha256(body: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while piece := body.read(2**20):
        digest.update(piece)
    return base64.b64encode(digest.digest()).decode()


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return _sha256(file)


class Environment:
    """An MWAA environment."""

    def __init__(self, account: Account, name: str, say: Say) -> None:
        self._mwaa = account.client("mwaa")
        self._say = say
        self.name = name

    def describe(self) -> Json:
        """Return what MWAA says of it."""
        return self._mwaa.get_environment(Name=self.name)["Environment"]

    def settled(self) -> Json:
        """Return what MWAA says of it when nobody changes it any more."""
        return self._wait(lambda found: found["Status"] not in _WORKING)

    def update(self, changes: Mapping[str, str]) -> None:
        """Let it have other files, and return when it runs with them."""
        before = self.describe().get("LastUpdate", {}).get("CreatedAt")
        self._mwaa.update_environment(Name=self.name, **changes)

        def ended(found: Json) -> bool:
            last = found.get("LastUpdate", {})
            if found["Status"] in _WORKING or last.get("Status") == "PENDING":
                return False
            # Of this update, which MWAA may tell of a moment later.
            failed = last.get("Status") == "FAILED" and last.get("CreatedAt") != before
            return failed or changes.items() <= found.items() or found["Status"] not in _READY

        found = self._wait(ended)
        if not changes.items() <= found.items() or found["Status"] != "AVAILABLE":
            error = found.get("LastUpdate", {}).get("Error", {})
            why = " ".join(filter(None, (error.get("ErrorCode"), error.get("ErrorMessage"))))
            raise DeliveryError(
                f"MWAA did not update {self.name}, which is {found['Status']}: "
                f"{why or 'it says no reason'}; no DAG was delivered. See the log groups "
                f"airflow-{self.name}-*, mend the files, and deliver again"
            )

    def _wait(self, ended: Callable[[Json], bool]) -> Json:
        began = time.monotonic()
        said = None
        while not ended(found := self.describe()):
            minutes = round((time.monotonic() - began) / 60)
            if (now := (found["Status"], minutes)) != said:
                said = now
                self._say(f"{self.name} is {found['Status']} ({minutes} min)")
            if time.monotonic() - began > LONGEST_SECONDS:
                raise DeliveryError(f"{self.name} is {found['Status']} for three hours: look why")
            time.sleep(POLL_SECONDS)
        return found


def deliver(environment: Environment, account: Account, sources: Sources, say: Say) -> None:
    """Let Airflow have what the repository gives it."""
    about = environment.describe()
    _require_pipeline(about)
    for name, reason in left_out(sources.dags):
        say(f"{sources.dags}/{name} is not uploaded: {reason}")
    with tempfile.TemporaryDirectory() as room:
        files = sources.files(Path(room))
        if found := list(problems(sources, files)):
            raise DeliveryError("\n".join(found))
        about = environment.settled()
        if about["Status"] not in _READY:
            raise DeliveryError(f"{environment.name} is {about['Status']}: it takes no files")
        bucket = Bucket(account, about["SourceBucketArn"].rpartition(":")[2])
        there = bucket.keys()
        dags = {key: path for key, path in files.items() if key.startswith(f"{DAG_FOLDER}/")}
        gone = [key for key in there if _is_dag(key) and key not in dags]
        if gone and not any(path.suffix in {".py", ".zip"} for path in dags.values()):
            raise DeliveryError(
                f"{sources.dags} holds no DAG, and {len(gone)} files of the bucket would go: is it "
                "the right folder?"
            )
        changes, written = _pin(bucket, about, files, say)
        if changes:
            say(f"{environment.name} restarts with them (20 to 40 minutes)")
            environment.update(changes)
        for key, path in dags.items():
            if key not in there or not bucket.holds(key, path):
                bucket.put(key, path)
                say(f"{key}: {'changed' if key in there else 'new'}")
                written = True
        for key in gone:
            bucket.hide(key)
            say(f"{key}: gone")
        if not (changes or written or gone):
            say(f"nothing to deliver: {environment.name} has all of it")


def _is_dag(key: str) -> bool:
    return key.startswith(f"{DAG_FOLDER}/") and not key.endswith("/")


def _pin(
    bucket: Bucket, about: Json, files: Mapping[str, Path], say: Say
) -> tuple[dict[str, str], bool]:
    """Upload what is read at a fixed version; return what to tell MWAA, and whether it did."""
    changes: dict[str, str] = {}
    written = False
    for key, kind in _PINNED.items():
        path_key, version_key = f"{kind}Path", f"{kind}ObjectVersion"
        pinned = about.get(version_key)
        same = (
            about.get(path_key) == key and pinned and bucket.holds(key, files[key], version=pinned)
        )
        if not bucket.holds(key, files[key]):
            version = bucket.put(key, files[key])
            written = True
            say(f"{key}: {'written again' if same else 'changed'}, version {version}")
        elif not same:
            version = bucket.version(key)
            say(f"{key}: version {version} is there and not rolled out")
        if not same:
            changes |= {path_key: key, version_key: version}
    return changes, written


def _require_pipeline(about: Json) -> None:
    delivers = about.get("Tags", {}).get(MARK)
    if delivers != "pipeline":
        who = f"says that {delivers} delivers" if delivers else "does not say who delivers"
        raise DeliveryError(
            f"the tag {MARK} of {about['Name']} {who}: set airflow.dagDelivery to pipeline, and "
            "`pulumi up`; else the next one would put its own files back"
        )


def _if_there(name: str) -> Path | None:
    return Path(name) if Path(name).exists() else None


def main() -> int:
    """Deliver, and tell what was delivered."""
    parser = argparse.ArgumentParser(prog="python -m operations.deliver")
    parser.add_argument("--environment", required=True, help="the MWAA environment's name")
    parser.add_argument("--region", help="its region; else the one of the shell")
    parser.add_argument("--dags", type=Path, default=Path("dags"))
    parser.add_argument(
        "--plugins",
        type=Path,
        default=_if_there("plugins"),
        help="a folder or a zip file; plugins where that is there",
    )
    parser.add_argument(
        "--startup-script",
        type=Path,
        default=_if_there("startup.sh"),
        help="startup.sh where that is there",
    )
    told = parser.parse_args()
    sources = Sources(dags=told.dags, plugins=told.plugins, startup_script=told.startup_script)

    def say(text: str) -> None:
        print(text, flush=True)

    try:
        for given in (told.plugins, told.startup_script):
            if given is not None and not given.exists():
                raise DeliveryError(f"{given} is not there")
        account = Account(told.region)
        deliver(Environment(account, told.environment, say), account, sources, say)
    except (BotoCoreError, ClientError, DeliveryError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
