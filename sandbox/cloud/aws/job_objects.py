"""What EMR on EKS makes in the cluster for a job run."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from awscli.customizations.emrcontainers.base36 import Base36  # type: ignore[import-untyped]

Object: TypeAlias = dict[str, Any]

LABEL: Final = "emr-containers.amazonaws.com"
JOB_ID: Final = f"{LABEL}/job.id"
_SUBMISSION: Final = "/etc/emr"
"""Where entrypoint.py looks for what is to be submitted."""
_SUBMITTER: Final = "jobsubmitter."

# "How to select a base image URI", Amazon EMR on EKS development guide.
_REGISTRIES: Final = {
    "ap-northeast-1": "059004520145",
    "ap-northeast-2": "996579266876",
    "ap-south-1": "235914868574",
    "ap-southeast-1": "671219180197",
    "ap-southeast-2": "038297999601",
    "ca-central-1": "351826393999",
    "eu-central-1": "107292555468",
    "eu-north-1": "830386416364",
    "eu-west-1": "483788554619",
    "eu-west-2": "118780647275",
    "eu-west-3": "307523725174",
    "sa-east-1": "052806832358",
    "us-east-1": "755674844232",
    "us-east-2": "711395599931",
    "us-west-1": "608033475327",
    "us-west-2": "895885662937",
}


class InvalidRequestError(Exception):
    """What of a job run cannot be submitted."""


@dataclass(frozen=True)
class JobRun:
    """What StartJobRun was told, and the ids that it gave."""

    id: str
    name: str
    virtual_cluster_id: str
    namespace: str
    account: str
    region: str
    role_name: str
    release_label: str
    job_driver: Mapping[str, Any]
    overrides: Mapping[str, Any]
    attempts: int

    def account_of(self, part: str) -> str:
        """Return the service account of its pods of a part: client, driver or executor."""
        return f"emr-containers-sa-spark-{part}-{self.account}-{Base36().encode(self.role_name)}"

    @property
    def driver(self) -> str:
        """The name of its driver's pod."""
        return f"spark-{self.id}-driver"

    @property
    def image(self) -> str:
        """Where EMR has the image of its release."""
        registry = _REGISTRIES.get(self.region)
        if registry is None:
            raise InvalidRequestError(f"EMR's image in {self.region} is not known in the sandbox")
        release, _, tag = self.release_label.rpartition("-")
        return f"{registry}.dkr.ecr.{self.region}.amazonaws.com/spark/{release}:{tag}"

    def labels(self, component: str) -> dict[str, str]:
        """Return the labels of what is made for it."""
        return {
            JOB_ID: self.id,
            f"{LABEL}/virtual-cluster-id": self.virtual_cluster_id,
            f"{LABEL}/resource.type": "job.run",
            f"{LABEL}/component": component,
        }


def objects(run: JobRun) -> Iterator[Object]:
    """Yield what is made for a job run, the Job last; InvalidRequestError says why it cannot be."""
    submission = {"arguments": _arguments(run), "driver": run.driver}
    for part in ("client", "driver", "executor"):
        yield {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": run.account_of(part), "namespace": run.namespace},
        }
    for part in ("client", "driver"):
        yield from _rights(run, part)
    configuration = f"{run.id}-spark-submission"
    yield {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": configuration,
            "namespace": run.namespace,
            "labels": run.labels("job-runner"),
        },
        "data": {"submission.json": json.dumps(submission)},
    }
    yield _job(run, configuration)


def _rights(run: JobRun, part: str) -> Iterator[Object]:
    account = run.account_of(part)
    name = account.replace("-sa-", "-role-", 1)
    metadata = {"name": name, "namespace": run.namespace}
    yield {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": metadata,
        "rules": [
            {
                "apiGroups": [""],
                "resources": ["configmaps", "persistentvolumeclaims", "pods", "services"],
                "verbs": [
                    *("create", "delete", "deletecollection", "get"),
                    *("list", "patch", "update", "watch"),
                ],
            }
        ],
    }
    yield {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": metadata,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": run.namespace}],
    }


def _job(run: JobRun, configuration: str) -> Object:
    submitter = dict(_properties(run, "emr-job-submitter"))
    labels = run.labels("job-runner")
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": run.id, "namespace": run.namespace, "labels": labels},
        "spec": {
            "backoffLimit": run.attempts - 1,
            "template": {
                "metadata": {
                    "labels": labels | _starting(submitter, "label."),
                    "annotations": _starting(submitter, "annotation."),
                },
                "spec": {
                    "restartPolicy": "Never",
                    "serviceAccountName": run.account_of("client"),
                    "nodeSelector": _starting(submitter, "node.selector."),
                    "containers": [
                        {
                            "name": "job-runner",
                            "image": run.image,
                            "args": ["job-runner"],
                            "volumeMounts": [{"name": "submission", "mountPath": _SUBMISSION}],
                        }
                    ],
                    "volumes": [{"name": "submission", "configMap": {"name": configuration}}],
                },
            },
        },
    }


