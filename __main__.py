"""Amazon MWAA next to an Amazon EKS cluster that runs its jobs: the whole, top to bottom."""

from __future__ import annotations

from pathlib import Path

import pulumi
import pulumi_aws as aws

from components.airflow_access import AirflowAccess, AirflowAccessArgs, TeamAccess
from components.airflow_backups import AirflowBackups, AirflowBackupsArgs
from components.airflow_environment import AirflowEnvironment, AirflowEnvironmentArgs
from components.alarms import Live
from components.availability_zones import availability_zones
from components.cluster_addons import ClusterAddons, ClusterAddonsArgs
from components.cluster_autoscaler import ClusterAutoscaler, ClusterAutoscalerArgs
from components.credentials import check_caller
from components.dag_bucket import DagBucket, DagBucketArgs
from components.data_access import GLUE_METASTORE
from components.delivery_roles import DagDelivery, DeliveryRoles, DeliveryRolesArgs
from components.destroy_check import DestroyCheck, let_roles_go
from components.eks_cluster import EksCluster, EksClusterArgs
from components.emr_images import spark_image
from components.encryption_key import EncryptionKey, EncryptionKeyArgs
from components.history_server import HistoryServer, HistoryServerArgs
from components.images import find_images
from components.job_namespace import (
    HISTORY_READER_RULES,
    JOB_VIEWER_RULES,
    Egress,
    JobNamespace,
    JobNamespaceArgs,
    Quota,
    pod_operator_rules,
)
from components.job_scripts import JobScripts, JobScriptsArgs
from components.monitoring import Monitoring, MonitoringArgs
from components.network import Network, NetworkArgs
from components.pod_service_account import PodServiceAccount, PodServiceAccountArgs
from components.pod_templates import PodTemplates, PodTemplatesArgs
from components.private_bucket import PrivateBucket, PrivateBucketArgs
from components.protection import all_resources, anything_is_protected, protect_all_but
from components.sleep import Sleep
from components.team_members import TeamMembers, TeamMembersArgs
from components.virtual_cluster import VirtualCluster, VirtualClusterArgs
from settings.live import read_live_stack
from settings.loading import load as load_settings

settings = load_settings(pulumi.Config(), live=read_live_stack())
name, account = settings.name, settings.aws_account
check_caller(
    account.id,
    account.region,
    [*settings.cluster.admin_principal_arns, *settings.cluster.viewer_principal_arns],
    settings.live.access_entries,
)
protect_all_but(settings.account.unprotected)
let_roles_go()
made = all_resources()

aws_provider = aws.Provider(
    "aws",
    region=account.region,
    allowed_account_ids=[account.id],
    default_tags={"tags": settings.tags},
)
in_aws = pulumi.ResourceOptions(providers=[aws_provider])

images = find_images(
    settings.cluster.image_registry,
    kubernetes_version=settings.cluster.kubernetes_version,
    xcom=settings.airflow.pod_xcom,
    account=account,
    provider=aws_provider,
)

encryption_key = EncryptionKey(
    "platform",
    EncryptionKeyArgs(
        alias_name=name,
        account=account,
        deletion_window_days=settings.key_deletion_window_days,
        alarm_topic_name=settings.alarm_topic_name,
        budget=settings.monitoring.monthly_budget_usd is not None,
    ),
    opts=in_aws,
)

# A bucket itself says nothing of the key, which must not go before what lies in it.
encrypted = pulumi.ResourceOptions(providers=[aws_provider], depends_on=[encryption_key])

network = Network(
    "platform",
    NetworkArgs(
        cidr_block=settings.network.cidr_block,
        availability_zones=settings.network.availability_zones
        or availability_zones(settings.network.zones, settings.live.zones, aws_provider),
        nat=settings.network.nat,
        interface_endpoints=settings.endpoints,
        flow_log_bucket_arn=settings.network.flow_log_bucket_arn,
        kms_key_arn=encryption_key.arn,
        log_retention_days=settings.account.log_retention_days,
        account=account,
    ),
    opts=in_aws,
)

dag_bucket = DagBucket(
    "dags",
    DagBucketArgs(
        bucket_name=settings.dag_bucket_name,
        kms_key_arn=encryption_key.arn,
        access_log_bucket=settings.account.access_log_bucket,
        force_destroy=settings.account.force_destroy,
        noncurrent_version_days=90,
        source=Path("dags"),
        plugins=settings.airflow.plugins_source,
        startup_script=settings.airflow.startup_script_file,
        upload=settings.airflow.dag_delivery == "pulumi",
        written=settings.live.written_files,
        pinned=settings.live.pinned_files,
        account=account,
    ),
    opts=encrypted,
)

