"""Amazon MWAA, and EMR on EKS."""

from __future__ import annotations

from .rule import Findings, Resource, listed, rule, truth

ENVIRONMENT = "aws:mwaa/environment:Environment"
VIRTUAL_CLUSTER = "aws:emrcontainers/virtualCluster:VirtualCluster"
_LOGS = ("dagProcessingLogs", "schedulerLogs", "taskLogs", "webserverLogs", "workerLogs")
_FILES = {
    "pluginsS3Path": "pluginsS3ObjectVersion",
    "requirementsS3Path": "requirementsS3ObjectVersion",
    "startupScriptS3Path": "startupScriptS3ObjectVersion",
}


@rule(
    ENVIRONMENT,
    demand="An environment writes all five kinds of logs.",
    sources="CKV_AWS_242, CKV_AWS_243, CKV_AWS_244",
    way_out="enable them in loggingConfiguration",
)
def airflow_logs(environment: Resource) -> Findings:
    given = environment.props.get("loggingConfiguration") or {}
    for one in _LOGS:
        if not truth((given.get(one) or {}).get("enabled")):
            yield f"loggingConfiguration.{one} is off"


@rule(
    ENVIRONMENT,
    demand="An environment's queue and database are encrypted with a key of the account.",
    sources="MWAA user guide (Encryption on Amazon MWAA)",
    way_out="set kmsKey; it cannot be set later",
)
def airflow_encrypted(environment: Resource) -> Findings:
    if "kmsKey" not in environment.props:
        yield "kmsKey is missing"


@rule(
    ENVIRONMENT,
    demand="The web server cannot be reached from the internet.",
    sources="CKV2_AWS_66",
    way_out="set webserverAccessMode to PRIVATE_ONLY",
    gate="production",
)
def airflow_web_server_private(environment: Resource) -> Findings:
    given = environment.props.get("webserverAccessMode", "PRIVATE_ONLY")
    if given != "PRIVATE_ONLY":
        yield f"webserverAccessMode is {given}"


@rule(
    ENVIRONMENT,
    demand="An environment's version is chosen.",
    sources="MWAA user guide (Apache Airflow versions)",
    way_out="set airflowVersion",
)
def airflow_version_chosen(environment: Resource) -> Findings:
    if "airflowVersion" not in environment.props:
        yield "airflowVersion is missing, and MWAA takes the latest"


@rule(
    ENVIRONMENT,
    demand="What an environment installs is one version of a file, not whatever lies there.",
    sources="MWAA user guide (Installing Python dependencies)",
    way_out="set the …S3ObjectVersion beside the …S3Path",
)
def airflow_files_pinned(environment: Resource) -> Findings:
    for path, version in _FILES.items():
        if path in environment.props and version not in environment.props:
            yield f"{version} is missing"


@rule(
    ENVIRONMENT,
    demand="An environment is in two subnets and has a security group.",
    sources="MWAA user guide (About networking on Amazon MWAA)",
    way_out="give networkConfiguration two private subnets of different zones",
)
def airflow_in_two_zones(environment: Resource) -> Findings:
    given = environment.props["networkConfiguration"]
    if (count := len(listed(given["subnetIds"]))) != 2:
        yield f"networkConfiguration.subnetIds has {count}"
    if not listed(given.get("securityGroupIds")):
        yield "networkConfiguration.securityGroupIds is empty"


@rule(
    VIRTUAL_CLUSTER,
    demand="Spark jobs run in a namespace of their own.",
    sources="CIS 4.5.2, CKV_K8S_21, EKS best practices (multi-tenancy)",
    way_out="name one in containerProvider.info.eksInfo.namespace",
)
def emr_namespace(cluster: Resource) -> Findings:
    info = cluster.props["containerProvider"]["info"]["eksInfo"]
    name = info.get("namespace", "default")
    if name == "default" or name.startswith("kube-"):
        yield f"they run in {name}"
