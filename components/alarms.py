"""What is watched, where the line is drawn, and what an alarm means to whoever it wakes.

Names, dimensions and statistics are those of AWS's guides: "Monitoring dashboards and alarms",
"Apache Airflow environment metrics in CloudWatch" and "Container, queue, and database metrics"
(MWAA), "Monitor cluster data with Amazon CloudWatch" (EKS), "Amazon CloudWatch metrics for Amazon
EC2 Auto Scaling", "Monitor NAT gateways" and "CloudWatch metrics for AWS PrivateLink" (VPC),
"Monitoring Amazon EventBridge".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

RUNBOOK = "docs/runbook.md"

CLUSTERS_PER_RULE = 25
"""How many virtual clusters one rule looks at: an event pattern may have 2,048 characters ("Amazon
EventBridge quotas"), and the ids of so many fit in even at the 64 characters that EMR's API allows.
A rule for each would be simpler, but an account has 100 to 300 of them in a region."""

JOB_RUN_FAILED = "A Spark job failed"
KEY_IN_DANGER = "Somebody disables or deletes the key"
"""Headings of the runbook that the messages of rules point to."""


Statistic: TypeAlias = Literal["Average", "Maximum", "Minimum", "Sum"]


class Live(NamedTuple):
    """What AWS calls a thing, known once it is there: before, it gives no sign of life."""

    kind: Literal["autoscalingGroup", "cluster", "endpoint", "environment", "natGateway", "vpc"]
    of: str = ""
    """Which one, where there may be several."""


@dataclass(frozen=True)
class Metric:
    """A metric as CloudWatch knows it."""

    namespace: str
    name: str
    dimensions: Mapping[str, str | Live]
    statistic: Statistic
    in_airflow: str = ""
    """What Airflow calls it, whose options may leave it out."""


@dataclass(frozen=True)
class Thresholds:
    """Where the lines are that no guide of AWS draws."""

    failed_tasks_percent: int
    failed_tasks_min_count: int
    stuck_queue_minutes: int
    unschedulable_pods_minutes: int
    api_server_errors_percent: int
    api_server_throttling_minutes: int
    etcd_megabytes: int


@dataclass(frozen=True, kw_only=True)
class Watched:
    """What there is to watch in a stack."""

    name: str
    """Of the cluster and the environment, and beginning of the alarms' names."""
    level: Literal["essential", "full"]
    thresholds: Thresholds
    has_workers_of_their_own: bool
    """The smallest environment has none beside its scheduler."""
    node_min: int
    has_spot_nodes: bool
    nat_gateways: Sequence[str]
    """One word for each, as its zone."""
    endpoints: Sequence[str]
    """The services that have an interface endpoint."""
    region: str
    virtual_clusters: int

    @property
    def job_run_rules(self) -> Sequence[str]:
        """Names of the rules that see failed job runs."""
        count = -(-self.virtual_clusters // CLUSTERS_PER_RULE)
        return [f"{self.name}-failed-jobs-{number + 1}" for number in range(count)]

    @property
    def key_rule(self) -> str:
        """Name of the rule that sees what is done to the key."""
        return f"{self.name}-key"


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """When CloudWatch is to say that something is wrong, and what it says then."""

    name: str
    """Behind the stack's name."""
    heading: str
    """Of the runbook."""
    means: str
    remedy: str
    level: Literal["essential", "full"]
    """essential: somebody should get up for it."""
    metrics: Mapping[str, Metric]
    """By their names in the expression; without one, there is a single metric."""
    expression: str = ""
    comparison: Literal[
        "GreaterThanThreshold", "GreaterThanOrEqualToThreshold", "LessThanThreshold"
    ] = "GreaterThanThreshold"
    threshold: float
    period: int
    """Seconds."""
    periods: int
    """All of so many periods have to be beyond the threshold."""
    missing: Literal["breaching", "missing", "notBreaching"]
    """What a period without data counts as."""
    tells_the_end: bool = True
    """Whether it is worth a message that it is over."""

    @property
    def description(self) -> str:
        """What it means, what to do, and where that is told at length."""
        return f"{self.means} {self.remedy} See {RUNBOOK}#{anchor(self.heading)}"


def anchor(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def alarms(watched: Watched) -> list[Alarm]:
    """Return the alarms of a stack, the gravest of each part first."""
    every = (
        *_airflow(watched),
        *_containers(watched),
        *_cluster(watched),
        *_nodes(watched),
        *_ways_out(watched),
        *_messages(watched),
    )
    return [alarm for alarm in every if watched.level == "full" or alarm.level == "essential"]


def of_airflow(name: str, statistic: Statistic, in_airflow: str = "", **dimensions: str) -> Metric:
    """Return a metric that Airflow sends."""
    return Metric("AmazonMWAA", name, _of_environment(dimensions), statistic, in_airflow)


def of_mwaa(name: str, statistic: Statistic, **dimensions: str) -> Metric:
    """Return a metric of what MWAA runs Airflow on."""
    return Metric("AWS/MWAA", name, _of_environment(dimensions), statistic)


def _of_environment(dimensions: Mapping[str, str]) -> dict[str, str | Live]:
    return {**dimensions, "Environment": Live("environment")}


def of_eks(name: str, statistic: Statistic) -> Metric:
    """Return a metric of the control plane."""
    return Metric("AWS/EKS", name, {"ClusterName": Live("cluster")}, statistic)


def of_group(name: str, of: str) -> Metric:
    """Return a metric of an Auto Scaling group."""
    group = Live("autoscalingGroup", of)
    return Metric("AWS/AutoScaling", name, {"AutoScalingGroupName": group}, "Average")


def of_gateway(name: str, gateway: str) -> Metric:
    """Return a metric of a NAT gateway."""
    return Metric("AWS/NATGateway", name, {"NatGatewayId": Live("natGateway", gateway)}, "Sum")


def of_endpoint(name: str, service: str, region: str) -> Metric:
    """Return a metric of an interface endpoint."""
    dimensions: dict[str, str | Live] = {
        "VPC Id": Live("vpc"),
        "VPC Endpoint Id": Live("endpoint", service),
        "Endpoint Type": "Interface",
        "Service Name": f"com.amazonaws.{region}.{service}",
    }
    return Metric("AWS/PrivateLinkEndpoints", name, dimensions, "Sum")


def of_rule(name: str, rule: str) -> Metric:
    """Return a metric of a rule of EventBridge."""
    return Metric("AWS/Events", name, {"RuleName": rule}, "Sum")


def _airflow(watched: Watched) -> Iterator[Alarm]:
    lines = watched.thresholds
    yield Alarm(
        name="airflow-scheduler-silent",
        heading="Airflow's scheduler is silent",
        means="No scheduler has given a sign of life for 10 minutes: no task starts.",
        remedy="Look at the environment's state and the scheduler's log.",
        level="essential",
        metrics={
            "beats": of_airflow(
                "SchedulerHeartbeat", "Sum", "scheduler_heartbeat", Function="Scheduler"
            )
        },
        comparison="LessThanThreshold",
        threshold=1,
        period=300,
        periods=2,
        missing="breaching",
    )
    # One page of AWS's guide has the name with two r's more than the other.
    yield Alarm(
        name="airflow-triggerer-silent",
        heading="Airflow's triggerer is silent",
        means="No triggerer has given a sign of life for 10 minutes: deferred tasks wait for ever.",
        remedy="Look at the scheduler's log, in which the triggerer's is, and at its options.",
        level="essential",
        metrics={
            one: of_airflow(name, "Sum", "triggerer_heartbeat", Function="Triggerer")
            for one, name in (("beats", "TriggererHeartbeat"), ("others", "TriggerHeartbeat"))
        },
        expression="FILL(beats, 0) + FILL(others, 0)",
        comparison="LessThanThreshold",
        threshold=1,
        period=300,
        periods=2,
        missing="breaching",
    )
    yield Alarm(
        name="airflow-dags-broken",
        heading="A DAG cannot be imported",
        means="A file of DAGs fails while Airflow parses it: its DAGs do not run as it says.",
        remedy="Read the error on Airflow's page, and deliver a file that parses.",
        level="essential",
        metrics={
            "errors": of_airflow(
                "ImportErrors",
                "Maximum",
                "dag_processing.import_errors",
                Function="DAG Processing",
            )
        },
        threshold=0,
        period=300,
        periods=2,
        missing="missing",
    )
    yield Alarm(
        name="airflow-tasks-waiting",
        heading="Tasks wait for a worker",
        means="A task has waited in the queue for half an hour: workers are busy, or gone.",
        remedy="Look at how many workers run, and raise airflow.maxWorkers.",
        level="essential",
        metrics={"age": of_mwaa("ApproximateAgeOfOldestTask", "Maximum")},
        threshold=1800,
        period=300,
        periods=3,
        missing="notBreaching",  # of an empty queue nothing is told
    )
    yield Alarm(
        name="airflow-queue-stuck",
        heading="Tasks are queued and none runs",
        means=f"For {lines.stuck_queue_minutes} minutes tasks are queued while none runs.",
        remedy="Look at the workers' log: they cannot start, or cannot reach the queue.",
        level="essential",
        metrics={
            "queued": of_airflow(
                "QueuedTasks", "Minimum", "executor.queued_tasks", Function="Executor"
            ),
            "running": of_airflow(
                "RunningTasks", "Maximum", "executor.running_tasks", Function="Executor"
            ),
        },
        expression="IF(queued > 0 AND running == 0, 1, 0)",
        threshold=0,
        period=300,
        periods=lines.stuck_queue_minutes // 5,
        missing="notBreaching",
    )
    yield Alarm(
        name="airflow-tasks-failing",
        heading="Many tasks fail",
        means=(
            f"For half an hour more than {lines.failed_tasks_percent}% of the tasks fail, of "
            f"{lines.failed_tasks_min_count} or more in a quarter of an hour."
        ),
        remedy="Look for what the failed tasks have in common.",
        level="essential",
        metrics={
            "failed": of_airflow(
                "TaskInstanceFailures", "Sum", "ti_failures", DAG="All", Task="All"
            ),
            "done": of_airflow(
                "TaskInstanceSuccesses", "Sum", "ti_successes", DAG="All", Task="All"
            ),
        },
        expression=(
            f"IF(FILL(failed, 0) + FILL(done, 0) >= {lines.failed_tasks_min_count}, "
            "100 * FILL(failed, 0) / (FILL(failed, 0) + FILL(done, 0)), 0)"
        ),
        threshold=lines.failed_tasks_percent,
        period=900,
        periods=2,
        missing="notBreaching",
    )
    yield Alarm(
        name="airflow-database-memory",
        heading="Airflow's database runs out of memory",
        means="The metadata database has had less than 512 MiB of memory left for 15 minutes.",
        remedy="Take a larger environment class, or let fewer schedulers and DAGs ask it.",
        level="essential",
        metrics={
            "free": of_mwaa("FreeableMemory", "Average", DatabaseRole="WRITER"),
        },
        comparison="LessThanThreshold",
        threshold=512 * 2**20,
        period=300,
        periods=3,
        missing="missing",
    )
    yield Alarm(
        name="airflow-database-cpu",
        heading="Airflow's database is busy",
        means="The metadata database has used more than 95% of its CPU for 15 minutes.",
        remedy="Look for DAGs that ask it as they are parsed; clean it, or take a larger class.",
        level="full",
        metrics={"cpu": of_mwaa("CPUUtilization", "Average", DatabaseRole="WRITER")},
        threshold=95,
        period=300,
        periods=3,
        missing="missing",
    )


def _containers(watched: Watched) -> Iterator[Alarm]:
    parts = [
        ("Scheduler", "scheduler", "Airflow's scheduler is at its limit", 3),
        ("BaseWorker", "worker", "Airflow's workers are at their limit", 6),
        ("WebServer", "web-server", "Airflow's web server is at its limit", 3),
    ]
    for cluster, part, heading, periods in parts:
        if cluster == "BaseWorker" and not watched.has_workers_of_their_own:
            continue
        for metric, what in (("CPUUtilization", "CPU"), ("MemoryUtilization", "memory")):
            yield Alarm(
                name=f"airflow-{part}-{what.lower()}",
                heading=heading,
                means=(
                    f"The {part.replace('-', ' ')} has used more than 95% of its {what} for "
                    f"{periods * 5} minutes."
                ),
                remedy="Take a larger environment class, or more of them, or give them less to do.",
                level="full",
                metrics={"used": of_mwaa(metric, "Average", Cluster=cluster)},
                threshold=95,
                period=300,
                periods=periods,
                missing="missing",
            )


def _cluster(watched: Watched) -> Iterator[Alarm]:
    lines = watched.thresholds
    yield Alarm(
        name="pods-unschedulable",
        heading="Pods find no node",
        means=(
            f"For {lines.unschedulable_pods_minutes} minutes there are pods that no node has room "
            "for, and no further node comes."
        ),
        remedy="Ask the events of the pods and the cluster autoscaler's log why.",
        level="essential",
        metrics={"pods": of_eks("scheduler_pending_pods_UNSCHEDULABLE", "Sum")},
        threshold=0,
        period=60,
        periods=lines.unschedulable_pods_minutes,
        missing="missing",
    )
    yield Alarm(
        name="api-server-errors",
        heading="The Kubernetes API answers with errors",
        means=(
            f"For 5 minutes more than {lines.api_server_errors_percent}% of the requests to the "
            "Kubernetes API end with an error of the server."
        ),
        remedy="Look at EKS's health issues, webhooks and the API server's log.",
        level="essential",
        metrics={
            "errors": of_eks("apiserver_request_total_5XX", "Sum"),
            "requests": of_eks("apiserver_request_total", "Sum"),
        },
        expression="100 * FILL(errors, 0) / requests",
        threshold=lines.api_server_errors_percent,
        period=60,
        periods=5,
        missing="missing",
    )
    yield Alarm(
        name="etcd-size",
        heading="The cluster's database fills up",
        means=(
            f"The objects in the cluster take more than {lines.etcd_megabytes} MB; at 8 GB nothing "
            "can be written any more."
        ),
        remedy="Delete objects of which there are very many.",
        level="essential",
        metrics={
            "bytes": of_eks("etcd_mvcc_db_total_size_in_use_in_bytes", "Maximum"),
        },
        threshold=lines.etcd_megabytes * 10**6,
        period=60,
        periods=15,
        missing="missing",
    )
    yield Alarm(
        name="api-server-throttling",
        heading="The Kubernetes API turns requests away",
        means=(
            f"For {lines.api_server_throttling_minutes} minutes the Kubernetes API turns requests "
            "away (429), since there are too many."
        ),
        remedy="Find out who asks so much, and let it ask less.",
        level="full",
        metrics={"refused": of_eks("apiserver_request_total_429", "Sum")},
        threshold=0,
        period=60,
        periods=lines.api_server_throttling_minutes,
        missing="notBreaching",
    )


def _nodes(watched: Watched) -> Iterator[Alarm]:
    yield Alarm(
        name="nodes-missing",
        heading="There are too few nodes",
        means=f"For 10 minutes there are fewer than {watched.node_min} nodes, which is the least.",
        remedy="Ask the Auto Scaling group's activities why none starts.",
        level="essential",
        metrics={"nodes": of_group("GroupInServiceCapacity", "nodes")},
        comparison="LessThanThreshold",
        threshold=watched.node_min,
        period=60,
        periods=10,
        missing="missing",
    )
    # Of these the least is none: what can be missing is what the autoscaler has asked for.
    if watched.has_spot_nodes:
        yield Alarm(
            name="spot-nodes-missing",
            heading="AWS has no spot capacity",
            means="For 15 minutes there are fewer nodes on spot capacity than were asked for.",
            remedy="Name further instance types in spark.spot, or let executors run with drivers.",
            level="full",
            metrics={
                "wanted": of_group("GroupDesiredCapacity", "spot"),
                "there": of_group("GroupInServiceCapacity", "spot"),
            },
            expression="wanted - there",
            threshold=0,
            period=60,
            periods=15,
            missing="missing",
        )


def _ways_out(watched: Watched) -> Iterator[Alarm]:
    for gateway in watched.nat_gateways:
        yield Alarm(
            name=f"nat-ports-{gateway}",
            heading="A NAT gateway has no port left",
            means="For 15 minutes the NAT gateway has had no port for new connections to a place.",
            remedy="Spread the connections: endpoints, a gateway per zone, fewer connections.",
            level="essential",
            metrics={"refused": of_gateway("ErrorPortAllocation", gateway)},
            threshold=0,
            period=60,
            periods=15,
            missing="missing",
        )
        yield Alarm(
            name=f"nat-drops-{gateway}",
            heading="A NAT gateway drops packets",
            means="For 5 minutes the NAT gateway has dropped more than 0.01% of its packets.",
            remedy="If it goes on, tell AWS: the fault is in their gateway.",
            level="full",
            metrics={
                "dropped": of_gateway("PacketsDropCount", gateway),
                "sent": of_gateway("PacketsInFromSource", gateway),
                "received": of_gateway("PacketsInFromDestination", gateway),
            },
            expression="IF(sent + received > 0, 100 * dropped / (sent + received), 0)",
            threshold=0.01,
            period=60,
            periods=5,
            missing="missing",
        )
    for service in watched.endpoints:
        yield Alarm(
            name=f"endpoint-drops-{service.replace('.', '-')}",
            heading="An endpoint drops packets",
            means=f"For 15 minutes the endpoint of {service} has dropped packets.",
            remedy="If it goes on, tell AWS: the fault is in their endpoint.",
            level="full",
            metrics={"dropped": of_endpoint("PacketsDropped", service, watched.region)},
            threshold=0,
            period=60,
            periods=15,
            missing="notBreaching",
        )


def _messages(watched: Watched) -> Iterator[Alarm]:
    for number, rule in enumerate(watched.job_run_rules, start=1):
        yield _lost_messages(f"job-run-messages-lost-{number}", rule, "a failed Spark job")
        yield Alarm(
            name=f"job-runs-failed-{number}",
            heading=JOB_RUN_FAILED,
            means="At least one Spark job failed in the last 5 minutes; each has its own message.",
            remedy="Read the driver's log.",
            level="full",
            metrics={"failed": of_rule("MatchedEvents", rule)},
            comparison="GreaterThanOrEqualToThreshold",
            threshold=1,
            period=300,
            periods=1,
            missing="notBreaching",
            tells_the_end=False,
        )
    yield _lost_messages("key-messages-lost", watched.key_rule, "what is done to the key")


def _lost_messages(name: str, rule: str, what: str) -> Alarm:
    return Alarm(
        name=name,
        heading="Messages get lost",
        means=f"EventBridge could not deliver a message of {what}.",
        remedy="Look at the policies of topic and key, and for what the message was about.",
        level="essential",
        metrics={"failed": of_rule("FailedInvocations", rule)},
        threshold=0,
        period=300,
        periods=1,
        missing="notBreaching",
        tells_the_end=False,
    )
