"""What a job run of EMR on EKS becomes in the cluster, before Spark is asked."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from sandbox.cloud.aws import job_objects
from sandbox.cloud.aws.job_objects import InvalidRequestError, JobRun

RUN = JobRun(
    id="abcdefghijklmnopqrs",
    name="a-job",
    virtual_cluster_id="vc",
    namespace="emr-mwaa",
    account="123456789012",
    region="us-west-2",
    role_name="JobExecutionRoleIRSAv2",
    release_label="emr-7.14.0-20260801",
    job_driver={
        "sparkSubmitJobDriver": {"entryPoint": "local:///x.py", "entryPointArguments": ["10"]}
    },
    overrides={},
    attempts=3,
)


def configured(**classifications: dict[str, str]) -> JobRun:
    told = [
        {"classification": name.replace("_", "-"), "properties": properties}
        for name, properties in classifications.items()
    ]
    return replace(RUN, overrides={"applicationConfiguration": told})


def made(run: JobRun, kind: str) -> Any:  # noqa: ANN401
    return [one for one in job_objects.objects(run) if one["kind"] == kind][-1]


def arguments(run: JobRun) -> list[str]:
    found: list[str] = json.loads(made(run, "ConfigMap")["data"]["submission.json"])["arguments"]
    return found


def setting(run: JobRun, key: str) -> str | None:
    """The value that spark-submit takes: the last one that it is told."""
    found = [one.removeprefix(f"--conf={key}=") for one in arguments(run)]
    values = [value for value, one in zip(found, arguments(run), strict=True) if value != one]
    return values[-1] if values else None


def test_the_pods_accounts_are_named_as_emr_names_them() -> None:
    # The example of "Creating job execution roles", Amazon EMR on EKS development guide.
    encoded = "c7ohmynrs14q04uudoef8n97xdufwajzua"
    assert RUN.account_of("driver") == f"emr-containers-sa-spark-driver-123456789012-{encoded}"
    job = made(RUN, "Job")
    assert job["metadata"]["name"] == RUN.id
    assert job["spec"]["backoffLimit"] == 2
    assert job["spec"]["template"]["spec"]["serviceAccountName"] == RUN.account_of("client")


def test_the_image_is_the_releases_one_in_emrs_registry() -> None:
    image = "895885662937.dkr.ecr.us-west-2.amazonaws.com/spark/emr-7.14.0:20260801"
    (container,) = made(RUN, "Job")["spec"]["template"]["spec"]["containers"]
    assert container["image"] == setting(RUN, "spark.kubernetes.container.image") == image


def test_what_is_emrs_to_say_no_job_run_says() -> None:
    run = replace(
        configured(spark_defaults={"spark.kubernetes.namespace": "kube-system"}),
        job_driver={
            "sparkSubmitJobDriver": {
                "entryPoint": "local:///x.py",
                "sparkSubmitParameters": "--master local[2] --deploy-mode=client --conf "
                "spark.kubernetes.driver.pod.name=mine --class a.B",
            }
        },
    )
    assert setting(run, "spark.kubernetes.namespace") == "emr-mwaa"
    assert setting(run, "spark.kubernetes.driver.pod.name") == f"spark-{RUN.id}-driver"
    told = arguments(run)
    assert not [one for one in told if "master" in one or "local[2]" in one or "deploy" in one]
    assert told[-1] == "local:///x.py"
    assert told[told.index("--class") + 1] == "a.B"


def test_parameters_win_over_the_configuration() -> None:
    run = replace(
        configured(spark_defaults={"spark.executor.instances": "2"}),
        job_driver={
            "sparkSubmitJobDriver": {
                "entryPoint": "local:///x.py",
                "sparkSubmitParameters": "--conf spark.executor.instances=3",
            }
        },
    )
    told = arguments(run)
    assert told.index("--conf=spark.executor.instances=2") < told.index("--conf")


def test_the_submitters_pod_is_where_it_is_wanted() -> None:
    told = {"jobsubmitter.node.selector.disk": "ssd", "jobsubmitter.label.cost": "42"}
    template = made(configured(emr_job_submitter=told), "Job")["spec"]["template"]
    assert template["spec"]["nodeSelector"] == {"disk": "ssd"}
    assert template["metadata"]["labels"]["cost"] == "42"


def test_hadoops_settings_are_sparks() -> None:
    run = configured(core_site={"fs.s3.maxConnections": "9"})
    assert setting(run, "spark.hadoop.fs.s3.maxConnections") == "9"


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        (configured(spark_wishes={}), "does not know the classification spark-wishes"),
        (replace(RUN, region="mars-north-1"), "EMR's image in mars-north-1 is not known"),
        (replace(RUN, job_driver={}), "neither sparkSubmit nor sparkSql"),
        (
            replace(RUN, job_driver={"sparkSqlJobDriver": {"entryPoint": "x.sql"}}),
            "the entry point x.sql is neither local:// nor s3://",
        ),
        (
            replace(
                RUN,
                job_driver={
                    "sparkSubmitJobDriver": {
                        "entryPoint": "local:///x.py",
                        "sparkSubmitParameters": "--conf 'spark",
                    }
                },
            ),
            "sparkSubmitParameters cannot be read",
        ),
    ],
)
def test_what_cannot_be_submitted_is_told(run: JobRun, reason: str) -> None:
    with pytest.raises(InvalidRequestError, match=reason):
        list(job_objects.objects(run))


@pytest.mark.parametrize(
    ("label", "known"),
    [
        ("emr-7.14.0-latest", True),
        ("emr-spark-8.1.0-20260801", True),
        ("emr-7.14.0", False),
        ("emr-7.14-latest", False),
        ("emr-spark-8.0.0-latest-x", False),
    ],
)
def test_release_labels_are_written_as_emrs_are(label: str, known: bool) -> None:
    assert job_objects.is_release(label) == known