def _starting(submitter: Mapping[str, str], prefix: str) -> dict[str, str]:
    whole = f"{_SUBMITTER}{prefix}"
    return {
        key.removeprefix(whole): value for key, value in submitter.items() if key.startswith(whole)
    }


# "Job submission parameters" and "Configuration classifications", as far as they are of use here.
_CLASSIFICATIONS: Final = {
    "spark-defaults": "",
    "core-site": "spark.hadoop.",
    "emrfs-site": None,
    "spark-hive-site": "spark.hadoop.",
    "emr-job-submitter": None,
}


def _properties(run: JobRun, classification: str) -> Iterator[tuple[str, str]]:
    for one in run.overrides.get("applicationConfiguration") or ():
        if one["classification"] == classification:
            yield from (one.get("properties") or {}).items()


def _settings(run: JobRun) -> Iterator[tuple[str, str]]:
    for one in run.overrides.get("applicationConfiguration") or ():
        if one["classification"] not in _CLASSIFICATIONS:
            raise InvalidRequestError(
                f"the sandbox does not know the classification {one['classification']}"
            )
    for classification, prefix in _CLASSIFICATIONS.items():
        if prefix is not None:
            for key, value in _properties(run, classification):
                yield f"{prefix}{key}", value


def _arguments(run: JobRun) -> list[str]:
    """Return what spark-submit is told, without where it submits to; the last word counts."""
    program, told = _program(run)
    imposed = {
        "spark.app.id": f"spark-{run.id}",
        "spark.kubernetes.namespace": run.namespace,
        "spark.kubernetes.driver.pod.name": run.driver,
        "spark.kubernetes.authenticate.driver.serviceAccountName": run.account_of("driver"),
        "spark.kubernetes.authenticate.executor.serviceAccountName": run.account_of("executor"),
        "spark.kubernetes.container.image.pullPolicy": "Always",
        **{
            f"spark.kubernetes.{part}.label.{key}": value
            for part in ("driver", "executor")
            for key, value in run.labels(part).items()
        },
        **_logs(run),
    }
    defaults = {"spark.kubernetes.container.image": run.image, **dict(_settings(run))}
    return [
        f"--name={run.name or run.id}",
        *(f"--conf={key}={value}" for key, value in defaults.items()),
        *told,
        *(f"--conf={key}={value}" for key, value in imposed.items()),
        *program,
    ]


def _program(run: JobRun) -> tuple[list[str], list[str]]:
    """Return the program with its arguments, and the parameters of spark-submit."""
    if submit := run.job_driver.get("sparkSubmitJobDriver"):
        entry, arguments = submit["entryPoint"], submit.get("entryPointArguments") or []
        parameters = submit.get("sparkSubmitParameters") or ""
    elif sql := run.job_driver.get("sparkSqlJobDriver"):
        entry, arguments = "local:///usr/lib/emr/sql.py", ["-f", sql["entryPoint"]]
        parameters = sql.get("sparkSqlParameters") or ""
        _require_address(sql["entryPoint"])
    else:
        raise InvalidRequestError("the job driver is neither sparkSubmit nor sparkSql")
    _require_address(entry)
    try:
        words = shlex.split(parameters)
    except ValueError as error:
        raise InvalidRequestError(f"sparkSubmitParameters cannot be read: {error}") from None
    return [entry, *arguments], list(_allowed(words))


def _require_address(entry: str) -> None:
    if urlsplit(entry).scheme not in {"local", "s3", "s3a"}:
        raise InvalidRequestError(f"the entry point {entry} is neither local:// nor s3://")


def _allowed(words: list[str]) -> Iterator[str]:
    """Leave out where a job is submitted to, which is EMR's to say."""
    left = iter(words)
    for word in left:
        option, _, value = word.partition("=")
        if option in {"--master", "--deploy-mode"}:
            _ = value or next(left, "")
        else:
            yield word


def _logs(run: JobRun) -> dict[str, str]:
    monitoring = run.overrides.get("monitoringConfiguration") or {}
    told = {
        "cloudwatch": monitoring.get("cloudWatchMonitoringConfiguration"),
        "s3": (monitoring.get("s3MonitoringConfiguration") or {}).get("logUri"),
        # "Spark Driver and Executor Logs", EMR Containers Best Practices Guides.
        "path": f"{run.virtual_cluster_id}/jobs/{run.id}/containers/spark-{run.id}",
    }
    if not (told["cloudwatch"] or told["s3"]):
        return {}
    text = json.dumps(told)
    return {"spark.kubernetes.driverEnv.EMR_LOGS": text, "spark.executorEnv.EMR_LOGS": text}


_RELEASE: Final = re.compile(r"emr(-spark)?-\d+\.\d+\.\d+-(latest|\d{8})")


def is_release(label: str) -> bool:
    """Tell whether a release label is written as EMR's are."""
    return _RELEASE.fullmatch(label) is not None
