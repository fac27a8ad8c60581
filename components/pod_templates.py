"""Where and as whom the pods of Spark jobs run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pulumi
from pulumi import Input, Output, ResourceOptions

from components.aws_account import AwsAccount
from components.pod_template_files import (
    DRIVER,
    EXECUTOR,
    PREFIX,
    SPOT_EXECUTOR,
    template_files,
)
from components.removed_files import RemovedFiles
from components.uploaded_files import File, look_into, upload_files
from components.written_files import WrittenFile, content_hash


@dataclass(frozen=True, kw_only=True)
class PodTemplatesArgs:
    """What PodTemplates are made from."""

    source: Path
    """The folder of the templates."""
    bucket_name: str
    bucket: Input[str]
    """The same name, known once nothing is stored there unencrypted."""
    spot: bool
    """Whether there are nodes on spot capacity for executors."""
    written: Mapping[str, WrittenFile] | None
    """What the stack has written by key; None where it has no such bucket yet."""
    account: AwsAccount


class PodTemplates(pulumi.ComponentResource):
    """The templates that every team's jobs may read, and none may write."""

    driver: Output[str]
    """The URI of the one for drivers."""
    executor: Output[str]
    """The URI of the one for executors, on spot capacity where there is some."""

    def __init__(
        self, name: str, args: PodTemplatesArgs, opts: ResourceOptions | None = None
    ) -> None:
        super().__init__("mwaa-on-eks:index:PodTemplates", name, None, opts)
        written = args.written or {}
        contents = None
        if args.written is not None:
            contents = look_into(
                args.bucket_name,
                args.account,
                written,
                instead="job runs use it until then",
                prefix=PREFIX,
            )
        files = template_files(args.source)
        uploaded = upload_files(
            name,
            {
                key: File(asset=pulumi.FileAsset(str(path)), content=content_hash(path))
                for key, path in files.items()
            },
            bucket=args.bucket,
            contents=contents,
            written=written,
            parent=self,
        )
        RemovedFiles(
            f"{name}-removed",
            bucket=args.bucket,
            region=args.account.region,
            keys=list(files),
            opts=ResourceOptions(parent=self),
        )
        uploaded.record(name, pinned={}, parent=self)

        def uri(file: str) -> Output[str]:
            # The URN, which a preview knows, too: whoever reads the URI finds the object.
            there = uploaded.objects[f"{PREFIX}{file}"].urn
            return Output.all(args.bucket, there).apply(
                lambda known: f"s3://{known[0]}/{PREFIX}{file}"
            )

        self.driver = uri(DRIVER)
        self.executor = uri(SPOT_EXECUTOR if args.spot else EXECUTOR)
        self.register_outputs({"driver": self.driver, "executor": self.executor})
