"""What teams' jobs may run: scripts of the platform, beside the teams' own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pulumi
import pulumi_aws as aws
from pulumi import Input, Output, ResourceOptions

PREFIX = "job_scripts"
"""Where they are in the bucket of the jobs, beside the teams' prefixes: no team's name has a _."""


@dataclass(frozen=True, kw_only=True)
class JobScriptsArgs:
    source: Path
    """The folder of the scripts."""
    bucket: Input[str]
    """Its name, known once nothing is stored there unencrypted."""


class JobScripts(pulumi.ComponentResource):
    """Scripts that every team's jobs may run, and none may change."""

    uri: Output[str]
    """What they lie below, known once they do; with a slash at its end."""

    def __init__(
        self, name: str, args: JobScriptsArgs, opts: ResourceOptions | None = None
    ) -> None:
        super().__init__("mwaa-on-eks:index:JobScripts", name, None, opts)
        scripts = [
            aws.s3.BucketObjectv2(
                f"{name}-{path.name}",
                bucket=args.bucket,
                key=f"{PREFIX}/{path.name}",
                source=pulumi.FileAsset(str(path)),
                content_type="text/x-python",
                # An object takes ten tags, and a stack may have more.
                override_provider={"default_tags": {"tags": {}}},
                opts=ResourceOptions(parent=self),
            )
            for path in sorted(args.source.glob("*.py"))
        ]
        # URNs, which a preview knows, too.
        there = [script.urn for script in scripts]
        self.uri = Output.all(args.bucket, *there).apply(lambda known: f"s3://{known[0]}/{PREFIX}/")
        self.register_outputs({"uri": self.uri})
