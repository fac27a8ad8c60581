"""Objects in the cluster."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .addresses import is_internet
from .rule import Findings, Props, Resource, Stack, listed, rule, stack_rule, truth

NAMESPACE = "kubernetes:core/v1:Namespace"
ACCOUNT = "kubernetes:core/v1:ServiceAccount"
CONFIG_MAP = "kubernetes:core/v1:ConfigMap"
SECRET = "kubernetes:core/v1:Secret"  # noqa: S105  (a type)
NETWORK_POLICY = "kubernetes:networking.k8s.io/v1:NetworkPolicy"
_RBAC = "kubernetes:rbac.authorization.k8s.io/v1"
ROLE, CLUSTER_ROLE = f"{_RBAC}:Role", f"{_RBAC}:ClusterRole"
BINDING, CLUSTER_BINDING = f"{_RBAC}:RoleBinding", f"{_RBAC}:ClusterRoleBinding"
POD = "kubernetes:core/v1:Pod"
WORKLOADS = (
    POD,
    "kubernetes:apps/v1:DaemonSet",
    "kubernetes:apps/v1:Deployment",
    "kubernetes:apps/v1:StatefulSet",
    "kubernetes:batch/v1:CronJob",
    "kubernetes:batch/v1:Job",
)
_SYSTEM = {"kube-node-lease", "kube-public", "kube-system"}
_EVERYBODY = {"system:anonymous", "system:authenticated", "system:unauthenticated"}
_ALL_POWERFUL = {"admin", "cluster-admin", "edit"}
_BUILT_IN = _ALL_POWERFUL | {"view"}
# EMR's repositories have the release in their names, and its builds as tags.
_EMR_RELEASE = re.compile(r"^\d{12}\.dkr\.ecr\.[^/]+/spark/emr-\d+\.\d+\.\d+[\w-]*:latest$")
# Which verbs on what give more than they seem to.
_ESCALATES = {
    "clusterrolebindings": {"bind", "create", "patch", "update"},
    "clusterroles": {"bind", "create", "escalate", "patch", "update"},
    "groups": {"impersonate"},
    "mutatingwebhookconfigurations": {"create", "patch", "update"},
    "nodes/proxy": {"create", "get"},
    "persistentvolumes": {"create"},
    "rolebindings": {"bind", "create", "patch", "update"},
    "roles": {"bind", "create", "escalate", "patch", "update"},
    "serviceaccounts": {"impersonate"},
    "serviceaccounts/token": {"create"},
    "users": {"impersonate"},
    "validatingwebhookconfigurations": {"create", "patch", "update"},
}


def _metadata(resource: Resource) -> Props:
    return resource.props.get("metadata") or {}


def _name(resource: Resource) -> str:
    return str(_metadata(resource).get("name", resource.name))


def _namespace(resource: Resource) -> str:
    return str(_metadata(resource).get("namespace", "default"))


def _inside(namespace: Resource, stack: Stack, *kinds: str) -> list[Resource]:
    """The objects of these kinds in a namespace that is no system's."""
    name = _name(namespace)
    return [
        one
        for one in stack.of(*kinds)
        if one.refers_to("metadata", namespace) or _namespace(one) == name
    ]


@rule(
    NAMESPACE,
    demand="A namespace refuses pods that are privileged.",
    sources="CIS 4.2.1 to 4.2.5, hardeneks ensure_namespace_psa_exist",
    way_out="label it pod-security.kubernetes.io/enforce: restricted (or baseline)",
)
def namespace_pod_security(namespace: Resource) -> Findings:
    labels = _metadata(namespace).get("labels") or {}
    given = labels.get("pod-security.kubernetes.io/enforce")
    if _name(namespace) not in _SYSTEM and given not in {"baseline", "restricted"}:
        yield f"pod-security.kubernetes.io/enforce is {given or 'missing'}"


@stack_rule(
    NAMESPACE,
    demand="A namespace cannot take up the cluster.",
    sources="EKS best practices (multi-tenancy), hardeneks ensure_namespace_quotas_exist",
    way_out="add a ResourceQuota and a LimitRange",
)
def namespace_limits(namespace: Resource, stack: Stack) -> Findings:
    for kind in ("ResourceQuota", "LimitRange"):
        if _name(namespace) not in _SYSTEM and not _inside(
            namespace, stack, f"kubernetes:core/v1:{kind}"
        ):
            yield f"it has no {kind}"


@stack_rule(
    NAMESPACE,
    demand="Pods of a namespace talk with nobody until a policy names him.",
    sources="CIS 4.3.2, CKV2_K8S_6, hardeneks check_default_deny_policy_exists",
    way_out="add a NetworkPolicy for all pods with the types Ingress and Egress and no rule",
)
def namespace_default_deny(namespace: Resource, stack: Stack) -> Findings:
    denied: set[str] = set()
    for one in _inside(namespace, stack, NETWORK_POLICY):
        spec = one.props["spec"]
        if not any((spec.get("podSelector") or {}).values()):
            denied |= {
                kind
                for kind in listed(spec.get("policyTypes"))
                if not listed(spec.get(kind.lower()))
            }
    if _name(namespace) not in _SYSTEM and (open_ := {"Ingress", "Egress"} - denied):
        yield f"{' and '.join(sorted(open_))} is open"


