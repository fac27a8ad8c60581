"""The emulated AWS and the Kubernetes control plane of this clone, as processes on this machine."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final, Self

import boto3
from botocore.config import Config

from sandbox.cloud.aws import cluster_endpoint, rest_api
from sandbox.cloud.kubernetes.control_plane import ControlPlane
from sandbox.machine import forks, go_builds, ports, processes, progress
from sandbox.machine.processes import Process, SandboxError
from sandbox.machine.program import DIRECTORY, ROOT
from sandbox.machine.waiting import wait_for

ACCOUNT: Final = "123456789012"
REGION: Final = "us-west-2"

MOTO: Final = "moto"
MINISTACK: Final = "ministack"
# Which emulator stands for which service. moto refuses more bad requests, so it has all but what
# it lacks: MWAA, and EKS add-ons and access entries.
EMULATORS: Final = {
    "AUTO_SCALING": MOTO,
    "BUDGETS": MOTO,
    "CLOUDWATCH": MOTO,
    "CLOUDWATCH_LOGS": MOTO,
    "EC2": MOTO,
    "ECR": MOTO,
    "EKS": MINISTACK,
    "EMR_CONTAINERS": MOTO,
    "EVENTBRIDGE": MOTO,
    "IAM": MOTO,
    "KMS": MOTO,
    "MWAA": MINISTACK,
    "S3": MOTO,
    "SECRETS_MANAGER": MOTO,
    "SNS": MOTO,
    "SQS": MOTO,
    "STS": MOTO,
}
# The end of one of these is the end of what it knew; the others keep what they know in etcd.
IN_MEMORY: Final = (MOTO, MINISTACK)

PROCESSES: Final = (
    MOTO,
    MINISTACK,
    "etcd",
    "kube-apiserver",
    "authenticator",
    "endpoint",
    "fork-server",
    "kube-controller-manager",
    "kube-scheduler",
    "kwok",
    "kubelet",
    "cluster-autoscaler",
)
LISTENING: Final = (
    MOTO,
    MINISTACK,
    "authenticator",
    "endpoint",
    "endpoint-for-airflow",
    "etcd",
    "etcd-peer",
    "kube-apiserver",
    "kubelet",
    "pod-identity",
)


@dataclass(frozen=True)
class Cloud:
    """A sandbox, as .sandbox/cloud.json records it."""

    ports: dict[str, int]
    processes: dict[str, Process]
    access_key_id: str
    secret_access_key: str
    own_access_key_id: str = ""
    """With which the emulated services call each other."""
    own_secret_access_key: str = ""

    @classmethod
    def load(cls) -> Self | None:
        """Return the recorded sandbox, whether or not its processes still run."""
        try:
            found = json.loads(_record().read_text())
        except FileNotFoundError:
            return None
        recorded = {
            name: Process(**{**process, "command": tuple(process["command"])})
            for name, process in found.pop("processes").items()
        }
        return cls(**found, processes=recorded)

    def save(self) -> None:
        """Record the sandbox, whole or not at all."""
        draft = _record().with_suffix(".draft")
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(asdict(self), indent=2))
        draft.replace(_record())

    @property
    def control_plane(self) -> ControlPlane:
        """Its Kubernetes control plane."""
        return ControlPlane(DIRECTORY, self.ports)

    def endpoint(self, emulator: str) -> str:
        """Return the address of an emulator."""
        return f"http://127.0.0.1:{self.ports[emulator]}"

    def aws_environment(self) -> dict[str, str]:
        """Return what sends every AWS SDK and the AWS CLI here and nowhere else."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": self.endpoint(MOTO),
            **{
                f"AWS_ENDPOINT_URL_{service}": self.endpoint(emulator)
                for service, emulator in EMULATORS.items()
            },
            # Otherwise boto3 looks for MWAA at api.127.0.0.1.
            "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_PAGER": "",
        }

    def ended(self) -> list[str]:
        """Return the names of the processes that should run and do not."""
        return [
            name
            for name in PROCESSES
            if name not in self.processes or not processes.is_running(self.processes[name])
        ]

    def lost(self) -> list[str]:
        """Return the names of the processes with whose end everything was lost."""
        if len(self.processes) < len(PROCESSES):  # the start was cut off
            return self.ended()
        return [name for name in self.ended() if name in IN_MEMORY]


def start(report: Callable[[str], None]) -> Cloud:
    """Return a sandbox all of whose processes serve, mending or starting what is needed.

    The machine stands where SANDBOX_ADDRESS says, for the cluster's endpoint.
    """
    stands_at = os.environ.get("SANDBOX_ADDRESS") or cluster_endpoint.MACHINE
    try:
        cluster_endpoint.places(stands_at)
    except ValueError as error:
        raise SandboxError(
            f"SANDBOX_ADDRESS is {stands_at}: it takes IPv4 addresses and ids of security groups, "
            f"with commas ({error})"
        ) from None
    with _one_at_a_time():
        cloud = _serving(report)
        _stands_at().write_text(stands_at)
        return cloud


