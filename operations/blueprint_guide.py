"""From the removed Terraform blueprint to this program: what becomes of each of your resources.

    terraform show -json > state.json
    python -m operations.blueprint_guide state.json > guide.md

Reads a Terraform state and changes nothing. Every resource of the state is in the guide; of values
only names and ARNs, so that no secret of the state gets into it.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, Final, TypeAlias

import yaml

Json: TypeAlias = Any


class GuideError(Exception):
    """What is no state that this command reads."""


class Fate(Enum):
    """What becomes of a resource, in the order in which a reader should know of it."""

    YOURS = "What the blueprint did not make"
    CARRIED = "What you carry over"
    MADE = "What `pulumi up` makes anew"
    GONE = "What goes without a successor"


_INTRODUCTION: Final = {
    Fate.YOURS: "Somebody added these. Nothing here takes their place: decide for each. What has "
    "to stay, Terraform must forget (`terraform state rm '<address>'`), or it goes with the rest.",
    Fate.CARRIED: "They hold what cannot be made again. Do what the last column says before "
    "`terraform destroy`.",
    Fate.MADE: "Do nothing: the successor is new, beside them, and they go with "
    "`terraform destroy`. None of them is imported: while the old platform runs it needs them as "
    "they are, and the new ones are encrypted, named and joined in another way.",
    Fate.GONE: "Do nothing: they go with `terraform destroy`.",
}


@dataclass(frozen=True)
class Resource:
    """A resource that Terraform manages."""

    address: str
    type: str
    values: Mapping[str, Json]

    @property
    def modules(self) -> set[str]:
        """The modules that it is in, by name."""
        return set(re.findall(r"(?:^|\.)module\.([\w-]+)", self.address))

    @property
    def own(self) -> str:
        """Its type and name, without module and index."""
        found = re.search(rf"(?:^|\.)({re.escape(self.type)}\.[\w-]+)", self.address)
        return found[1] if found else ""


@dataclass(frozen=True)
class Advice:
    """What is here for a type, and what is to be done."""

    fate: Fate
    here: str
    to_do: str = ""


def _made(here: str) -> Advice:
    return Advice(Fate.MADE, here)


_TABLES: Final = _made("`Network`: route tables")
_ROLES: Final = _made("a role per purpose, with the rights that it uses")
_NAMESPACE_RIGHTS: Final = _made(
    "`JobNamespace`: one Role with the verbs that are used, bound to one group"
)
_BUCKET_SETTINGS: Final = _made("`DagBucket`, `PrivateBucket`: closed, encrypted with the key")

# The types of the blueprint and of the modules that it called.
ADVICE: Final[Mapping[str, Advice]] = {
    "aws_cloudwatch_log_group": Advice(
        Fate.CARRIED,
        "a group of another name, with retention and the key",
        "it and its logs go with `terraform destroy`: export what must be kept "
        "(`aws logs create-export-task`)",
    ),
    "aws_default_network_acl": Advice(Fate.GONE, "a VPC's own, left as AWS makes it"),
    "aws_default_route_table": Advice(Fate.GONE, "a VPC's own, left as AWS makes it"),
    "aws_default_security_group": _made("`Network`: the default group, closed"),
    "aws_ec2_tag": Advice(Fate.GONE, "tags stand with their resources"),
    "aws_eip": Advice(
        Fate.CARRIED,
        "`Network`: an address per NAT gateway",
        "the platform calls from a new address: have it let in where this one is",
    ),
    "aws_eks_addon": _made("`EksCluster`, `ClusterAddons`: in EKS's default versions"),
    "aws_eks_cluster": _made("`EksCluster`, in a supported version of Kubernetes"),
    "aws_eks_node_group": _made("`EksCluster`: one node group on Amazon Linux 2023"),
    "aws_emrcontainers_virtual_cluster": Advice(
        Fate.CARRIED,
        "`VirtualCluster`, one per team of `spark.teams`",
        "it has a new id and job role, which DAGs read from the connection `emr_eks_<team>`; end "
        "its job runs first. Job templates and managed endpoints are to be made again",
    ),
    "aws_iam_openid_connect_provider": Advice(
        Fate.GONE, "roles of pods are given by EKS Pod Identity"
    ),
    "aws_iam_policy": _ROLES,
    "aws_iam_role": _ROLES,
    "aws_iam_role_policy": _ROLES,
    "aws_iam_role_policy_attachment": _ROLES,
    "aws_internet_gateway": _made("`Network`"),
    "aws_kms_alias": _made("`EncryptionKey`"),
    "aws_kms_key": Advice(
        Fate.CARRIED,
        "`EncryptionKey`: one key for everything",
        "it is deleted after its waiting period: see that nothing outside of the cluster, such as "
        "a snapshot, is encrypted with it",
    ),
    "aws_launch_template": _made("`EksCluster`"),
    "aws_mwaa_environment": Advice(
        Fate.CARRIED,
        "`AirflowEnvironment`, with a new database",
        "variables and connections go to Secrets Manager, as "
        "`airflow/<project>-<stack>/variables/…` and `…/connections/…`; pools, roles of users and "
        "the history of runs do not move. What the options hold goes into `airflow.options`",
    ),
    "aws_nat_gateway": _made("`Network`: `network.nat`"),
    "aws_route": _TABLES,
    "aws_route_table": _TABLES,
    "aws_route_table_association": _TABLES,
    "aws_s3_bucket": Advice(
        Fate.CARRIED,
        "`DagBucket`: versioned, and filled from `dags/` by `pulumi up`",
        "it goes with all that is in it (`force_destroy`): copy what is not in your repository",
    ),
    "aws_s3_bucket_acl": _BUCKET_SETTINGS,
    "aws_s3_bucket_ownership_controls": _BUCKET_SETTINGS,
    "aws_s3_bucket_policy": _BUCKET_SETTINGS,
    "aws_s3_bucket_public_access_block": _BUCKET_SETTINGS,
    "aws_s3_bucket_server_side_encryption_configuration": _BUCKET_SETTINGS,
    "aws_s3_bucket_versioning": _BUCKET_SETTINGS,
    "aws_s3_object": Advice(
        Fate.CARRIED,
        "`dags/` of this repository",
        "copy it to `dags/`; `make test` loads it in the Airflow that it will run in",
    ),
    "aws_security_group": _made("a group per purpose"),
    "aws_security_group_rule": _made("rules of those groups"),
    "aws_subnet": _made("`Network`"),
    "aws_vpc": Advice(
        Fate.CARRIED,
        "`Network`: another VPC",
        "connect what this one is connected with (peerings, VPN, private hosted zones) to the new "
        "one, of another range",
    ),
    "aws_vpc_endpoint": _made(
        "`Network`: the gateway endpoint of S3, and `network.interfaceEndpoints`"
    ),
    "helm_release": _made("metrics-server is an add-on, the autoscaler plain objects"),
    "kubernetes_config_map_v1_data": Advice(
        Fate.CARRIED,
        "access entries",
        "name the people of `aws-auth` in `cluster.adminPrincipalArns` and `viewerPrincipalArns`",
    ),
    "kubernetes_namespace_v1": Advice(
        Fate.CARRIED,
        "`JobNamespace`, with Pod Security, quota and network policies",
        "what others made in it (secrets, config maps, volumes) is not in this state: make it "
        "again",
    ),
    "kubernetes_role_binding_v1": _NAMESPACE_RIGHTS,
    "kubernetes_role_v1": _NAMESPACE_RIGHTS,
    "null_resource": Advice(Fate.GONE, "a step of Terraform's"),
    "random_id": Advice(Fate.GONE, "names end in project, stack and account"),
    "time_sleep": Advice(Fate.GONE, "a step of Terraform's"),
}
# What the blueprint called, and what it made itself, in its versions since 2022.
_MODULES: Final = frozenset(
    (
        *("ebs_csi_driver_irsa", "eks", "eks_blueprints", "eks_blueprints_addons"),
        *("eks_blueprints_kubernetes_addons", "emr_containers", "mwaa", "s3_bucket", "vpc"),
        *("vpc_cni_irsa", "vpc_endpoints"),
    )
)
_OWN: Final = frozenset(
    (
        *("aws_emrcontainers_virtual_cluster.this", "aws_iam_policy.emr_on_eks"),
        *(
            "aws_iam_policy.this",
            "aws_iam_role_policy_attachment.this",
            "aws_s3_object.kube_config",
        ),
        *("aws_s3_object.uploads", "aws_security_group.vpc_endpoints_sg"),
        *("kubernetes_namespace_v1.mwaa", "kubernetes_role_binding_v1.mwaa"),
        *("kubernetes_role_v1.mwaa", "random_id.this"),
    )
)
_FORMER: Final = {
    "aws_s3_bucket_object": "aws_s3_object",
    "kubernetes_config_map": "kubernetes_config_map_v1_data",
    "kubernetes_namespace": "kubernetes_namespace_v1",
    "kubernetes_role": "kubernetes_role_v1",
    "kubernetes_role_binding": "kubernetes_role_binding_v1",
}
_YOURS: Final = Advice(Fate.YOURS, "nothing", "keep it, move it, or let it go")

# Files of the blueprint whose place is taken, by the end of their key.
_FILES: Final = {
    "kube_config.yaml": Advice(
        Fate.GONE, "the connection `eks`: operators make their own kubeconfig, with fresh tokens"
    ),
    "requirements.txt": Advice(
        Fate.CARRIED,
        "`dags/requirements.txt`",
        "merge it; `pulumi preview` compares it with the version of Airflow",
    ),
}

_HELM: Final = ("metrics-server", "cluster-autoscaler")


def resources_of(state: Json) -> list[Resource]:
    """Return what a state manages, as its file or `terraform show -json` tells it."""
    if isinstance(state, dict) and "encrypted_data" in state:
        raise GuideError("the state is encrypted: give the output of `tofu show -json` instead")
    if isinstance(state, dict) and state.get("version") == 4:
        return list(_from_file(state))
    if isinstance(state, dict) and "format_version" in state:
        return list(_from_show(state.get("values", {}).get("root_module", {})))
    raise GuideError(
        "this is no Terraform state of version 4, nor the output of `terraform show -json`: make "
        "that with the Terraform that you use"
    )


def _from_file(state: Json) -> Iterator[Resource]:
    for one in state.get("resources") or []:
        if one["mode"] != "managed":
            continue
        module = f"{one['module']}." if "module" in one else ""
        for instance in one["instances"]:
            address = f"{module}{one['type']}.{one['name']}"
            if "index_key" in instance:
                address += f"[{json.dumps(instance['index_key'])}]"
            if "deposed" in instance:
                address += f" (deposed, {instance['deposed']})"
            yield Resource(address, one["type"], instance.get("attributes") or {})


def _from_show(module: Json) -> Iterator[Resource]:
    for one in module.get("resources", []):
        if one["mode"] == "managed":
            deposed = f" (deposed, {one['deposed_key']})" if "deposed_key" in one else ""
            yield Resource(one["address"] + deposed, one["type"], one.get("values") or {})
    for child in module.get("child_modules", []):
        yield from _from_show(child)


def advice_on(resource: Resource) -> Advice:
    """Return what becomes of a resource; what nobody here knows is its owner's."""
    kind = _FORMER.get(resource.type, resource.type)
    if not (resource.modules & _MODULES or resource.own in _OWN):
        return _YOURS
    if kind == "aws_s3_object":
        file = str(resource.values.get("key", "")).rpartition("/")[2]
        return _FILES.get(file, ADVICE[kind])
    if kind == "helm_release" and resource.values.get("name") not in _HELM:
        return _YOURS
    return ADVICE.get(kind, _YOURS)


