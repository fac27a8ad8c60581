"""Where jobs run: a namespace that limits what they may use, reach and do."""

from dataclasses import dataclass
from typing import Literal

import pulumi
import pulumi_kubernetes as k8s
from pulumi import Output, ResourceOptions


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Verbs on resources of one API group; "" is the core group."""

    api_group: str = ""
    resources: tuple[str, ...]
    verbs: tuple[str, ...]


def pod_operator_rules(*, xcom: bool) -> tuple[Rule, ...]:
    """Return exactly what KubernetesPodOperator calls."""
    rules = (
        Rule(resources=("pods",), verbs=("create", "get", "list", "patch", "delete")),
        Rule(resources=("pods/log",), verbs=("get",)),
        Rule(resources=("events",), verbs=("list", "watch")),
    )
    # It reads a pod's XCom by a command in the sidecar: power over every pod of the namespace. The
    # verb is get by a WebSocket, and create too from Kubernetes 1.35 on
    # (AuthorizePodWebsocketUpgradeCreatePermission).
    return (*rules, Rule(resources=("pods/exec",), verbs=("create", "get"))) if xcom else rules


JOB_VIEWER_RULES = (
    Rule(resources=("pods", "events"), verbs=("get", "list", "watch")),
    Rule(resources=("pods/log",), verbs=("get",)),
    Rule(api_group="batch", resources=("jobs",), verbs=("get", "list", "watch")),
)

# `kubectl port-forward deployment/spark-history` finds a pod of the deployment, which takes the
# right to list pods too. Of ports no rule can say which; so a driver's are open as well.
HISTORY_READER_RULES = (
    Rule(api_group="apps", resources=("deployments",), verbs=("get",)),
    Rule(resources=("pods/portforward",), verbs=("create", "get")),
)


@dataclass(frozen=True, kw_only=True)
class Quota:
    """The most that all pods of a namespace ask for, as Kubernetes quantities."""

    cpu: str
    memory: str
    storage: str
    """Of the volumes that are claimed, and as much again on the disks of the nodes."""
    pods: str


@dataclass(frozen=True, kw_only=True)
class Egress:
    """A port, by TCP, of a range of addresses."""

    cidr: str
    port: int


@dataclass(frozen=True, kw_only=True)
class JobNamespaceArgs:
    """What a JobNamespace is made from."""

    namespace: str
    pod_security: Literal["restricted", "baseline"]
    group: str | None
    """The Kubernetes group that may do what the rules say; None if nobody may."""
    rules: tuple[Rule, ...]
    quota: Quota
    limited: bool
    """Whether every container has limits of memory and disk, which the quota counts."""
    allow_within_namespace: bool
    """Whether its pods may talk to one another, as a Spark driver and its executors do."""
    egress: tuple[Egress, ...] = ()
    """What its pods may call besides HTTPS: databases, as a rule."""


class JobNamespace(pulumi.ComponentResource):
    """A namespace in which one group may run or watch jobs, behind closed doors."""

    namespace: Output[str]
    """Its name, known once quota, policies and permissions are in force."""

    def __init__(
        self, name: str, args: JobNamespaceArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("mwaa-on-eks:index:JobNamespace", name, None, opts)
        child = ResourceOptions(parent=self)

        space = k8s.core.v1.Namespace(
            f"{name}-namespace",
            metadata={
                "name": args.namespace,
                "labels": {
                    "pod-security.kubernetes.io/enforce": args.pod_security,
                    "pod-security.kubernetes.io/audit": "restricted",
                    "pod-security.kubernetes.io/warn": "restricted",
                },
            },
            opts=child,
        )
        namespace = space.metadata.name
        quotas = self._quotas(name, args, namespace)
        limits = k8s.core.v1.LimitRange(
            f"{name}-limits",
            metadata={"name": "jobs", "namespace": namespace},
            spec={"limits": [_container_limits(limited=args.limited)]},
            opts=child,
        )
        policies = [
            self._policy(name, namespace, rule, spec)
            for rule, spec in _network_policies(args).items()
        ]
        services = self._no_foreign_addresses(name, namespace)
        bindings = [self._binding(name, args, args.group, namespace)] if args.group else []
        account = k8s.core.v1.ServiceAccountPatch(
            f"{name}-default-account",
            metadata={"name": "default", "namespace": namespace},
            automount_service_account_token=False,
            # Kubernetes makes the account a moment after its namespace.
            opts=ResourceOptions(parent=self, depends_on=[*quotas, limits, *bindings]),
        )

        waiting = [
            *(quota.metadata.namespace for quota in quotas),
            limits.metadata.namespace,
            services.metadata.name.apply(lambda _: args.namespace),
            *(binding.metadata.namespace for binding in bindings),
            account.metadata.namespace,
            *(policy.metadata.namespace for policy in policies),
        ]
        self.namespace = Output.all(*waiting).apply(lambda names: str(names[0]))
        self.register_outputs({"namespace": self.namespace})

    def _quotas(
        self, name: str, args: JobNamespaceArgs, namespace: Output[str]
    ) -> list[k8s.core.v1.ResourceQuota]:
        hard = {
            "requests.cpu": args.quota.cpu,
            "requests.memory": args.quota.memory,
            "requests.ephemeral-storage": args.quota.storage,
            "requests.storage": args.quota.storage,
            "persistentvolumeclaims": args.quota.pods,
            "pods": args.quota.pods,
            "services.loadbalancers": "0",
            "services.nodeports": "0",
        }
        if args.limited:
            hard |= {
                "limits.memory": args.quota.memory,
                "limits.ephemeral-storage": args.quota.storage,
            }
        return [
            k8s.core.v1.ResourceQuota(
                f"{name}-quota",
                metadata={"name": "jobs", "namespace": namespace},
                spec={"hard": hard},
                opts=ResourceOptions(parent=self),
            ),
            # Pods of these classes evict those of everybody else, DNS among them, and Kubernetes
            # lets them be made in every namespace.
            k8s.core.v1.ResourceQuota(
                f"{name}-no-critical",
                metadata={"name": "no-critical-pods", "namespace": namespace},
                spec={
                    "hard": {"pods": "0"},
                    "scope_selector": {
                        "match_expressions": [
                            {
                                "scope_name": "PriorityClass",
                                "operator": "In",
                                "values": ["system-cluster-critical", "system-node-critical"],
                            }
                        ]
                    },
                },
                opts=ResourceOptions(parent=self),
            ),
        ]

    def _no_foreign_addresses(
        self, name: str, namespace: Output[str]
    ) -> k8s.admissionregistration.v1.ValidatingAdmissionPolicyBinding:
        # Spark's drivers make Services. One with an external IP would take to its pods what all
        # others of the cluster send to that address (CVE-2020-8554), and no quota counts it.
        policy = k8s.admissionregistration.v1.ValidatingAdmissionPolicy(
            f"{name}-no-external-ips",
            metadata={"name": Output.concat(namespace, "-no-external-ips")},
            spec={
                "match_constraints": {
                    "resource_rules": [
                        {
                            "api_groups": [""],
                            "api_versions": ["v1"],
                            "operations": ["CREATE", "UPDATE"],
                            "resources": ["services"],
                        }
                    ]
                },
                "validations": [
                    {
                        "expression": "!has(object.spec.externalIPs)",
                        "message": "Services of jobs have no external IPs",
                    }
                ],
            },
            opts=ResourceOptions(parent=self),
        )
        return k8s.admissionregistration.v1.ValidatingAdmissionPolicyBinding(
            f"{name}-no-external-ips",
            metadata={"name": policy.metadata.name},
            spec={
                "policy_name": policy.metadata.name,
                "validation_actions": ["Deny"],
                "match_resources": {
                    "namespace_selector": {
                        "match_labels": {"kubernetes.io/metadata.name": namespace}
                    }
                },
            },
            opts=ResourceOptions(parent=self),
        )

    def _policy(
        self,
        name: str,
        namespace: Output[str],
        policy: str,
        spec: k8s.networking.v1.NetworkPolicySpecArgsDict,
    ) -> k8s.networking.v1.NetworkPolicy:
        return k8s.networking.v1.NetworkPolicy(
            f"{name}-{policy}",
            metadata={"name": policy, "namespace": namespace},
            spec=spec,
            opts=ResourceOptions(parent=self),
        )

    def _binding(
        self, name: str, args: JobNamespaceArgs, group: str, namespace: Output[str]
    ) -> k8s.rbac.v1.RoleBinding:
        role = k8s.rbac.v1.Role(
            f"{name}-role",
            metadata={"name": "jobs", "namespace": namespace},
            rules=[
                {
                    "api_groups": [rule.api_group],
                    "resources": list(rule.resources),
                    "verbs": list(rule.verbs),
                }
                for rule in args.rules
            ],
            opts=ResourceOptions(parent=self),
        )
        return k8s.rbac.v1.RoleBinding(
            f"{name}-binding",
            metadata={"name": "jobs", "namespace": namespace},
            role_ref={
                "api_group": "rbac.authorization.k8s.io",
                "kind": "Role",
                "name": role.metadata.name,
            },
            subjects=[
                {
                    "api_group": "rbac.authorization.k8s.io",
                    "kind": "Group",
                    "name": group,
                }
            ],
            opts=ResourceOptions(parent=self),
        )


def _container_limits(*, limited: bool) -> k8s.core.v1.LimitRangeItemArgsDict:
    """Bound what the quota counts of a container: it counts requests, and refuses who has none.

    CPUs have no limit: beyond what they ask for, containers share what is idle, by their requests.
    So do memory and disk, but that there the greediest pod is ended.
    """
    limits: k8s.core.v1.LimitRangeItemArgsDict = {
        "type": "Container",
        # Else a container asks for 0, and the quota bounds nothing.
        "min": {"cpu": "10m", "memory": "16Mi", "ephemeral-storage": "1Mi"},
        "default_request": {"cpu": "100m", "memory": "256Mi", "ephemeral-storage": "1Gi"},
    }
    if limited:
        # Kubernetes refuses a container that asks for more than this and says no limit.
        limits["default"] = {"memory": "1Gi", "ephemeral-storage": "10Gi"}
    return limits


def _network_policies(
    args: JobNamespaceArgs,
) -> dict[str, k8s.networking.v1.NetworkPolicySpecArgsDict]:
    policies: dict[str, k8s.networking.v1.NetworkPolicySpecArgsDict] = {
        "default-deny": {"pod_selector": {}, "policy_types": ["Ingress", "Egress"]},
        "allow-dns": {
            "pod_selector": {},
            "policy_types": ["Egress"],
            "egress": [
                {
                    "to": [
                        {
                            "namespace_selector": {
                                "match_labels": {"kubernetes.io/metadata.name": "kube-system"}
                            },
                            "pod_selector": {"match_labels": {"k8s-app": "kube-dns"}},
                        }
                    ],
                    "ports": [
                        {"protocol": "UDP", "port": 53},
                        {"protocol": "TCP", "port": 53},
                    ],
                }
            ],
        },
        "allow-https": {  # AWS and the Kubernetes API
            "pod_selector": {},
            "policy_types": ["Egress"],
            "egress": [
                {
                    "to": [{"ip_block": {"cidr": "0.0.0.0/0"}}],
                    "ports": [{"protocol": "TCP", "port": 443}],
                }
            ],
        },
        "allow-pod-identity": {
            "pod_selector": {},
            "policy_types": ["Egress"],
            "egress": [
                {
                    # The agent's fixed address on each node
                    # (docs.aws.amazon.com/eks/latest/userguide/pod-id-how-it-works.html).
                    "to": [{"ip_block": {"cidr": "169.254.170.23/32"}}],
                    "ports": [{"protocol": "TCP", "port": 80}],
                }
            ],
        },
    }
    if args.egress:
        policies["allow-egress"] = {
            "pod_selector": {},
            "policy_types": ["Egress"],
            "egress": [
                {
                    "to": [{"ip_block": {"cidr": one.cidr}}],
                    "ports": [{"protocol": "TCP", "port": one.port}],
                }
                for one in args.egress
            ],
        }
    if args.allow_within_namespace:
        policies["allow-within-namespace"] = {
            "pod_selector": {},
            "policy_types": ["Ingress", "Egress"],
            "ingress": [{"from_": [{"pod_selector": {}}]}],
            "egress": [{"to": [{"pod_selector": {}}]}],
        }
    return policies