def _serving(report: Callable[[str], None]) -> Cloud:
    go_builds.ensure(go_builds.TOOLS.keys() - {"pulumi"})
    cloud = Cloud.load()
    if cloud is None:
        return _start_afresh()
    if lost := cloud.lost():
        report(f"{', '.join(lost)}: ended since, and the emulated AWS is lost; starting afresh")
        _discard(cloud)
        return _start_afresh()
    if forks.serving() not in {None, forks.packages()}:
        processes.end([cloud.processes["fork-server"]])
    ended = cloud.ended()
    if not ended:
        return cloud
    try:
        with progress.step(f"{', '.join(ended)}: ended since; starting again"):
            for name in ended:
                cloud = _launch(cloud, name)
            _await_serving(cloud, ended)
    except SandboxError as error:  # such as a port that another program has taken since
        report(f"{error}\nthis cannot be mended: starting afresh")
        _discard(cloud)
        return _start_afresh()
    return cloud


def stop() -> bool:
    """End every process of the sandbox and forget it; tell whether there was one."""
    with _one_at_a_time():
        cloud = Cloud.load()
        existed = DIRECTORY.exists()
        _discard(cloud)
        return existed


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    # The lock is on a directory that stays: the sandbox's own goes with the sandbox.
    descriptor = os.open(Path(__file__).parent, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _start_afresh() -> Cloud:
    _discard(None)
    DIRECTORY.mkdir(mode=0o700)
    for part in ("logs", "state", "tmp"):
        (DIRECTORY / part).mkdir(mode=0o700)
    cloud = Cloud(ports.free(LISTENING), {}, "", "", *new_key())
    try:
        control_plane = cloud.control_plane
        control_plane.write_files()
        with progress.step("starting the emulated AWS"):
            for name in (MOTO, MINISTACK, "etcd", "kube-apiserver"):
                cloud = _launch(cloud, name)
            _await_serving(cloud, (MOTO, MINISTACK))
            cloud = _launch(_with_credentials(cloud), "authenticator")
            for name in ("endpoint", "fork-server"):
                cloud = _launch(cloud, name)
        with progress.step("starting a Kubernetes control plane"):
            _await_serving(cloud, ("kube-apiserver",))
            control_plane.bind_access_policies()
            for name in PROCESSES[PROCESSES.index("kube-controller-manager") :]:
                cloud = _launch(cloud, name)
            _await_serving(cloud, PROCESSES)
    except BaseException:
        _discard(cloud)
        raise
    return cloud


def _discard(cloud: Cloud | None) -> None:
    if cloud is not None:
        with progress.step("ending the processes of the sandbox"):
            processes.end([*cloud.processes.values()])
    shutil.rmtree(DIRECTORY, ignore_errors=True)


def _launch(cloud: Cloud, name: str) -> Cloud:
    """Start one process and record it."""
    started = processes.start(
        name,
        _command(cloud, name),
        environment=_environment(cloud, name),
        cwd=ROOT,
        log=_log(name),
    )
    cloud = replace(cloud, processes={**cloud.processes, name: started})
    cloud.save()
    return cloud


def _command(cloud: Cloud, name: str) -> list[str]:
    port = str(cloud.ports.get(name))
    ours = {
        MOTO: ["cloud.aws.moto_server", "-H", "127.0.0.1", "-p", port],
        MINISTACK: ["cloud.aws.ministack_server"],
        "authenticator": ["cloud.kubernetes.authenticator", port],
        "endpoint": [
            "cloud.aws.cluster_endpoint",
            *(str(cloud.ports[one]) for one in ("endpoint", "endpoint-for-airflow")),
            str(cloud.ports["kube-apiserver"]),
        ],
        "fork-server": ["machine.fork_server"],
        "kubelet": ["cloud.kubernetes.kubelet", port, str(cloud.ports["pod-identity"])],
        "cluster-autoscaler": ["cloud.kubernetes.autoscaler"],
    }
    if name not in ours:
        return cloud.control_plane.commands()[name]
    module, *arguments = ours[name]
    return [sys.executable, "-m", f"sandbox.{module}", *arguments]


def _environment(cloud: Cloud, name: str) -> dict[str, str]:
    # Nothing of the user's: credentials and proxies must not reach an emulator.
    common = {"PATH": os.environ["PATH"], "HOME": str(DIRECTORY), "TMPDIR": str(DIRECTORY / "tmp")}
    particular = {
        MOTO: {
            **_as_aws(cloud),
            "SANDBOX_RUNS_JOBS": "yes",
            "SANDBOX_AIRFLOW": str(rest_api.SERVING),
            "SANDBOX_MESSAGES": str(_log("messages")),
            "MOTO_ACCOUNT_ID": ACCOUNT,
            "MOTO_IAM_LOAD_MANAGED_POLICIES": "true",
        },
        MINISTACK: {
            **_as_aws(cloud),
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(cloud.ports[MINISTACK]),
            "MINISTACK_ACCOUNT_ID": ACCOUNT,
            "MINISTACK_REGION": REGION,
            "SERVICES": ",".join(s.lower() for s, e in EMULATORS.items() if e == MINISTACK),
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "S3_DATA_DIR": str(DIRECTORY / "tmp" / "s3"),
            "STATE_DIR": str(DIRECTORY / "tmp" / "ministack"),
            "SANDBOX_ENDPOINT": f"https://127.0.0.1:{cloud.ports['endpoint']}",
            "SANDBOX_AIRFLOW": str(rest_api.SERVING),
            "SANDBOX_ENDPOINT_FOR_AIRFLOW": (
                f"https://127.0.0.1:{cloud.ports['endpoint-for-airflow']}"
            ),
            "SANDBOX_API_SERVER_CA": str(cloud.control_plane.authority),
            "SANDBOX_ETCD": cloud.control_plane.store.address,
            "SANDBOX_ETCD_KEYS": str(cloud.control_plane.store.keys),
        },
        "endpoint": {**_as_aws(cloud), "SANDBOX_STANDS_AT": str(_stands_at())},
        "authenticator": cloud.aws_environment(),
        "fork-server": {"HOME": str(Path.home())},  # packages look for it as they are imported
        "kubelet": {
            **_as_aws(cloud),
            "XDG_CACHE_HOME": str(go_builds.cache_directory().parent),  # it starts Spark from there
        },
        "cluster-autoscaler": _as_aws(cloud),
    }
    return common | particular.get(name, {})


def _as_aws(cloud: Cloud) -> dict[str, str]:
    """Return with what the emulated services reach each other and the cluster."""
    return {
        **cloud.aws_environment(),
        "AWS_ACCESS_KEY_ID": cloud.own_access_key_id,
        "AWS_SECRET_ACCESS_KEY": cloud.own_secret_access_key,
        "KUBECONFIG": str(cloud.control_plane.kubeconfig),
    }


def _with_credentials(cloud: Cloud) -> Cloud:
    """Return the sandbox with credentials of a user that its IAM knows."""
    own = (cloud.own_access_key_id, cloud.own_secret_access_key)
    key_id, secret = issue_key(cloud.endpoint(MOTO), *own)
    return replace(cloud, access_key_id=key_id, secret_access_key=secret)


def new_key() -> tuple[str, str]:
    """Return an access key, its id and its secret, that only who is told it knows."""
    return f"AKIA{secrets.token_hex(8).upper()}", secrets.token_urlsafe(30)


def issue_key(moto: str, own_key_id: str, own_secret: str) -> tuple[str, str]:
    """Make the sandbox's user, and return id and secret of an access key of theirs."""
    iam = boto3.client(
        "iam",
        endpoint_url=moto,
        region_name=REGION,
        aws_access_key_id=own_key_id,
        aws_secret_access_key=own_secret,
        config=Config(proxies={}),  # a proxy of the user's does not know this machine
    )
    iam.create_user(UserName="sandbox")
    key = iam.create_access_key(UserName="sandbox")["AccessKey"]
    return key["AccessKeyId"], key["SecretAccessKey"]


def _await_serving(cloud: Cloud, names: tuple[str, ...] | list[str]) -> None:
    control_plane = cloud.control_plane
    conditions: dict[str, Callable[[], bool]] = {
        "fork-server": lambda: forks.serving() is not None,
        "kube-apiserver": control_plane.is_ready,
        "kube-controller-manager": control_plane.has_service_accounts,
    }
    for name in names:
        serves = conditions.get(name, lambda name=name: _listens(cloud, name))

        def serves_or_has_ended(name: str = name, serves: Callable[[], bool] = serves) -> bool:
            if not processes.is_running(cloud.processes[name]):
                raise SandboxError(f"{name} ended at once:\n{_last_lines(name)}")
            return serves()

        try:
            wait_for(serves_or_has_ended, f"{name} to serve")
        except TimeoutError as error:
            raise SandboxError(f"{error}:\n{_last_lines(name)}") from None


def _listens(cloud: Cloud, name: str) -> bool:
    port = cloud.ports.get(name)
    if port is None:
        return processes.is_running(cloud.processes[name])
    return ports.answers(port)


def _record() -> Path:
    return DIRECTORY / "cloud.json"


def _stands_at() -> Path:
    return DIRECTORY / "address"


def _log(name: str) -> Path:
    return DIRECTORY / "logs" / f"{name}.log"


def _last_lines(name: str) -> str:
    return "\n".join(_log(name).read_text(errors="replace").splitlines()[-20:])