# What a type is known by to its users, which is never a secret.
_NAMES: Final = {
    "aws_eip": "public_ip",
    "aws_s3_bucket": "bucket",
    "aws_s3_object": "key",
    "aws_vpc": "cidr_block",
    "aws_subnet": "cidr_block",
    "aws_vpc_endpoint": "service_name",
    "aws_eks_addon": "addon_name",
    "aws_eks_node_group": "node_group_name",
}


def _name(resource: Resource) -> str:
    """The resource's own name, where that says more than its address."""
    kind = _FORMER.get(resource.type, resource.type)
    if advice_on(resource) is _YOURS:
        return str(resource.values.get("arn") or "")
    if kind.startswith("kubernetes_"):
        metadata = (resource.values.get("metadata") or [{}])[0]
        return "/".join(filter(None, (metadata.get("namespace"), metadata.get("name"))))
    if kind not in _NAMES and not kind.startswith(("aws_", "helm_")):
        return ""
    return str(resource.values.get(_NAMES.get(kind, "name")) or "")


def guide(state: Json) -> str:
    """Return the guide as Markdown."""
    found = resources_of(state)
    fates: dict[Fate, list[Resource]] = {fate: [] for fate in Fate}
    for resource in found:
        fates[advice_on(resource).fate].append(resource)
    parts = [
        "# From the Terraform blueprint to mwaa-on-eks",
        f"Your state has {len(found)} resources: "
        + ", ".join(
            f"{len(of)} {text}"
            for of, text in (
                (fates[Fate.CARRIED], "to carry over"),
                (fates[Fate.MADE], "that are made anew"),
                (fates[Fate.GONE], "that go"),
                (fates[Fate.YOURS], "that the blueprint did not make"),
            )
        )
        + ". Both platforms run side by side until the last step; none of your resources is "
        "changed before.",
    ]
    if not any(one.type == "aws_mwaa_environment" for one in found):
        parts.append("**There is no MWAA environment in this state: is it the blueprint's?**")
    parts += ["## Steps", _steps(found, fates[Fate.YOURS])]
    for fate, of in fates.items():
        if of:
            parts += [f"## {fate.value}", _INTRODUCTION[fate], _table(of)]
    return "\n\n".join(parts) + "\n"