airflow = AirflowEnvironment(
    "airflow",
    AirflowEnvironmentArgs(
        environment_name=name,
        airflow_version=settings.airflow.version,
        capacity=settings.airflow.capacity,
        webserver_access_mode=settings.airflow.webserver_access,
        weekly_maintenance_window=settings.airflow.weekly_maintenance_window,
        log_level=settings.airflow.log_level,
        log_retention_days=settings.account.log_retention_days,
        egress=settings.airflow.egress,
        metric_namespaces=settings.airflow.metric_namespaces,
        options=settings.airflow.options,
        vpc_id=network.vpc_id,
        subnet_ids=network.private_subnet_ids,
        bucket_arn=dag_bucket.arn,
        files=dag_bucket.environment_files,
        kms_key_arn=encryption_key.arn,
        asleep=settings.account.asleep,
        secrets_prefix=settings.secrets_prefix,
        account=account,
    ),
    opts=in_aws,
)

cluster = EksCluster(
    "cluster",
    EksClusterArgs(
        cluster_name=name,
        kubernetes_version=settings.cluster.kubernetes_version,
        authentication_mode=settings.cluster.authentication_mode,
        vpc_id=network.vpc_id,
        control_plane_subnet_ids=network.private_subnet_ids[: settings.live.control_plane_zones],
        subnet_ids=network.private_subnet_ids,
        public_access_cidrs=settings.cluster.public_access_cidrs,
        private_access_cidrs=tuple(map(str, settings.cluster.private_access_cidrs)),
        private_access_security_group_ids=settings.cluster.private_access_security_group_ids,
        admin_principal_arns=settings.cluster.admin_principal_arns,
        viewer_principal_arns=settings.cluster.viewer_principal_arns,
        network_policy_mode=settings.cluster.network_policy_mode,
        node_group=settings.cluster.node_group,
        spot_node_group=settings.spot_node_group,
        asleep=settings.account.asleep,
        deletion_protection=settings.cluster.deletion_protection,
        kms_key_arn=encryption_key.arn,
        log_retention_days=settings.account.log_retention_days,
        tags=settings.tags,
        # As deep among the dependencies as the environment, which waits for the same: Pulumi
        # deletes what is equally deep in one round, and these two take longest.
        after=[dag_bucket],
        account=account,
    ),
    opts=in_aws,
)
in_cluster = pulumi.ResourceOptions(providers=[aws_provider, cluster.kubernetes_provider])

addons = ClusterAddons(
    "addons",
    ClusterAddonsArgs(
        cluster_name=cluster.name,
        cluster_arn=cluster.arn,
        kubernetes_version=settings.cluster.kubernetes_version,
        kms_key_arn=encryption_key.arn,
        network_policy_mode=settings.cluster.network_policy_mode,
        tags=settings.tags,
        account=account,
    ),
    opts=in_cluster,
)
# A namespace cannot end while metrics-server, an add-on, is gone and its API still announced
# (kubernetes/kubernetes #83332).
in_ready_cluster = pulumi.ResourceOptions(
    providers=[aws_provider, cluster.kubernetes_provider], depends_on=[addons]
)

ClusterAutoscaler(
    "autoscaler",
    ClusterAutoscalerArgs(
        cluster_name=name,
        cluster=cluster.name,
        image=images.cluster_autoscaler,
        account=account,
    ),
    opts=in_cluster,
)

pod_namespace = JobNamespace(
    "pods",
    JobNamespaceArgs(
        namespace=settings.airflow.pod_namespace,
        pod_security="restricted",
        group=settings.airflow_group,
        rules=pod_operator_rules(xcom=settings.airflow.pod_xcom),
        quota=Quota(**settings.airflow.pod_quota.model_dump()),
        limited=True,
        allow_within_namespace=False,
        egress=tuple(Egress(cidr=str(e.cidr), port=e.port) for e in settings.airflow.pod_egress),
    ),
    opts=in_ready_cluster,
)

for service_account in settings.airflow.pod_service_accounts:
    PodServiceAccount(
        f"pods-{service_account.name}",
        PodServiceAccountArgs(
            service_account=service_account.name,
            namespace=pod_namespace.namespace,
            policy_arns=service_account.policy_arns,
            cluster_name=addons.ready,
            cluster_arn=cluster.arn,
            account=account,
        ),
        opts=in_cluster,
    )

job_bucket = PrivateBucket(
    "jobs",
    PrivateBucketArgs(
        bucket_name=settings.job_bucket_name,
        kms_key_arn=encryption_key.arn,
        access_log_bucket=settings.account.access_log_bucket,
        force_destroy=settings.account.force_destroy,
        noncurrent_version_days=30,
        expiring_prefix="",
        account=account,
    ),
    opts=encrypted,
)

job_scripts = JobScripts(
    "scripts",
    JobScriptsArgs(source=Path("spark/jobs"), bucket=job_bucket.name),
    opts=in_aws,
)