@stack_rule(
    NAMESPACE,
    demand="A pod that names no service account has no token of the API.",
    sources="CIS 4.1.5, hardeneks disable_service_account_token_mounts",
    way_out="patch the service account default with automountServiceAccountToken: false",
)
def namespace_default_account(namespace: Resource, stack: Stack) -> Findings:
    found = _inside(namespace, stack, ACCOUNT, f"{ACCOUNT}Patch")
    if _name(namespace) not in _SYSTEM and not any(
        _name(one) == "default" and one.props.get("automountServiceAccountToken") is False
        for one in found
    ):
        yield "its account default hands out tokens"


@rule(
    ROLE,
    CLUSTER_ROLE,
    demand="A role names its verbs and resources.",
    sources="CIS 4.1.3, CKV_K8S_49, hardeneks restrict_wildcard_for_roles",
    way_out="name them",
)
def rbac_named(role: Resource) -> Findings:
    for one in listed(role.props.get("rules")):
        for key in ("apiGroups", "resources", "verbs"):
            if "*" in listed(one.get(key)):
                yield f"{key} has a *"


@rule(
    ROLE,
    CLUSTER_ROLE,
    demand="Nobody can make himself somebody else, or get more rights.",
    sources="CIS 4.1.8 to 4.1.12, CKV_K8S_157, CKV_K8S_158, CKV2_K8S_1 to CKV2_K8S_4",
    way_out="leave it out",
)
def rbac_no_escalation(role: Resource) -> Findings:
    for one in listed(role.props.get("rules")):
        for kind in listed(one.get("resources")):
            for verb in sorted(_ESCALATES.get(kind, set()) & set(listed(one.get("verbs")))):
                yield f"it may {verb} {kind}"


@rule(
    ROLE,
    CLUSTER_ROLE,
    demand="No role reads Kubernetes secrets.",
    sources="CIS 4.1.2, CKV2_K8S_5, prowler rbac_minimize_secret_access",
    way_out="keep secrets in Secrets Manager, or name the one that is read in resourceNames",
)
def rbac_no_secrets(role: Resource) -> Findings:
    for one in listed(role.props.get("rules")):
        if "secrets" in listed(one.get("resources")) and not listed(one.get("resourceNames")):
            for verb in sorted({"get", "list", "watch"} & set(listed(one.get("verbs")))):
                yield f"it may {verb} all secrets"


@rule(
    BINDING,
    CLUSTER_BINDING,
    demand="No binding gives everything, or to everybody.",
    sources="CIS 4.1.1, CKV_K8S_42, prowler rbac_cluster_admin_usage",
    way_out="bind a role of its own to a named group or service account",
)
def rbac_bound_to_few(binding: Resource) -> Findings:
    to = binding.props["roleRef"]
    if to["kind"] == "ClusterRole" and to["name"] in _ALL_POWERFUL:
        yield f"it gives {to['name']}"
    for one in listed(binding.props.get("subjects")):
        if one["name"] in _EVERYBODY or one["name"] == "system:masters":
            yield f"it gives to {one['name']}"
        if one["kind"] == "ServiceAccount" and one["name"] == "default":
            yield "it gives to the service account default"


@stack_rule(
    BINDING,
    CLUSTER_BINDING,
    demand="What a binding gives exists.",
    sources="what checkov does not see: the role has another name, and nobody can do anything",
    way_out="name a Role of the same namespace, or a ClusterRole",
)
def rbac_bound_to_something(binding: Resource, stack: Stack) -> Findings:
    to = binding.props["roleRef"]
    if to["kind"] == "ClusterRole":
        found = to["name"] in _BUILT_IN or to["name"].startswith("system:")
        found = found or any(_name(one) == to["name"] for one in stack.of(CLUSTER_ROLE))
    else:
        found = any(
            _name(one) == to["name"] and _namespace(one) == _namespace(binding)
            for one in stack.of(ROLE)
        )
    if not found:
        yield f"there is no {to['kind']} {to['name']}"


@rule(
    CONFIG_MAP,
    demand="aws-auth makes nobody the cluster's master.",
    sources="CIS 4.1.1, CIS 4.1.7",
    way_out="use an access entry",
)
def rbac_no_masters(config_map: Resource) -> Findings:
    if _name(config_map) == "aws-auth":
        for key, value in (config_map.props.get("data") or {}).items():
            if "system:masters" in value:
                yield f"{key} names system:masters"


@rule(
    ACCOUNT,
    CONFIG_MAP,
    SECRET,
    ROLE,
    BINDING,
    *WORKLOADS,
    demand="Nothing is put into the namespace default.",
    sources="CKV_K8S_21, CIS 4.5.2",
    way_out="name a namespace in metadata",
)
def object_has_namespace(resource: Resource) -> Findings:
    if _namespace(resource) == "default":
        yield "its namespace is default"


