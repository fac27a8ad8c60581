"""The sandbox's processes: what they serve, how they are mended, and that they go."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import kubernetes.client
import psutil
import pytest

from sandbox import stack
from sandbox.clone import Clone
from sandbox.cloud import lifecycle
from sandbox.cloud.lifecycle import LISTENING, Cloud
from sandbox.engine import plugins
from sandbox.engine.environment import environment
from sandbox.machine import go_builds, ports, processes
from sandbox.machine.program import ROOT
from sandbox.machine.waiting import wait_for
from sandbox.tests import stranger
from sandbox.tests.aws_account import trust
from sandbox.tests.ended import ended
from sandbox.tests.serving import serving


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """A clone whose sandbox runs, with a stack that holds one resource of no cloud."""
    clone = Clone.make(tmp_path_factory.mktemp("clone"))
    (clone.directory / "__main__.py").write_text(PROGRAM)
    (clone.directory / "Pulumi.yaml").write_text("{name: mwaa-on-eks, runtime: python}")
    clone.start()
    yield clone
    clone.stop()


PROGRAM = """
import pulumi
from pulumi.dynamic import CreateResult, Resource, ResourceProvider

class Provider(ResourceProvider):
    def create(self, properties):
        return CreateResult("made", properties)

class Made(Resource):
    def __init__(self, name):
        super().__init__(Provider(), name, {})