pod_templates = PodTemplates(
    "jobs",
    PodTemplatesArgs(
        source=Path("spark/pod-templates"),
        bucket_name=settings.job_bucket_name,
        bucket=job_bucket.name,
        spot=settings.spot_node_group is not None,
        written=settings.live.written_job_files,
        account=account,
    ),
    opts=in_aws,
)

spark_namespaces = {
    team.name: JobNamespace(
        f"spark-{team.name}",
        JobNamespaceArgs(
            namespace=team.namespace,
            pod_security=settings.spark.pod_security,
            group=settings.team_group(team.name) if team.members else None,
            rules=JOB_VIEWER_RULES
            + (HISTORY_READER_RULES if settings.spark.history_server else ()),
            quota=Quota(cpu=team.cpu, memory=team.memory, storage=team.storage, pods=team.pods),
            limited=False,  # EMR's own containers, as the one that ships logs, have none
            allow_within_namespace=True,
        ),
        opts=in_ready_cluster,
    )
    for team in settings.spark.teams
}

virtual_clusters = {
    team.name: VirtualCluster(
        team.name,
        VirtualClusterArgs(
            virtual_cluster_name=settings.virtual_cluster_name(team.name),
            team=team.name,
            cluster_name=addons.ready,
            cluster_arn=cluster.arn,
            namespace=spark_namespaces[team.name].namespace,
            bucket_name=job_bucket.name,
            bucket_arn=job_bucket.arn,
            kms_key_arn=encryption_key.arn,
            data=settings.bucket_accesses(team),
            databases=settings.database_accesses(team),
            log_retention_days=settings.account.log_retention_days,
            account=account,
        ),
        opts=in_aws,
    )
    for team in settings.spark.teams
}

team_members = {
    team.name: TeamMembers(
        team.name,
        TeamMembersArgs(
            team=team.name,
            principal_arns=team.members,
            kubernetes_group=settings.team_group(team.name),
            cluster_name=cluster.name,
            cluster_arn=cluster.arn,
            virtual_cluster_arn=virtual_clusters[team.name].arn,
            job_role_arn=virtual_clusters[team.name].job_role_arn,
            log_group_arn=virtual_clusters[team.name].log_group_arn,
            bucket_arn=job_bucket.arn,
            kms_key_arn=encryption_key.arn,
            account=account,
        ),
        opts=in_aws,
    )
    for team in settings.spark.teams
    if team.members
}

if settings.spark.history_server:
    for team, virtual_cluster in virtual_clusters.items():
        HistoryServer(
            f"{team}-history",
            HistoryServerArgs(
                namespace=spark_namespaces[team].namespace,
                image=spark_image(settings.spark.release_label, account.region),
                event_log_dir=virtual_cluster.event_log_dir,
                bucket_arn=job_bucket.arn,
                kms_key_arn=encryption_key.arn,
                cluster_name=addons.ready,
                cluster_arn=cluster.arn,
                account=account,
            ),
            opts=in_cluster,
        )

watched = settings.watched(tuple(network.nat_gateway_ids))
monitoring = None
if watched is not None and settings.alarm_topic_name is not None:
    live: dict[Live, pulumi.Input[str]] = {
        Live("environment"): airflow.name,
        Live("cluster"): cluster.name,
        Live("autoscalingGroup", "nodes"): cluster.autoscaling_group_name,
        Live("vpc"): network.vpc_id,
        **{Live("natGateway", zone): one for zone, one in network.nat_gateway_ids.items()},
        **{Live("endpoint", of): one for of, one in network.interface_endpoint_ids.items()},
    }
    if cluster.spot_autoscaling_group_name is not None:
        live[Live("autoscalingGroup", "spot")] = cluster.spot_autoscaling_group_name
    monitoring = Monitoring(
        "monitoring",
        MonitoringArgs(
            watched=watched,
            topic_name=settings.alarm_topic_name,
            emails=settings.monitoring.emails,
            topic_arns=settings.monitoring.topic_arns,
            monthly_budget_usd=settings.monitoring.monthly_budget_usd,
            tags={"project": settings.project, "stack": settings.stack},
            asleep=settings.account.asleep,
            live=live,
            virtual_cluster_ids=[virtual_clusters[team.name].id for team in settings.spark.teams],
            kms_key_arn=encryption_key.arn,
            account=account,
        ),
        opts=in_aws,
    )

