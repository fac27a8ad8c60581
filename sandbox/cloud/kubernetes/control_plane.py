"""A Kubernetes control plane on loopback, with kwok in the place of the nodes."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from sandbox.cloud.kubernetes import certificates
from sandbox.cloud.kubernetes.store import Etcd
from sandbox.machine import go_builds

STAGES: Final = Path(__file__).parent / "stages.yaml"

API_SERVER: Final = "kube-apiserver-kubelet-client"
"""Who asks a kubelet for something."""

# Cluster roles for the groups that the authenticator gives for cluster-wide access policies:
# https://docs.aws.amazon.com/eks/latest/userguide/access-policy-permissions.html
ACCESS_POLICIES: Final = {
    "AmazonEKSClusterAdminPolicy": "cluster-admin",
    "AmazonEKSAdminPolicy": "admin",
    "AmazonEKSEditPolicy": "edit",
    "AmazonEKSViewPolicy": "view",
}


@dataclass(frozen=True)
class ControlPlane:
    """Where a control plane keeps its files, and on which ports it listens."""

    directory: Path
    ports: Mapping[str, int]

    @property
    def address(self) -> str:
        """The address of the API server."""
        return f"https://127.0.0.1:{self.ports['kube-apiserver']}"

    @property
    def store(self) -> Etcd:
        """The etcd where all of it is kept."""
        return Etcd(f"https://127.0.0.1:{self.ports['etcd']}", self._keys / "etcd")

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.directory / "kubeconfig"

    @property
    def authority(self) -> Path:
        """The certificate that the API server's own is signed with."""
        return self._keys / "ca.crt"

    @property
    def _keys(self) -> Path:
        return self.directory / "pki"

    def write_files(self) -> None:
        """Write certificates, keys and kubeconfigs for everyone who takes part."""
        authority = certificates.Authority(self._keys)
        authority.create()
        authority.server("kube-apiserver", ("127.0.0.1", "localhost", "kubernetes.default.svc"))
        authority.server("kubelet", ("127.0.0.1", "localhost"))
        authority.server("authenticator", ("127.0.0.1", "localhost"))
        client = authority.client("kubelet-client", API_SERVER, "system:masters")
        asking = {"client-certificate": str(client.certificate), "client-key": str(client.key)}
        certificates.create_signing_key(self._keys / "tokens.key", self._keys / "tokens.pub")
        # Of its own: no certificate of the cluster's opens etcd.
        store = certificates.Authority(self.store.keys)
        store.create()
        store.server("server", ("127.0.0.1",))
        store.server("peer", ("127.0.0.1",), both_ways=True)
        store.client("client", API_SERVER)
        self._stages.write_text(
            STAGES.read_text().replace("{{ NodePort }}", str(self.ports["kubelet"]))
        )
        _write_authentication(self._authentication)
        cluster = {"server": self.address, "certificate-authority": str(self.authority)}
        for file, user, group in (
            (self.kubeconfig, "admin", "system:masters"),
            (self._kubeconfig("kwok"), "kwok-client", "system:masters"),
            (self._kubeconfig("kubelet"), "kubelet-runner", "system:masters"),
            (
                self._kubeconfig("kube-controller-manager"),
                "system:kube-controller-manager",
                None,
            ),
            (self._kubeconfig("kube-scheduler"), "system:kube-scheduler", None),
        ):
            identity = authority.client(user.removeprefix("system:"), user, group)
            certificate = {
                "client-certificate": str(identity.certificate),
                "client-key": str(identity.key),
            }
            _write_kubeconfig(file, cluster, certificate)
        webhook = {**cluster, "server": f"https://127.0.0.1:{self.ports['authenticator']}/"}
        _write_kubeconfig(self._kubeconfig("authenticator"), webhook, asking)

    def commands(self) -> dict[str, list[str]]:
        """Return the command line of each process, the same whenever it is started again."""
        return {
            "etcd": self._etcd(),
            "kube-apiserver": self._api_server(),
            "kube-controller-manager": self._controller_manager(),
            "kube-scheduler": [
                str(go_builds.installed("kube-scheduler")),
                f"--kubeconfig={self._kubeconfig('kube-scheduler')}",
                "--leader-elect=false",
                "--secure-port=0",
            ],
            "kwok": self._kwok(),
        }

    def _etcd(self) -> list[str]:
        client, keys = self.store.address, self.store.keys
        peer = f"https://127.0.0.1:{self.ports['etcd-peer']}"
        return [
            str(go_builds.installed("etcd")),
            f"--data-dir={self.directory / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--client-cert-auth",
            f"--trusted-ca-file={keys / 'ca.crt'}",
            f"--cert-file={keys / 'server.crt'}",
            f"--key-file={keys / 'server.key'}",
            # By which its own gateway for JSON reaches it.
            f"--client-cert-file={keys / 'client.crt'}",
            f"--client-key-file={keys / 'client.key'}",
            "--peer-client-cert-auth",
            f"--peer-trusted-ca-file={keys / 'ca.crt'}",
            f"--peer-cert-file={keys / 'peer.crt'}",
            f"--peer-key-file={keys / 'peer.key'}",
            "--log-level=warn",
            # There is no other member for which it would have to beat ten times a second.
            "--heartbeat-interval=500",
            "--election-timeout=5000",
            # What a power cut would lose is lost anyway: the emulated AWS is in memory.
            "--unsafe-no-fsync",
        ]

    def _api_server(self) -> list[str]:
        keys = self._keys
        return [
            str(go_builds.installed("kube-apiserver")),
            f"--etcd-servers={self.store.address}",
            f"--etcd-cafile={self.store.keys / 'ca.crt'}",
            f"--etcd-certfile={self.store.keys / 'client.crt'}",
            f"--etcd-keyfile={self.store.keys / 'client.key'}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            # A loopback address may not be an endpoint of the service "kubernetes".
            "--endpoint-reconciler-type=none",
            f"--secure-port={self.ports['kube-apiserver']}",
            f"--tls-cert-file={keys / 'kube-apiserver.crt'}",
            f"--tls-private-key-file={keys / 'kube-apiserver.key'}",
            f"--client-ca-file={self.authority}",
            "--authorization-mode=RBAC",
            "--allow-privileged",  # as on EKS, for network and storage add-ons
            "--service-cluster-ip-range=10.100.0.0/16",
            f"--service-account-issuer={self.address}",
            f"--service-account-key-file={keys / 'tokens.pub'}",
            f"--service-account-signing-key-file={keys / 'tokens.key'}",
            f"--authentication-config={self._authentication}",
            f"--authentication-token-webhook-config-file={self._kubeconfig('authenticator')}",
            "--authentication-token-webhook-version=v1",
            "--authentication-token-webhook-cache-ttl=2s",
            f"--kubelet-certificate-authority={self.authority}",
            f"--kubelet-client-certificate={keys / 'kubelet-client.crt'}",
            f"--kubelet-client-key={keys / 'kubelet-client.key'}",
            "--kubelet-preferred-address-types=InternalIP",
            # Who runs something in a container speaks WebSocket with the kubelet, and not SPDY.
            # What a list costs the others is estimated by the number of its objects alone: to weigh
            # and count them each minute is a sixth of what an idle API server does.
            "--feature-gates="
            "TranslateStreamCloseWebsocketRequests=false,SizeBasedListCostEstimate=false",
            "--etcd-count-metric-poll-period=10m",
            "--profiling=false",
        ]

    def _controller_manager(self) -> list[str]:
        return [
            str(go_builds.installed("kube-controller-manager")),
            f"--kubeconfig={self._kubeconfig('kube-controller-manager')}",
            f"--service-account-private-key-file={self._keys / 'tokens.key'}",
            f"--root-ca-file={self.authority}",
            "--use-service-account-credentials",
            # Each controller asks for its credentials as it starts, for which the default of 20 a
            # second has the sandbox wait four seconds.
            "--kube-api-qps=200",
            "--kube-api-burst=400",
            "--leader-elect=false",
            "--secure-port=0",
        ]

    def _kwok(self) -> list[str]:
        # Told of the nodes' port, it would listen itself, and answer anybody.
        return [
            str(go_builds.installed("kwok")),
            f"--kubeconfig={self._kubeconfig('kwok')}",
            f"--config={self._stages}",
            "--manage-all-nodes",
            "--node-ip=127.0.0.1",
            "--node-lease-duration-seconds=40",
        ]

    @property
    def _stages(self) -> Path:
        return self.directory / STAGES.name

    @property
    def _authentication(self) -> Path:
        return self._keys / "authentication.yaml"

    def _kubeconfig(self, name: str) -> Path:
        return self._keys / f"{name}.kubeconfig"

    def request(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> tuple[int, Any]:
        """Ask the API server, as its administrator; return status and answer."""
        context = ssl.create_default_context(cafile=str(self.authority))
        context.load_cert_chain(self._keys / "admin.crt", self._keys / "admin.key")
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.ports["kube-apiserver"], timeout=10, context=context
        )
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {"Content-Type": "application/json"})
            response = connection.getresponse()
            text = response.read().decode()
        finally:
            connection.close()
        if "json" in response.headers.get("Content-Type", ""):
            return response.status, json.loads(text)
        return response.status, text

    def is_ready(self) -> bool:
        """Tell whether the API server serves."""
        try:
            return self.request("GET", "/readyz")[0] == http.client.OK
        except OSError:
            return False

    def has_service_accounts(self) -> bool:
        """Tell whether the controllers have started on what every cluster has."""
        path = "/api/v1/namespaces/default/serviceaccounts/default"
        return self.request("GET", path)[0] == http.client.OK

    def bind_access_policies(self) -> None:
        """Give the groups that stand for EKS's access policies what those policies allow."""
        for policy, role in ACCESS_POLICIES.items():
            group = f"eks-access-policy:{policy}"
            binding = {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": group},
                "roleRef": {
                    "apiGroup": "rbac.authorization.k8s.io",
                    "kind": "ClusterRole",
                    "name": role,
                },
                "subjects": [
                    {
                        "apiGroup": "rbac.authorization.k8s.io",
                        "kind": "Group",
                        "name": group,
                    }
                ],
            }
            path = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
            status, answer = self.request("POST", path, binding)
            if status != http.client.CREATED:
                message = f"the API server did not accept a ClusterRoleBinding: {answer}"
                raise RuntimeError(message)


def _write_authentication(path: Path) -> None:
    """Let who has no credentials ask for the API server's health alone, as EKS does since 1.32."""
    # "Review release notes for Kubernetes versions on standard support", Amazon EKS user guide.
    conditions = [{"path": f"/{one}"} for one in ("healthz", "livez", "readyz")]
    content = {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AuthenticationConfiguration",
        "anonymous": {"enabled": True, "conditions": conditions},
    }
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def _write_kubeconfig(path: Path, cluster: Mapping[str, str], user: Mapping[str, str]) -> None:
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "sandbox", "cluster": dict(cluster)}],
        "users": [{"name": "sandbox", "user": dict(user)}],
        "contexts": [{"name": "sandbox", "context": {"cluster": "sandbox", "user": "sandbox"}}],
        "current-context": "sandbox",
    }
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(content, sort_keys=False))
