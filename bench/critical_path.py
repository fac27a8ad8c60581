"""Print wall time of up and destroy, AWS's typical latencies injected, over the longest chain.

`python -m bench.critical_path [--scale 100]`: a minute of AWS takes 60/scale seconds here.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

from sandbox.clone import Clone

CLUSTER: Final = "aws:eks/cluster:Cluster"
NODES: Final = "aws:eks/nodeGroup:NodeGroup"
ADDON: Final = "aws:eks/addon:Addon"
NAT: Final = "aws:ec2/natGateway:NatGateway"
ENDPOINT: Final = "aws:ec2/vpcEndpoint:VpcEndpoint"
AIRFLOW: Final = "aws:mwaa/environment:Environment"
VIRTUAL_CLUSTER: Final = "aws:emrcontainers/virtualCluster:VirtualCluster"

MINUTES: Final = {
    CLUSTER: {"create": 10.0, "delete": 6.0},
    NODES: {"create": 3.0, "delete": 5.0},
    ADDON: {"create": 1.0, "delete": 0.5},
    NAT: {"create": 2.0, "delete": 1.0},
    ENDPOINT: {"create": 0.2, "delete": 0.2},
    AIRFLOW: {"create": 25.0, "delete": 15.0},
    VIRTUAL_CLUSTER: {"create": 0.2, "delete": 0.5},
}
"""Typical times in an account; an assumption, from what users report."""

CHAINS: Final = (
    (NAT, AIRFLOW),
    # The control plane needs no way out, the nodes do; they need the network add-ons first, and
    # CoreDNS needs them.
    (CLUSTER, ADDON, NODES, ADDON, VIRTUAL_CLUSTER),
    (NAT, NODES, ADDON, VIRTUAL_CLUSTER),
)
"""What AWS itself makes one wait for, one after the other."""


def main() -> None:
    """Measure in copies of this working tree, which are removed afterwards."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=100.0)
    scale = parser.parse_args().scale
    plain = _measure({})
    injected = _measure(
        {kind: {o: m * 60 / scale for o, m in of.items()} for kind, of in MINUTES.items()}
    )
    print(f"1:{scale:g}      longest chain   wall   without latencies   wall / chain")
    for operation, verb in (("create", "up"), ("delete", "destroy")):
        chain = (
            max(sum(MINUTES[kind][operation] for kind in chain) for chain in CHAINS) * 60 / scale
        )
        print(
            f"{verb:8}{chain:13.1f} s {injected[verb]:6.1f} s {plain[verb]:13.1f} s"
            f"{injected[verb] / chain:18.2f}"
        )


def _measure(seconds: dict[str, dict[str, float]]) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as directory:
        latencies = Path(directory) / "latencies.json"
        latencies.write_text(json.dumps(seconds))
        clone = replace(
            Clone.make(Path(directory) / "clone"),
            extra_environment={"SANDBOX_LATENCIES": str(latencies)},
        )
        clone.start()
        try:
            clone.pulumi("stack", "init")
            wall = {}
            for verb in ("up", "destroy"):
                if verb == "destroy":
                    clone.unprotect()
                begun = time.monotonic()
                clone.pulumi(verb, "--yes", "--skip-preview")
                wall[verb] = time.monotonic() - begun
            return wall
        finally:
            clone.stop()


if __name__ == "__main__":
    main()