AirflowAccess(
    "airflow",
    AirflowAccessArgs(
        execution_role_name=airflow.execution_role_name,
        execution_role_arn=airflow.execution_role_arn,
        execution_role_unique_id=airflow.execution_role_unique_id,
        security_group_id=airflow.security_group_id,
        cluster_name=cluster.name,
        cluster_arn=cluster.arn,
        cluster_security_group_id=cluster.cluster_security_group_id,
        kubernetes_group=settings.airflow_group,
        pod_namespace=pod_namespace.namespace,
        image_prefix=images.prefix,
        xcom_sidecar_image=images.xcom_sidecar,
        teams=tuple(
            TeamAccess(
                team=team.name,
                virtual_cluster_id=virtual_clusters[team.name].id,
                virtual_cluster_arn=virtual_clusters[team.name].arn,
                job_role_arn=virtual_clusters[team.name].job_role_arn,
                log_group_name=virtual_clusters[team.name].log_group_name,
                s3_uri=virtual_clusters[team.name].s3_uri,
                metastore_client_factory=GLUE_METASTORE if team.glue_databases else None,
                event_log_dir=virtual_clusters[team.name].event_log_dir,
            )
            for team in settings.spark.teams
        ),
        scripts_uri=job_scripts.uri,
        driver_pod_template=pod_templates.driver,
        executor_pod_template=pod_templates.executor,
        default_team=settings.default_team,
        release_label=settings.spark.release_label,
        alarm_topic_arn=monitoring.topic_arn if monitoring else None,
        secrets_prefix=settings.secrets_prefix,
        kms_key_arn=encryption_key.arn,
        account=account,
    ),
    opts=in_aws,
)

if settings.airflow.metadata_backups:
    AirflowBackups(
        "airflow-backups",
        AirflowBackupsArgs(
            environment_name=name,
            execution_role_name=airflow.execution_role_name,
            bucket_name=dag_bucket.name,
            bucket_arn=dag_bucket.arn,
            secrets_prefix=settings.secrets_prefix,
            kms_key_arn=encryption_key.arn,
            account=account,
        ),
        opts=in_aws,
    )

if settings.delivery.github_repository is not None:
    delivery_roles = DeliveryRoles(
        "delivery",
        DeliveryRolesArgs(
            repository=settings.delivery.github_repository,
            oidc_provider_arn=settings.delivery.github_oidc_provider_arn,
            state_bucket_arn=settings.delivery.state_bucket_arn,
            state_key_arns=settings.delivery.state_key_arns,
            cluster_name=cluster.name,
            dag_bucket_arn=dag_bucket.arn,
            job_bucket_arn=job_bucket.arn,
            kms_key_arn=encryption_key.arn,
            secrets_prefix=settings.secrets_prefix,
            tags={"project": settings.project, "stack": settings.stack},
            dags=DagDelivery(
                bucket_arn=dag_bucket.arn,
                kms_key_arn=encryption_key.arn,
                environment_arn=airflow.arn,
                execution_role_arn=airflow.execution_role_arn,
            )
            if settings.airflow.dag_delivery == "pipeline"
            else None,
            account=account,
        ),
        opts=in_cluster,
    )
    pulumi.export("preview_role_arn", delivery_roles.preview_role_arn)
    pulumi.export("drift_role_arn", delivery_roles.drift_role_arn)
    pulumi.export("dags_role_arn", delivery_roles.dags_role_arn)

if settings.account.asleep:
    # The last thing that happens but for the end of the environment, which it keeps from that.
    Sleep(
        "sleep",
        cluster_name=name,
        environment_name=name,
        tags={"project": settings.project, "stack": settings.stack},
        region=account.region,
        account_id=account.id,
        opts=pulumi.ResourceOptions(depends_on=[*made]),
    )

# Deleted first, since it depends on all. Protected, it also ends `destroy --skip-preview` before
# anything is gone.
DestroyCheck(
    "destroy-check",
    cluster_name=name,
    vpc_id=network.vpc_id,
    buckets=dict.fromkeys(
        (settings.dag_bucket_name, settings.job_bucket_name), settings.account.force_destroy
    ),
    tags={"project": settings.project, "stack": settings.stack},
    region=account.region,
    account_id=account.id,
    opts=pulumi.ResourceOptions(
        depends_on=[*made], protect=anything_is_protected(settings.account.unprotected)
    ),
)

default_virtual_cluster = virtual_clusters[settings.default_team]

pulumi.export(
    "configure_kubectl",
    pulumi.Output.concat("aws eks update-kubeconfig --region ", account.region, " --name ", name),
)
pulumi.export("emrcontainers_virtual_cluster_id", default_virtual_cluster.id)
pulumi.export("emr_on_eks_role_arn", default_virtual_cluster.job_role_arn)
pulumi.export("airflow_url", airflow.webserver_url)
pulumi.export("dag_bucket", dag_bucket.name)
pulumi.export("job_bucket", job_bucket.name)
pulumi.export("virtual_cluster_ids", {t: v.id for t, v in virtual_clusters.items()})
pulumi.export("job_role_arns", {t: v.job_role_arn for t, v in virtual_clusters.items()})
pulumi.export("team_role_arns", {t: m.role_arn for t, m in team_members.items()})
