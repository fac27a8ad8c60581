"""The guide for users of the removed blueprint, from states of its shape."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from markdown_it import MarkdownIt

from operations.blueprint_guide import (
    ADVICE,
    Fate,
    GuideError,
    advice_on,
    guide,
    resources_of,
    settings_of,
)
from settings.sections import (
    AccountSettings,
    AirflowSettings,
    ClusterSettings,
    NetworkSettings,
    SparkSettings,
)

Json = Any
ARN = "arn:aws:{}:us-west-2:111122223333:{}"
SECRET = "hunter2"  # noqa: S105  (what must not get out)

# What Terraform made of the blueprint and of the modules that it called: address without index,
# indices, attributes (of which a real state has many more).
BLUEPRINT: list[tuple[str, list[Json], Json]] = [
    ("aws_iam_policy.this", [None], {"name": "managed-airflow-mwaa-mwaa-emr-job"}),
    ("aws_iam_role_policy_attachment.this", [None], {"role": "mwaa-executor2023"}),
    ("aws_s3_object.kube_config", [None], {"key": "dags/kube_config.yaml", "content": SECRET}),
    ("aws_s3_object.uploads", ["emr_eks.py"], {"key": "dags/emr_eks.py"}),
    ("aws_s3_object.uploads", ["requirements.txt"], {"key": "dags/requirements.txt"}),
    ("aws_security_group.vpc_endpoints_sg", [None], {"name": "managed-airflow-mwaa-vpc-endpoints"}),
    ("kubernetes_namespace_v1.mwaa", [None], {"metadata": [{"name": "mwaa"}]}),
    ("kubernetes_role_v1.mwaa", [None], {"metadata": [{"namespace": "mwaa", "name": "mwaa-role"}]}),
    ("kubernetes_role_binding_v1.mwaa", [None], {"metadata": [{"name": "mwaa-role-binding"}]}),
    ("random_id.this", [None], {"hex": "beef", "id": "vu8"}),
    ("module.vpc.aws_vpc.this", [0], {"cidr_block": "10.0.0.0/16"}),
    *(
        (
            "module.vpc.aws_subnet.private",
            [place],
            {"availability_zone": f"us-west-2{zone}", "cidr_block": f"10.0.{16 * place}.0/20"},
        )
        for place, zone in enumerate("abc")
    ),
    ("module.vpc.aws_subnet.public", [0, 1, 2], {"availability_zone": "us-west-2a"}),
    ("module.vpc.aws_internet_gateway.this", [0], {}),
    ("module.vpc.aws_nat_gateway.this", [0], {}),
    ("module.vpc.aws_eip.nat", [0], {"public_ip": "198.51.100.7"}),
    ("module.vpc.aws_route_table.private", [0], {}),
    ("module.vpc.aws_route_table.public", [0], {}),
    ("module.vpc.aws_route.private_nat_gateway", [0], {}),
    ("module.vpc.aws_route_table_association.private", [0, 1, 2], {}),
    ("module.vpc.aws_default_route_table.default", [0], {}),
    ("module.vpc.aws_default_network_acl.this", [0], {}),
    ("module.vpc.aws_default_security_group.this", [0], {}),
    ("module.vpc_endpoints.aws_vpc_endpoint.this", ["ecr_api", "s3"], {"service_name": "com.s3"}),
    ("module.eks.aws_eks_cluster.this", [0], {"name": "managed-airflow-mwaa"}),
    ("module.eks.aws_cloudwatch_log_group.this", [0], {"name": "/aws/eks/mwaa/cluster"}),
    ("module.eks.aws_ec2_tag.cluster_primary_security_group", ["Blueprint"], {}),
    ("module.eks.aws_iam_openid_connect_provider.oidc_provider", [0], {}),
    ("module.eks.aws_iam_role.this", [0], {"name": "managed-airflow-mwaa-cluster"}),
    ("module.eks.aws_security_group_rule.node", ["ingress_cluster_443"], {}),
    (
        "module.eks.kubernetes_config_map_v1_data.aws_auth",
        [0],
        {"metadata": [{"name": "aws-auth"}]},
    ),
    ("module.eks.time_sleep.this", [0], {}),
    ("module.eks.module.kms.aws_kms_key.this", [0], {"arn": ARN.format("kms", "key/1")}),
    ("module.eks.module.kms.aws_kms_alias.this", ["cluster"], {"name": "alias/eks/mwaa"}),
    (
        'module.eks.module.eks_managed_node_group["mng1"].aws_eks_node_group.this',
        [0],
        {
            "node_group_name": "core-node-grp",
            "instance_types": ["m5.xlarge"],
            "scaling_config": [{"min_size": 3, "max_size": 9, "desired_size": 3}],
        },
    ),
    ('module.eks.module.eks_managed_node_group["mng1"].aws_launch_template.this', [0], {}),
    ("module.eks_blueprints_addons.aws_eks_addon.this", ["coredns"], {"addon_name": "coredns"}),
    (
        "module.eks_blueprints_addons.module.cluster_autoscaler.helm_release.this",
        [0],
        {"name": "cluster-autoscaler", "values": [SECRET]},
    ),
    (
        "module.ebs_csi_driver_irsa.aws_iam_policy.ebs_csi",
        [0],
        {"name": "AmazonEKS_EBS_CSI_Policy"},
    ),
    (
        "module.emr_containers.aws_emrcontainers_virtual_cluster.this",
        [0],
        {
            "name": "managed-airflow-mwaa-emr-mwaa-team",
            "container_provider": [{"info": [{"eks_info": [{"namespace": "emr-mwaa"}]}]}],
        },
    ),
    (
        "module.emr_containers.kubernetes_namespace_v1.this",
        [0],
        {"metadata": [{"name": "emr-mwaa"}]},
    ),
    ("module.emr_containers.aws_cloudwatch_log_group.this", [0], {"name": "/emr-on-eks-logs/emr"}),
    (
        "module.mwaa.aws_mwaa_environment.mwaa",
        [None],
        {
            "name": "managed-airflow-mwaa",
            "arn": ARN.format("airflow", "environment/managed-airflow-mwaa"),
            "airflow_version": "2.5.1",
            "environment_class": "mw1.medium",
            "min_workers": 1,
            "max_workers": 25,
            "webserver_access_mode": "PUBLIC_ONLY",
            "airflow_configuration_options": {"smtp.smtp_password": SECRET},
        },
    ),
    ("module.mwaa.aws_iam_role_policy.mwaa", [0], {"policy": SECRET}),
    ("module.mwaa.aws_security_group.mwaa", [0], {"name": "mwaa-2023"}),
    ("module.s3_bucket.aws_s3_bucket.this", [0], {"bucket": "mwaa-beef"}),
    ("module.s3_bucket.aws_s3_bucket_policy.this", [0], {}),
    ("module.s3_bucket.aws_s3_bucket_public_access_block.this", [0], {}),
    ("module.s3_bucket.aws_s3_bucket_server_side_encryption_configuration.this", [0], {}),
]
OTHERS: list[tuple[str, list[Json], Json]] = [
    (
        "aws_db_instance.reports",
        [None],
        {"arn": ARN.format("rds", "db:reports"), "password": SECRET},
    ),
    ("random_password.reports", [None], {"id": "none", "result": SECRET}),
    ("random_string.token", [None], {"id": SECRET, "result": SECRET}),
    ("aws_security_group.reports", [None], {"name": "reports", "arn": ARN.format("ec2", "sg-1")}),
    ("kubernetes_secret_v1.reports", [None], {"data": {"password": SECRET}}),
    (
        "module.eks_blueprints_addons.helm_release.argo|cd",
        [None],
        {"name": "argo", "values": [SECRET]},
    ),
    ("module.eks.aws_autoscaling_schedule.night", ["down"], {"scheduled_action_name": "down"}),
    ("module.lake.aws_s3_bucket.this", ["a|b"], {"bucket": SECRET, "arn": "arn:aws:s3:::lake"}),
]


def split(address: str) -> tuple[str | None, str, str]:
    module, kind, name = re.fullmatch(r"(?:(module\..*)\.)?([a-z0-9_]+)\.([^.]+)", address).groups()  # type: ignore[union-attr]
    return module, kind, name


def as_file(resources: list[tuple[str, list[Json], Json]]) -> Json:
    """As Terraform writes it into terraform.tfstate."""
    found = []
    for address, indices, attributes in resources:
        module, kind, name = split(address)
        instances = [
            ({} if index is None else {"index_key": index}) | {"attributes": attributes}
            for index in indices
        ]
        one = {"mode": "managed", "type": kind, "name": name, "instances": instances}
        found.append(one | ({"module": module} if module else {}))
    lookup = {"mode": "data", "type": "aws_caller_identity", "name": "current", "instances": [{}]}
    outputs = {"password": {"value": SECRET, "sensitive": True}}
    return {"version": 4, "outputs": outputs, "resources": [*found, lookup]}


def as_shown(resources: list[tuple[str, list[Json], Json]]) -> Json:
    """As `terraform show -json` prints it."""
    root: Json = {"resources": [], "child_modules": []}
    for address, indices, attributes in resources:
        module, kind, name = split(address)
        place = root
        if module:
            place = {"address": module, "resources": []}
            root["child_modules"].append(place)
        for index in indices:
            full = address if index is None else f"{address}[{json.dumps(index)}]"
            one = {"address": full, "mode": "managed", "type": kind, "name": name}
            place["resources"].append(one | {"values": attributes})
    return {"format_version": "1.0", "values": {"root_module": root}}


ALL = [*BLUEPRINT, *OTHERS]


def rows(text: str) -> list[list[str]]:
    """The cells of all tables, as a reader sees them."""
    html = MarkdownIt("commonmark").enable("table").render(text)
    cells = [re.findall(r"<td>(.*?)</td>", row, re.DOTALL) for row in html.split("<tr>")]
    return [row for row in cells if row]


def test_every_resource_is_in_the_guide_once_and_nothing_else() -> None:
    text = guide(as_file(ALL))
    shown = sorted(
        re.sub(r"</?code>|&quot;", lambda m: '"' if m[0] == "&quot;" else "", row[0])
        for row in rows(text)
    )
    assert shown == sorted(one.address for one in resources_of(as_file(ALL)))
    assert len(shown) == sum(len(indices) for _, indices, _ in ALL)
    assert all(len(row) == 4 for row in rows(text))


def test_both_forms_of_a_state_give_the_same_guide() -> None:
    assert guide(as_file(ALL)) == guide(as_shown(ALL))


def test_no_secret_of_the_state_is_in_the_guide() -> None:
    assert SECRET in json.dumps(as_file(ALL))
    assert SECRET not in guide(as_file(ALL))


def test_all_of_the_blueprint_has_an_answer_and_what_is_not_its_own_is_told() -> None:
    fates = {one.address: advice_on(one).fate for one in resources_of(as_file(ALL))}
    others = {one.address for one in resources_of(as_file(OTHERS))}
    assert {address for address, fate in fates.items() if fate is Fate.YOURS} == others
    carried = {address for address, fate in fates.items() if fate is Fate.CARRIED}
    assert {
        "module.mwaa.aws_mwaa_environment.mwaa",
        "module.s3_bucket.aws_s3_bucket.this[0]",
        'aws_s3_object.uploads["emr_eks.py"]',
        'aws_s3_object.uploads["requirements.txt"]',
        "module.vpc.aws_eip.nat[0]",
        "module.eks.kubernetes_config_map_v1_data.aws_auth[0]",
    } <= carried
    assert all(advice.to_do for advice in ADVICE.values() if advice.fate is Fate.CARRIED)


def test_a_blueprint_that_was_called_as_a_module_is_known() -> None:
    wrapped = [(f"module.platform.{address}", i, values) for address, i, values in BLUEPRINT]
    fates = {advice_on(one).fate for one in resources_of(as_file(wrapped))}
    assert Fate.YOURS not in fates


def test_the_settings_of_the_guide_are_right() -> None:
    config = settings_of(resources_of(as_file(ALL)))["config"]
    account = AccountSettings.model_validate(config["mwaa-on-eks:account"])
    network = NetworkSettings.model_validate(config["mwaa-on-eks:network"])
    cluster = ClusterSettings.model_validate(config["mwaa-on-eks:cluster"])
    airflow = AirflowSettings.model_validate(config["mwaa-on-eks:airflow"])
    spark = SparkSettings.model_validate(config["mwaa-on-eks:spark"])
    assert (account.id, account.region) == ("111122223333", "us-west-2")
    assert (str(network.cidr_block), network.zone_count) == ("10.1.0.0/16", 3)
    assert (cluster.instance_types, cluster.node_min, cluster.node_max) == (("m5.xlarge",), 3, 9)
    assert (airflow.min_workers, airflow.max_workers) == (1, 25)
    assert [team.namespace for team in spark.teams] == ["emr-mwaa"]
    (block,) = re.findall(r"```yaml\n(.*?)```", guide(as_file(ALL)), re.DOTALL)
    assert yaml.safe_load(re.sub(r"(?m)^   ", "", block)) == {"config": config}


def test_the_guide_renders_as_what_it_says() -> None:
    html = MarkdownIt("commonmark").enable("table").render(guide(as_file(ALL)))
    assert html.count("<h2>") == 5
    assert html.count("<table>") == 4
    assert html.count("<ol>") == 1
    assert html.count("<li>") == 6
    assert html.count('<pre><code class="language-yaml">') == 1
    assert f"{sum(len(i) for _, i, _ in OTHERS)} that the blueprint did not make" in html
    assert "<code>module.lake.aws_s3_bucket.this[&quot;a|b&quot;]</code>" in html


def test_a_resource_that_was_replaced_and_is_left_over_is_told() -> None:
    state = as_file([("module.vpc.aws_eip.nat", [0], {})])
    state["resources"][0]["instances"].append({"index_key": 0, "deposed": "1a2b", "attributes": {}})
    assert [one.address for one in resources_of(state)] == [
        "module.vpc.aws_eip.nat[0]",
        "module.vpc.aws_eip.nat[0] (deposed, 1a2b)",
    ]


def test_a_state_without_an_environment_is_doubted() -> None:
    assert "is it the blueprint's?" in guide(as_file(OTHERS))
    assert "is it the blueprint's?" not in guide(as_file(BLUEPRINT))


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ({"version": 3, "modules": []}, "no Terraform state of version 4"),
        ([], "no Terraform state of version 4"),
        ({"encrypted_data": "x", "version": 4}, "tofu show -json"),
    ],
)
def test_what_is_no_state_is_refused(state: Json, told: str) -> None:
    with pytest.raises(GuideError, match=told):
        guide(state)


def test_the_command_prints_the_guide_or_says_what_is_wrong(tmp_path: Path) -> None:
    def run(content: str) -> subprocess.CompletedProcess[str]:
        file = tmp_path / "terraform.tfstate"
        file.write_text(content)
        command = [sys.executable, "-m", "operations.blueprint_guide", str(file)]
        return subprocess.run(command, check=False, capture_output=True, text=True)

    done = run(json.dumps(as_file(ALL)))
    assert (done.returncode, done.stdout) == (0, guide(as_file(ALL)))
    done = run("{}")
    assert done.returncode == 1
    assert "no Terraform state" in done.stderr
    assert run("no JSON").returncode == 1