def _table(resources: Sequence[Resource]) -> str:
    lines = ["| Yours | Name | Here | To do |", "|---|---|---|---|"]
    for resource in resources:
        advice = advice_on(resource)
        name = _name(resource)
        cells = (
            _code(resource.address),
            _code(name) if name else "",
            advice.here,
            advice.to_do,
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _code(text: str) -> str:
    """Text as it is, in a cell of a table."""
    text = text.replace("|", "\\|").replace("\n", " ")
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def _steps(found: list[Resource], yours: list[Resource]) -> str:
    steps = [
        "Write `Pulumi.<stack>.yaml`. This follows from your state, but for the addresses that may "
        "call the Kubernetes API, which you name (an Airflow and a Kubernetes that AWS supports "
        "are the defaults):\n\n"
        + _indented(f"```yaml\n{yaml.safe_dump(settings_of(found), sort_keys=False)}```"),
        "`python -m operations.preflight --stack <stack>`, then `pulumi up --stack <stack>`.",
        "Carry over what the table below names. DAGs have to load in the new Airflow: `make test` "
        "tells. Gone since the blueprint's version are `schedule_interval`, `days_ago` and "
        "`operators.kubernetes_pod`; Spark's settings are `spark.executor.*`, not "
        "`spark.executors.*`.",
        "Pause the DAGs there, unpause them here, and wait until no run is left there.",
        "`terraform destroy`, with what is to stay taken out of the state. The log groups "
        "`airflow-<environment>-…` stay, since no state has them.",
    ]
    if yours:
        steps.insert(
            -1,
            f"Decide on the {len(yours)} resources that the blueprint did not make (below).",
        )
    return "\n".join(f"{place}. {step}" for place, step in enumerate(steps, 1))


def _indented(text: str) -> str:
    return "\n".join(f"   {line}".rstrip() for line in text.splitlines())


def settings_of(found: list[Resource]) -> Json:
    """Return the settings of this program that follow from a state."""
    account: dict[str, Json] = {}
    network: dict[str, Json] = {}
    cluster: dict[str, Json] = {"publicAccessCidrs": ["203.0.113.0/24"]}
    airflow: dict[str, Json] = {}
    teams = []
    for one in found:
        values = one.values
        match one.type:
            case "aws_mwaa_environment":
                _, _, _, region, number, _ = str(values["arn"]).split(":", 5)
                account = {"id": number, "region": region}
                given = {
                    "environmentClass": "environment_class",
                    "minWorkers": "min_workers",
                    "maxWorkers": "max_workers",
                    "webserverAccess": "webserver_access_mode",
                }
                airflow |= {key: values[name] for key, name in given.items() if values.get(name)}
            case "aws_vpc":
                network["cidrBlock"] = _next(IPv4Network(values["cidr_block"]))
            case "aws_eks_node_group":
                scaling = values["scaling_config"][0]
                cluster |= {
                    "instanceTypes": values["instance_types"],
                    "nodeMin": scaling["min_size"],
                    "nodeMax": scaling["max_size"],
                }
            case "aws_emrcontainers_virtual_cluster":
                info = values["container_provider"][0]["info"][0]["eks_info"][0]
                teams.append({"name": info["namespace"].removeprefix("emr-")})
    private = Counter(
        one.values.get("availability_zone")
        for one in found
        if one.type == "aws_subnet" and ".private[" in one.address
    )
    if 2 <= len(private) <= 4:
        network["zones"] = len(private)
    sections = {"account": account, "network": network, "cluster": cluster, "airflow": airflow}
    if teams:
        sections["spark"] = {"teams": teams}
    return {"config": {f"mwaa-on-eks:{name}": one for name, one in sections.items() if one}}


def _next(block: IPv4Network) -> str:
    """The range behind another one, so that both can be connected."""
    return str(IPv4Network((int(block.network_address) + block.num_addresses, block.prefixlen)))


def main() -> int:
    """Print the guide for a state."""
    parser = argparse.ArgumentParser(prog="python -m operations.blueprint_guide")
    parser.add_argument("state", type=Path, help="terraform.tfstate, or `terraform show -json`")
    told = parser.parse_args()
    try:
        print(guide(json.loads(told.state.read_text())), end="")
    except (GuideError, json.JSONDecodeError, OSError) as error:
        print(f"{told.state}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