pulumi.export("answer", Made("thing").id)
"""


def _recorded(clone: Clone) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((clone.directory / ".sandbox/cloud.json").read_text())
    return found


def _pids(clone: Clone) -> dict[str, int]:
    return {name: process["pid"] for name, process in _recorded(clone)["processes"].items()}


def _kill(clone: Clone, name: str) -> None:
    pid = _pids(clone)[name]
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: ended(pid), f"{pid} to end")


def test_it_listens_on_loopback_only(clone: Clone) -> None:
    found = stranger.listening(_pids(clone).values())
    assert found.keys() == set(_recorded(clone)["ports"].values())
    assert {address for address, _ in found.values()} == {"127.0.0.1"}


# Without credentials, and without TLS where there has to be TLS.
REFUSED = {400, 401, 403}
HEALTH = {f"GET https /{path}" for path in ("healthz", "livez", "readyz")}


def test_nobody_else_can_do_anything_with_its_ports(clone: Clone) -> None:
    record = _recorded(clone)
    key_id, secret = record["access_key_id"], record["secret_access_key"]
    keys = [
        ("test", "test", None),
        (*lifecycle.new_key(), None),  # such as one of another sandbox
        (key_id, "guessed", None),
        (key_id, secret, "a session that nobody has"),
        (record["own_access_key_id"], "guessed", None),
    ]
    ports = stranger.listening(_pids(clone).values())
    attempts = {
        port: stranger.unsigned() + [one for key in keys for one in stranger.signed(port, *key)]
        for port in ports
    }

    def act() -> list[Any]:
        return [[port, stranger.statuses(port, attempts[port])] for port in ports]

    for port, answers in stranger.as_somebody_else(act, clone.directory):
        told = [one for one in answers if one[1] not in REFUSED]
        assert not told, f"{ports[port]} answered"
    # The same requests are answered to whom the sandbox belongs.
    ours = {
        emulator: dict(stranger.statuses(port, stranger.signed(port, key_id, secret)))
        for emulator in ("moto", "ministack")
        for port in [record["ports"][emulator]]
    }
    assert ours["moto"]["GET http /"] == ours["moto"]["POST http /"] == 200
    assert ours["ministack"]["GET http /clusters"] == 200


def test_strangers_learn_of_the_api_server_that_it_lives(clone: Clone) -> None:
    attempts = [stranger.Attempt("GET", f"/{path}", {}) for path in ("livez", "healthz?verbose")]
    port = _recorded(clone)["ports"]["kube-apiserver"]
    answers = stranger.as_somebody_else(lambda: stranger.statuses(port, attempts), clone.directory)
    assert ["GET https /livez", 200] in answers


def test_who_connects_and_says_nothing_keeps_nobody_waiting(clone: Clone) -> None:
    ports = _recorded(clone)["ports"]
    with ExitStack() as silent:
        for port in ports.values():
            silent.enter_context(socket.create_connection(("127.0.0.1", port)))
        for name in ("kubelet", "authenticator"):
            began = time.monotonic()
            assert stranger.statuses(ports[name], [stranger.Attempt("GET", "/", {})]) == []
            assert time.monotonic() - began < 5


def test_its_files_are_its_owners_alone(clone: Clone) -> None:
    home = clone.directory / ".sandbox"
    files = [home, *(one for one in home.rglob("*") if not one.is_symlink())]
    assert len(files) > 50
    open_to_others = {one for one in files if one.exists() and one.stat().st_mode & 0o077}
    assert not open_to_others
    secrets = {_recorded(clone)[f"{whose}secret_access_key"] for whose in ("", "own_")}
    # Which arguments a process was started with everybody may read.
    arguments = " ".join(
        argument for pid in _pids(clone).values() for argument in psutil.Process(pid).cmdline()
    )
    assert not [one for one in secrets if one in arguments]


@pytest.mark.skipif(
    os.getuid() != 0, reason="only root can become somebody else: reading its files is not tried"
)
def test_nobody_else_reads_its_files(clone: Clone) -> None:
    clone.directory.chmod(0o755)
    files = [
        str(one.relative_to(clone.directory))
        for one in (clone.directory / ".sandbox").rglob("*")
        if one.is_file()
    ]
    environments = [f"/proc/{pid}/environ" for pid in _pids(clone).values()]
    tried = ["Makefile", *files, *environments]
    assert stranger.as_somebody_else(lambda: stranger.readable(tried), clone.directory) == [
        "Makefile"
    ]


def test_every_service_has_an_endpoint_of_this_sandbox(clone: Clone) -> None:
    ports = {_recorded(clone)["ports"][emulator] for emulator in ("moto", "ministack")}
    endpoints = {k: v for k, v in clone.environment.items() if k.startswith("AWS_ENDPOINT_URL")}
    assert {urlsplit(endpoint).port for endpoint in endpoints.values()} == ports
    assert {"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_EMR_CONTAINERS"} <= endpoints.keys()


def _subnets(ec2: Any) -> list[str]:  # noqa: ANN401  (of boto3's making)
    vpc_id = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    return [
        ec2.create_subnet(
            VpcId=vpc_id, CidrBlock=f"10.0.{number}.0/24", AvailabilityZone=f"us-west-2{zone}"
        )["Subnet"]["SubnetId"]
        for number, zone in enumerate("ab")
    ]


def _create_cluster(clone: Clone, name: str) -> None:
    """Make a cluster that lets nobody in."""
    role = clone.aws("iam").create_role(
        RoleName=name, AssumeRolePolicyDocument=trust("eks.amazonaws.com")
    )
    clone.aws("eks").create_cluster(
        name=name,
        roleArn=role["Role"]["Arn"],
        resourcesVpcConfig={"subnetIds": _subnets(clone.aws("ec2"))},
        accessConfig={
            "authenticationMode": "API",
            "bootstrapClusterCreatorAdminPermissions": False,
        },
    )


def test_the_emulated_cluster_has_the_real_api_server(clone: Clone) -> None:
    eks = clone.aws("eks")
    _create_cluster(clone, "real")
    try:
        cluster = eks.describe_cluster(name="real")["cluster"]
        address = urlsplit(cluster["endpoint"])
        authority = base64.b64decode(cluster["certificateAuthority"]["data"]).decode()
        context = ssl.create_default_context(cadata=authority)
        with (
            socket.create_connection((address.hostname, address.port), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname=address.hostname) as encrypted,
        ):
            assert encrypted.version() == "TLSv1.3"
    finally:
        eks.delete_cluster(name="real")


def test_a_token_of_the_aws_cli_is_known_to_the_api_server(clone: Clone) -> None:
    eks = clone.aws("eks")
    caller = clone.aws("sts").get_caller_identity()["Arn"]
    _create_cluster(clone, "known")
    try:
        assert _who_am_i(clone, "known") is None
        eks.create_access_entry(
            clusterName="known", principalArn=caller, kubernetesGroups=["people"]
        )
        eks.associate_access_policy(
            clusterName="known",
            principalArn=caller,
            policyArn="arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy",
            accessScope={"type": "cluster"},
        )
        # The API server remembers the refusal for a while.
        user = wait_for(lambda: _who_am_i(clone, "known"), "the entry to count")
        assert user.username == caller
        assert "people" in user.groups
        administrator = kubernetes.client.CoreV1Api(_api_client(clone, "known"))
        assert administrator.list_node() is not None
    finally:
        eks.delete_cluster(name="known")


def _api_client(clone: Clone, cluster: str) -> kubernetes.client.ApiClient:
    told = subprocess.run(
        ["aws", "eks", "get-token", "--cluster-name", cluster],
        env=clone.environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    configuration = kubernetes.client.Configuration()
    described = clone.aws("eks").describe_cluster(name=cluster)["cluster"]
    configuration.host = described["endpoint"]
    configuration.ssl_ca_cert = str(clone.directory / ".sandbox/pki/ca.crt")
    configuration.api_key["authorization"] = f"Bearer {json.loads(told)['status']['token']}"
    return kubernetes.client.ApiClient(configuration)


def _who_am_i(clone: Clone, cluster: str) -> Any:  # noqa: ANN401
    api: Any = kubernetes.client.AuthenticationV1Api(_api_client(clone, cluster))
    try:
        answer = api.create_self_subject_review(kubernetes.client.V1SelfSubjectReview())
    except kubernetes.client.ApiException as error:
        if error.status != 401:
            raise
        return None
    return answer.status.user_info


def test_nodes_and_pods_live_and_die(clone: Clone) -> None:
    core: Any = kubernetes.client.CoreV1Api(clone.kubernetes)
    batch: Any = kubernetes.client.BatchV1Api(clone.kubernetes)
    core.create_node({"metadata": {"name": "node"}})
    core.create_namespace({"metadata": {"name": "work"}})
    wait_for(lambda: core.list_namespaced_service_account("work").items, "an account")
    container = {"name": "main", "image": "example.com/image"}
    core.create_namespaced_pod(
        "work", {"metadata": {"name": "service"}, "spec": {"containers": [container]}}
    )
    ends = {**container, "command": ["true"]}
    template = {"spec": {"restartPolicy": "Never", "containers": [ends]}}
    batch.create_namespaced_job(
        "work", {"metadata": {"name": "job"}, "spec": {"template": template}}
    )

    def conditions() -> dict[str, str]:
        return {c.type: c.status for c in core.read_node("node").status.conditions or []}

    wait_for(lambda: conditions().get("Ready") == "True", "a ready pod")
    wait_for(lambda: batch.read_namespaced_job("job", "work").status.succeeded, "the job")
    service = core.read_namespaced_pod("service", "work")
    assert service.status.phase == "Running"
    assert service.spec.node_name == "node"
    (token,) = (volume for volume in service.spec.volumes if volume.projected)
    assert token.projected.sources[0].service_account_token is not None

    core.delete_namespace("work")
    wait_for(
        lambda: "work" not in {one.metadata.name for one in core.list_namespace().items},
        "the namespace to go",
    )
    core.delete_node("node")


def test_a_pod_that_is_to_end_runs_its_command_and_tells_how_it_ended(clone: Clone) -> None:
    core: Any = kubernetes.client.CoreV1Api(clone.kubernetes)
    core.create_node({"metadata": {"name": "node"}})
    core.create_namespace({"metadata": {"name": "ending"}})
    wait_for(lambda: core.list_namespaced_service_account("ending").items, "an account")
    scripts = {
        "succeeds": "echo $GREETING; echo there >&2",
        "fails": "echo bad; exit 3",
        "stays": "echo begun; sleep 600",
    }
    for name, script in scripts.items():
        container = {
            "name": "main",
            "image": "example.com/image",
            "command": ["sh", "-c", script],
            "env": [{"name": "GREETING", "value": "hello"}],
        }
        spec = {"restartPolicy": "Never", "containers": [container]}
        core.create_namespaced_pod("ending", {"metadata": {"name": name}, "spec": spec})

    def phase(name: str) -> Any:  # noqa: ANN401
        return core.read_namespaced_pod(name, "ending").status.phase

    wait_for(lambda: phase("succeeds") == "Succeeded", "a pod to succeed")
    assert core.read_namespaced_pod_log("succeeds", "ending") == "hello\nthere\n"
    stamped = core.read_namespaced_pod_log("succeeds", "ending", timestamps=True, tail_lines=1)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]{8}\.\d{9}Z there\n", stamped)
    wait_for(lambda: phase("fails") == "Failed", "a pod to fail")
    (status,) = core.read_namespaced_pod("fails", "ending").status.container_statuses
    assert status.state.terminated.exit_code == 3
    wait_for(lambda: phase("stays") == "Running", "a pod to run")
    wait_for(lambda: core.read_namespaced_pod_log("stays", "ending") == "begun\n", "its log")
    (shell,) = (
        one
        for one in psutil.process_iter(["cmdline"])
        if (one.info["cmdline"] or [])[-1:] == [scripts["stays"]]
    )
    core.delete_namespaced_pod("stays", "ending")
    wait_for(lambda: ended(shell.pid), "its process to end")
    core.delete_namespace("ending")
    core.delete_node("node")


def test_the_environment_reaches_the_sandbox_from_anywhere(clone: Clone, tmp_path: Path) -> None:
    shell = (
        f'eval "$({clone.directory}/sandbox/env)" && eval "$({clone.directory}/sandbox/env)" && '
        "aws sts get-caller-identity --query Arn --output text && pulumi whoami -v && "
        'echo "${AWS_SESSION_TOKEN-none}" && echo "$PATH"'
    )
    done = subprocess.run(
        ["sh", "-c", shell],
        cwd=tmp_path,
        env={**os.environ, "AWS_PROFILE": "nobody", "AWS_SESSION_TOKEN": "another account's"},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith("arn:aws:iam::123456789012:user/sandbox\n")
    assert f"file://{clone.directory}/.sandbox/state" in done.stdout
    session, path = done.stdout.splitlines()[-2:]
    assert session == "none"
    assert path.split(os.pathsep).count(f"{clone.directory}/sandbox/providers/plugins") == 1


def test_without_a_sandbox_the_environment_says_what_to_do(tmp_path: Path) -> None:
    clone = Clone.make(tmp_path)
    done = subprocess.run(
        [clone.directory / "sandbox/env"], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "make up" in done.stderr


def test_before_anything_is_installed_the_environment_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "sandbox").mkdir()
    script = Path(shutil.copy(ROOT / "sandbox/env", tmp_path / "sandbox"))
    done = subprocess.run([script], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert "make up" in done.stderr


@pytest.mark.parametrize(
    "name",
    ["kwok", "kubelet", "kube-apiserver", "etcd", "authenticator", "endpoint", "fork-server"],
)
def test_what_keeps_nothing_is_started_again(clone: Clone, name: str) -> None:
    before, ports = _pids(clone), _recorded(clone)["ports"]
    core: Any = kubernetes.client.CoreV1Api(clone.kubernetes)
    core.create_namespace({"metadata": {"name": f"kept-{name}"}})
    _kill(clone, name)
    refused = subprocess.run(
        [clone.directory / "sandbox/env"], check=False, capture_output=True, text=True
    )
    assert refused.returncode == 1
    assert name in refused.stderr
    mended = clone.sandbox("start")
    assert re.fullmatch(rf" +\d+\.\d s  {name}: ended since; starting again\n", mended.stdout)
    changed = {key for key, pid in _pids(clone).items() if pid != before[key]}
    assert changed == {name}
    assert _recorded(clone)["ports"] == ports
    assert f"kept-{name}" in {n.metadata.name for n in core.list_namespace().items}


def test_with_other_packages_forks_are_of_those(
    clone: Clone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _pids(clone)
    with monkeypatch.context() as patched:
        patched.setenv("XDG_CACHE_HOME", str(go_builds.cache_directory().parent))
        patched.setenv("HOME", str(tmp_path))  # packages look into it as they are imported
        mended = clone.sandbox("start")
        assert "fork-server: ended since; starting again" in mended.stdout
        assert clone.sandbox("start").stdout == ""
    assert {name for name, pid in _pids(clone).items() if pid != before[name]} == {"fork-server"}
    clone.sandbox("start")


def test_up_and_preview_and_what_is_up(clone: Clone) -> None:
    done = clone.sandbox("up")
    assert "warning" not in done.stdout
    assert "answer  made" in done.stdout
    assert "2 unchanged" in clone.sandbox("preview").stdout


def test_a_stack_that_somebody_works_on_is_left_alone(clone: Clone) -> None:
    _lock(clone, os.getpid())
    done = clone.sandbox("up", check=False)
    assert done.returncode == 1
    assert f"process {os.getpid()} works on the stack" in done.stderr


def test_a_lock_of_a_dead_process_is_opened(clone: Clone) -> None:
    _lock(clone, _unused_pid())
    done = clone.sandbox("up")
    assert "unlocking it" in done.stdout
    assert "2 unchanged" in done.stdout


def _lock(clone: Clone, pid: int) -> None:
    locks = clone.directory / ".sandbox/state/.pulumi/locks/organization/mwaa-on-eks/sandbox"
    locks.mkdir(parents=True, exist_ok=True)
    content = {
        "pid": pid,
        "username": "me",
        "hostname": "here",
        "timestamp": "2026-01-01T00:00:00Z",
    }
    (locks / "0.json").write_text(json.dumps(content))


def _unused_pid() -> int:
    return next(pid for pid in range(2**22 - 1, 1, -1) if not psutil.pid_exists(pid))


@pytest.mark.parametrize("content", ["", "{}"])
def test_a_damaged_state_is_named_with_the_way_out(clone: Clone, content: str) -> None:
    state = clone.directory / ".sandbox/state/.pulumi/stacks/mwaa-on-eks/sandbox.json"
    before = state.read_text()
    state.write_text(content)
    for verb in ("up", "preview"):
        done = clone.sandbox(verb, check=False)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert f"the stack's state is damaged: {state}: " in done.stderr
        assert "or let `make down` take everything away" in done.stderr
    assert state.with_name("sandbox.json.bak").exists()
    state.write_text(before)


def test_a_lock_that_was_cut_off_is_opened(clone: Clone) -> None:
    _lock(clone, os.getpid())
    lock = clone.directory / ".sandbox/state/.pulumi/locks/organization/mwaa-on-eks/sandbox/0.json"
    lock.write_text('{"pid": 1')
    assert "unlocking it" in clone.sandbox("up").stdout


def test_after_a_run_that_was_cut_off_everything_is_new(clone: Clone) -> None:
    before = _pids(clone)
    state = clone.directory / ".sandbox/state/.pulumi/stacks/mwaa-on-eks/sandbox.json"
    content = json.loads(state.read_text())
    latest = content["checkpoint"]["latest"]
    latest["pending_operations"] = [{"resource": latest["resources"][-1], "type": "creating"}]
    state.write_text(json.dumps(content))
    done = clone.sandbox("up")
    assert "cut off while it worked on thing: starting afresh" in done.stdout
    steps = ("ending the processes of the sandbox", "starting the emulated AWS")
    assert re.search("".join(rf" +\d+\.\d s  {step}\n" for step in steps), done.stdout)
    assert "2 created" in done.stdout
    assert not set(before.values()) & set(_pids(clone).values())
    assert all(map(ended, before.values()))


def test_with_an_emulator_everything_is_lost(clone: Clone) -> None:
    before = _pids(clone)
    _kill(clone, "moto")
    done = clone.sandbox("up")
    assert "moto: ended since, and the emulated AWS is lost; starting afresh" in done.stdout
    assert "2 created" in done.stdout
    assert all(map(ended, before.values()))


def test_a_start_that_was_cut_off_is_made_again(clone: Clone) -> None:
    before = _pids(clone)
    _kill(clone, "kwok")
    record = _recorded(clone)
    del record["processes"]["kwok"]
    (clone.directory / ".sandbox/cloud.json").write_text(json.dumps(record))
    done = clone.sandbox("up")
    assert "kwok: ended since" in done.stdout
    assert "2 created" in done.stdout
    assert all(map(ended, before.values()))


def test_down_leaves_nothing_and_takes_nothing_else(clone: Clone) -> None:
    pids = _pids(clone)
    # What a volume driver leaves whose add-on is gone before it has deleted it.
    tags = [{"Key": "kubernetes.io/cluster/mwaa-on-eks-sandbox", "Value": "owned"}]
    volume = (
        Clone(clone.directory)
        .aws("ec2")
        .create_volume(
            AvailabilityZone="us-west-2a",
            Size=1,
            TagSpecifications=[{"ResourceType": "volume", "Tags": tags}],
        )["VolumeId"]
    )
    settings = (clone.directory / "Pulumi.sandbox.yaml").read_text()
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    _kill(clone, "kwok")
    record = _recorded(clone)
    # A number that the sandbox once had may belong to somebody else by now.
    record["processes"]["kwok"]["pid"] = bystander.pid
    (clone.directory / ".sandbox/cloud.json").write_text(json.dumps(record))
    try:
        done = clone.sandbox("down")
        assert "2 deleted" in done.stdout
        assert (
            f"left of mwaa-on-eks-sandbox in account 123456789012, us-west-2:\n- volume {volume}\n"
            in done.stdout
        )
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()
    assert all(map(ended, pids.values()))
    assert not (clone.directory / ".sandbox").exists()
    assert (clone.directory / "Pulumi.sandbox.yaml").read_text() == settings
    assert "there is no sandbox" in clone.sandbox("down").stdout


def test_down_takes_away_what_has_a_damaged_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (state := tmp_path / "sandbox.json").write_text('{"version": 3, "checkpo')
    monkeypatch.setattr(stack, "_STATE", state)
    monkeypatch.setattr(Cloud, "load", lambda: Cloud({}, {}, "key", "secret"))
    monkeypatch.setattr(Cloud, "lost", lambda _: [])
    monkeypatch.setattr(stack, "build_tools", lambda: None)
    monkeypatch.setattr(lifecycle, "stop", lambda: True)
    said: list[str] = []
    assert stack.down(said.append) == 0
    assert said[0].startswith(f"the stack's state is damaged: {state}: ")
    assert said[1:] == ["the sandbox is gone"]


@pytest.mark.parametrize(("verb", "skips"), [("preview", "true"), ("up", None)])
def test_only_a_preview_goes_without_a_state_after_each_step(
    monkeypatch: pytest.MonkeyPatch, verb: str, skips: str | None
) -> None:
    given: list[dict[str, str]] = []

    def run(
        command: list[str], *, env: dict[str, str], **_: object
    ) -> subprocess.CompletedProcess[str]:
        given.append(env)
        return subprocess.CompletedProcess(command, 1)

    monkeypatch.setattr(stack, "_with_stack", lambda _: None)
    monkeypatch.setattr(stack, "_environment", lambda _: {})
    monkeypatch.setattr(subprocess, "run", run)
    getattr(stack, verb)(print)
    assert [one.get("PULUMI_SKIP_CHECKPOINTS") for one in given] == [skips]


@pytest.mark.parametrize("official", [True, False])
def test_the_official_cli_is_used_where_it_is(tmp_path: Path, official: bool) -> None:
    for name in ("pulumi", "pulumi-language-python")[: 1 + official]:
        (tmp_path / name).touch(mode=0o755)
    cloud = Cloud(dict.fromkeys(LISTENING, 1), {}, "key", "secret")
    path = environment(cloud, f"{tmp_path}{os.pathsep}/bin")["PATH"].split(os.pathsep)
    built = go_builds.installed("pulumi").parent
    ours = {str(built), str(plugins.LANGUAGE)}
    assert ours & set(path) == (set() if official else ours)
    assert path[-2:] == [str(tmp_path), "/bin"]


def test_a_deaf_process_is_killed(tmp_path: Path) -> None:
    script, log = tmp_path / "deaf.py", tmp_path / "log"
    script.write_text(
        "import signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('deaf now', flush=True)\n"
        "time.sleep(600)\n"
    )
    command = [sys.executable, str(script)]
    deaf = processes.start("deaf", command, environment=os.environ, cwd=tmp_path, log=log)
    wait_for(lambda: log.read_text() == "deaf now\n", "the process")
    processes.end([replace(deaf, started=deaf.started - 60)])
    assert processes.is_running(deaf)
    processes.end([deaf], patience=0.5)
    assert not processes.is_running(deaf)


def test_a_process_that_is_still_being_loaded_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    log = tmp_path / "log"
    loading = processes.start("loading", command, environment=os.environ, cwd=tmp_path, log=log)
    try:
        with monkeypatch.context() as patched:
            patched.setattr(psutil.Process, "cmdline", lambda _: [])
            assert processes.is_running(loading)
        wait_for(psutil.Process(loading.pid).cmdline, "its arguments")
        assert not processes.is_running(replace(loading, command=("another",)))
    finally:
        processes.end([loading])


class _EmptyStore(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def etcd() -> Iterator[str]:
    """The address of an etcd that holds nothing."""
    with serving(HTTPServer(("127.0.0.1", 0), _EmptyStore)) as server:
        yield f"http://127.0.0.1:{server.server_port}"


def test_no_container_is_ever_asked_for(tmp_path: Path, etcd: str) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as docker,
        socket.create_server(("127.0.0.1", 0)) as free,
    ):
        docker.settimeout(2)
        port = free.getsockname()[1]
        free.close()
        key_id, secret = lifecycle.new_key()
        authority = tmp_path / "ca.crt"
        authority.write_text("a certificate")
        ministack = processes.start(
            "ministack",
            [sys.executable, "-m", "sandbox.cloud.aws.ministack_server"],
            environment={
                **os.environ,
                "DOCKER_HOST": f"tcp://127.0.0.1:{docker.getsockname()[1]}",
                "BIND_HOST": "127.0.0.1",
                "GATEWAY_PORT": str(port),
                "TMPDIR": str(tmp_path),
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",  # it has the other services too
                "AWS_REGION": "us-west-2",
                "AWS_ACCESS_KEY_ID": key_id,
                "AWS_SECRET_ACCESS_KEY": secret,
                "SANDBOX_ENDPOINT": "https://127.0.0.1:1",
                "SANDBOX_ENDPOINT_FOR_AIRFLOW": "https://127.0.0.1:1",
                "SANDBOX_API_SERVER_CA": str(authority),
                "SANDBOX_ETCD": etcd,
                "SANDBOX_ETCD_KEYS": str(tmp_path),
                "SANDBOX_AIRFLOW": str(tmp_path / "none"),
            },
            cwd=ROOT,
            log=tmp_path / "log",
        )
        try:
            wait_for(lambda: ports.answers(port), "ministack")
            here: dict[str, Any] = {
                "endpoint_url": f"http://127.0.0.1:{port}",
                "region_name": "us-west-2",
                "aws_access_key_id": key_id,
                "aws_secret_access_key": secret,
            }
            eks, ec2 = boto3.client("eks", **here), boto3.client("ec2", **here)
            eks.create_cluster(
                name="contained",
                roleArn="arn:aws:iam::123456789012:role/cluster",
                resourcesVpcConfig={"subnetIds": _subnets(ec2)},
            )
            wait_for(
                lambda: eks.describe_cluster(name="contained")["cluster"]["status"] == "ACTIVE",
                "the cluster",
            )
            with pytest.raises(TimeoutError):
                docker.accept()
        finally:
            processes.end([ministack])
