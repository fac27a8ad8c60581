"""Who may do what in the cluster, as its API server says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from itertools import product
from typing import Any, Final

from urllib3 import HTTPHeaderDict

from sandbox.clone import Clone
from sandbox.cloud.kubernetes.authenticator import User, user

RBAC: Final = "rbac.authorization.k8s.io"
_NODES: Final = "node authorizer does not support user rule resolution"

# What is asked: if any of the verbs is allowed on any of the resources.
QUESTIONS: Final[Mapping[str, tuple[str, str, str]]] = {
    "start pods": ("create", "", "pods"),
    "change or end pods": ("update patch delete deletecollection", "", "pods"),
    "look at pods": ("get list watch", "", "pods"),
    "look at logs": ("get", "", "pods/log"),
    "look at events": ("get list watch", "", "events"),
    "run commands in pods": (
        "create get update patch",
        "",
        "pods/exec pods/attach pods/proxy pods/ephemeralcontainers",
    ),
    "forward ports of pods": ("create get", "", "pods/portforward"),
    "evict pods": ("create", "", "pods/eviction"),
    "start jobs and the like": (
        "create update patch",
        "apps batch",
        "jobs cronjobs deployments daemonsets statefulsets replicasets",
    ),
    "look at jobs": ("get list watch", "batch", "jobs"),
    "look at ConfigMaps": ("get list watch", "", "configmaps"),
    "look at Secrets": ("get list watch", "", "secrets"),
    "write ConfigMaps or Secrets": ("create update patch delete", "", "configmaps secrets"),
    "make Services or volumes": (
        "create update patch delete",
        "",
        "services persistentvolumeclaims persistentvolumes",
    ),
    "be a service account": ("create", "", "serviceaccounts/token"),
    "be somebody else": ("impersonate", "", "users groups serviceaccounts"),
    "change service accounts": ("create update patch delete", "", "serviceaccounts"),
    "change rights": (
        "create update patch delete bind escalate",
        RBAC,
        "roles rolebindings clusterroles clusterrolebindings",
    ),
    "change quotas, limits, network policies": (
        "create update patch delete",
        " networking.k8s.io",
        "resourcequotas limitranges networkpolicies",
    ),
    "change namespaces": ("create update patch delete", "", "namespaces"),
    "look at nodes": ("get list watch", "", "nodes"),
    "change nodes": ("create update patch delete", "", "nodes"),
    "reach nodes' kubelets": ("get create", "", "nodes/proxy"),
    "change admission": (
        "create update patch delete",
        "admissionregistration.k8s.io",
        "mutatingwebhookconfigurations validatingwebhookconfigurations validatingadmissionpolicies",
    ),
    "sign certificates": (
        "update patch approve",
        "certificates.k8s.io",
        "certificatesigningrequests/approval signers",
    ),
}

NOBODY: Final = User("system:anonymous", ("system:unauthenticated",))
STRANGER: Final = User("somebody", ("system:authenticated",))


def of_entries(clone: Clone, cluster: str) -> dict[str, User]:
    """Return what each access entry of a person or a program makes, by its principal."""
    eks = clone.aws("eks")
    found = {}
    for arn in eks.list_access_entries(clusterName=cluster)["accessEntries"]:
        entry = eks.describe_access_entry(clusterName=cluster, principalArn=arn)["accessEntry"]
        if entry["type"] == "STANDARD":
            known = user(eks, cluster, arn)
            found[arn] = User(known.username, (*known.groups, "system:authenticated"))
    return found


def of_service_account(namespace: str, name: str) -> User:
    """Return who a pod with a token is."""
    groups = ("serviceaccounts", f"serviceaccounts:{namespace}", "authenticated")
    name = f"system:serviceaccount:{namespace}:{name}"
    return User(name, tuple(f"system:{group}" for group in groups))


def table(clone: Clone, who: Mapping[str, User]) -> list[str]:
    """Return in which namespaces each of them may do what, as rows of a Markdown table."""
    namespaces = sorted(one.metadata.name for one in clone.get("v1", "Namespace").items)
    may = {
        (name, namespace): _rights(clone, one, namespace)
        for name, one in who.items()
        for namespace in namespaces
    }
    rows = [f"| may | {' | '.join(who)} |", f"|---|{'---|' * len(who)}"]
    for question, asked in QUESTIONS.items():
        cells = []
        for name in who:
            where = [one for one in namespaces if may[name, one](*asked)]
            cells.append("all" if where == namespaces else ", ".join(where) or "no")
        rows.append(f"| {question} | {' | '.join(cells)} |")
    return rows


def _rights(clone: Clone, who: User, namespace: str) -> Callable[[str, str, str], bool]:
    """Return what tells whether somebody may do something in a namespace."""
    if who == NOBODY:  # who may not even ask for a list of their rights
        return lambda *asked: any(
            _ask(
                clone,
                "subjectaccessreviews",
                {
                    "user": who.username,
                    "groups": who.groups,
                    "resourceAttributes": {"namespace": namespace, **attributes},
                },
            )["allowed"]
            for attributes in _attributes(*asked)
        )
    status = _ask(clone, "selfsubjectrulesreviews", {"namespace": namespace}, who)
    # Of the authorizers of the sandbox, the one of nodes alone tells no rules.
    assert status.get("evaluationError", "") in {"", _NODES}, status
    return lambda verbs, groups, resources: any(
        all(
            {"*", *asked.split(" ")} & set(rule.get(key, ()))
            for key, asked in (("verbs", verbs), ("apiGroups", groups), ("resources", resources))
        )
        for rule in status["resourceRules"]
    )


def _ask(clone: Clone, review: str, spec: dict[str, Any], who: User | None = None) -> Any:  # noqa: ANN401
    """Ask the API server for a review, as its administrator or as somebody else."""
    client = clone.kubernetes
    headers = HTTPHeaderDict({"Content-Type": "application/json"})
    if who:
        headers.add("Impersonate-User", who.username)
        for group in who.groups:
            headers.add("Impersonate-Group", group)
    address = f"{client.configuration.host}/apis/authorization.k8s.io/v1/{review}"
    answer = client.rest_client.pool_manager.request(
        "POST", address, body=json.dumps({"spec": spec}), headers=headers
    )
    assert answer.status == HTTPStatus.CREATED, answer.data
    return json.loads(answer.data)["status"]


def _attributes(verbs: str, groups: str, resources: str) -> Iterator[dict[str, str]]:
    for verb, group, each in product(verbs.split(" "), groups.split(" "), resources.split(" ")):
        resource, _, subresource = each.partition("/")
        yield {"verb": verb, "group": group, "resource": resource, "subresource": subresource}