@rule(
    SECRET,
    demand="Secrets are kept in Secrets Manager.",
    sources="CIS 4.4.2",
    way_out="let the pod read it with its role",
    gate="production",
)
def secrets_outside_cluster(_secret: Resource) -> Findings:
    yield "it is kept in the cluster, where who makes pods in its namespace reads it"


@rule(
    "kubernetes:storage.k8s.io/v1:StorageClass",
    demand="Volumes are encrypted.",
    sources="EKS best practices (data encryption), prowler ec2_ebs_volume_encryption",
    way_out='set parameters.encrypted to "true"',
)
def volumes_encrypted(storage: Resource) -> Findings:
    given = storage.props.get("parameters") or {}
    if storage.props["provisioner"] == "ebs.csi.aws.com" and not truth(given.get("encrypted")):
        yield "parameters.encrypted is off"


@rule(
    NETWORK_POLICY,
    demand="Pods call the internet on named ports.",
    sources="EKS best practices (network security)",
    way_out="name the ports",
)
def pods_call_named_ports(policy: Resource) -> Findings:
    if policy.props["metadata"].get("namespace") in _SYSTEM:  # EKS says what runs there calls
        return
    for one in listed(policy.props["spec"].get("egress")):
        to = listed(one.get("to"))
        ranges = [peer["ipBlock"]["cidr"] for peer in to if peer.get("ipBlock")]
        if not listed(one.get("ports")) and (not to or is_internet(ranges)):
            yield f"{', '.join(ranges) or 'everybody'} may be called on any port"


def _pod(workload: Resource) -> Props:
    spec: Props = workload.props["spec"]
    if workload.type == POD:
        return spec
    if workload.type.endswith(":CronJob"):
        spec = spec["jobTemplate"]["spec"]
    found: Props = spec["template"]["spec"]
    return found


def _containers(workload: Resource) -> Iterator[tuple[Props, Props]]:
    """Each container with its security context over the pod's."""
    pod = _pod(workload)
    for key in ("containers", "initContainers"):
        for one in listed(pod.get(key)):
            yield one, {**(pod.get("securityContext") or {}), **(one.get("securityContext") or {})}


@rule(
    *WORKLOADS,
    demand="A pod has no way to its node.",
    sources="CKV_K8S_16 to CKV_K8S_20, CKV_K8S_27, CIS 4.2.1 to 4.2.5",
    way_out="leave it out",
)
def pod_apart_from_node(workload: Resource) -> Findings:
    pod = _pod(workload)
    for key in ("hostIPC", "hostNetwork", "hostPID"):
        if truth(pod.get(key)):
            yield f"{key} is on"
    for one in listed(pod.get("volumes")):
        if one.get("hostPath"):
            yield f"the volume {one.get('name')} is a hostPath"
    for container, context in _containers(workload):
        if truth(context.get("privileged")):
            yield f"{container['name']} is privileged"


@rule(
    *WORKLOADS,
    demand="A container runs with the least that Linux asks of it.",
    sources="CKV_K8S_20, 22, 23, 25, 28 to 31, 37, 39, 40; the Pod Security Standard restricted",
    way_out="set it in the securityContext",
)
def container_restricted(workload: Resource) -> Findings:
    for container, context in _containers(workload):
        name = container["name"]
        if not truth(context.get("runAsNonRoot")):
            yield f"{name}: runAsNonRoot is off"
        if context.get("allowPrivilegeEscalation") is not False:
            yield f"{name}: allowPrivilegeEscalation is on"
        if not truth(context.get("readOnlyRootFilesystem")):
            yield f"{name}: readOnlyRootFilesystem is off"
        if "ALL" not in listed((context.get("capabilities") or {}).get("drop")):
            yield f"{name}: capabilities.drop lacks ALL"
        if (context.get("seccompProfile") or {}).get("type") not in {"Localhost", "RuntimeDefault"}:
            yield f"{name}: seccompProfile.type is not RuntimeDefault"


@rule(
    *WORKLOADS,
    demand="A container says what it takes, and ends before it takes its node's memory.",
    sources="CKV_K8S_10, CKV_K8S_11, CKV_K8S_12, CKV_K8S_13",
    way_out="set resources.requests.cpu, resources.requests.memory and resources.limits.memory",
)
def container_bounded(workload: Resource) -> Findings:
    for container, _ in _containers(workload):
        given = container.get("resources") or {}
        for kind, what in (("requests", "cpu"), ("requests", "memory"), ("limits", "memory")):
            if what not in (given.get(kind) or {}):
                yield f"{container['name']}: resources.{kind}.{what} is missing"


@rule(
    *WORKLOADS,
    demand="An image is of one version.",
    sources="CKV_K8S_14",
    way_out="name a version, or better a digest",
)
def container_image_chosen(workload: Resource) -> Findings:
    for container, _ in _containers(workload):
        image = container["image"]
        tag = image.rpartition("/")[2].partition(":")[2]
        if "@" not in image and tag in {"", "latest"} and not _EMR_RELEASE.search(image):
            yield f"{container['name']} runs {image}"
