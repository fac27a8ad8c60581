"""The provider plugin that stands in for pulumi-aws."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import json
import os

from sandbox.machine.aws_api import Aws, error_code
from sandbox.machine.injection import Call, InjectedError, Injection, Operation
from sandbox.providers.aws import timeouts
from sandbox.providers.aws.resource import ResourceType
from sandbox.providers.protocol import (
    UNKNOWN,
    Checked,
    Diff,
    Failure,
    Found,
    InitializationError,
    Plugin,
    PluginError,
    Properties,
    Resource,
    Value,
    serve,
)

MODULES = (
    "budgets",
    "cloudwatch",
    "ec2",
    "eks",
    "emrcontainers",
    "events",
    "iam",
    "kms",
    "mwaa",
    "s3",
    "secretsmanager",
    "sns",
)

_CONFIG = frozenset(
    {
        "allowedAccountIds",
        "defaultTags",
        "region",
        "skipCredentialsValidation",
        "skipMetadataApiCheck",
        "skipRegionValidation",
        "skipRequestingAccountId",
    }
)
# The engine's own keys in a provider's inputs.
_ENGINE = frozenset({"version", "pluginDownloadURL", "__internal", "__defaults"})


@functools.cache
def resource_types() -> dict[str, type[ResourceType]]:
    """Return every resource type by its token."""
    for name in MODULES:
        importlib.import_module(f"sandbox.providers.aws.{name}")
    return {one.pulumi_type: one for one in _leaves(ResourceType)}


def _leaves(base: type[ResourceType]) -> list[type[ResourceType]]:
    below = base.__subclasses__()
    return [leaf for one in below for leaf in _leaves(one)] if below else [base]


class AwsPlugin(Plugin):
    """Pulumi's aws package, as far as the sandbox knows it."""

    aws: Aws
    default_tags: Properties
    allowed_accounts: list[str]

    def __init__(self) -> None:
        self.injection = Injection("aws", resource_types().__contains__)

    def check_config(self, new: Properties) -> Checked:
        config = _decoded(new)
        failures = [
            Failure(key, f"provider setting aws:{key} is not part of the sandbox")
            for key in config
            if key not in _CONFIG | _ENGINE
        ]
        tags = config.get("defaultTags")
        if isinstance(tags, dict) and tags.keys() - {"tags"}:
            failures.append(Failure("defaultTags", "only tags can be set in defaultTags"))
        return Checked(new, tuple(failures))

    def diff_config(self, old: Properties, new: Properties) -> Diff:
        before, after = _decoded(old), _decoded(new)
        keys = (before.keys() | after.keys()) & _CONFIG
        changes = {key: "update" for key in keys if before.get(key) != after.get(key)}
        # Resources of another region are other resources.
        return Diff(changes, frozenset(changes) & {"region"})

    def configure(self, config: Properties) -> None:
        values = _decoded(config)
        region = values.get("region") or os.environ.get("AWS_REGION")
        if not region:
            raise PluginError("Invalid provider configuration: aws:region is not set")
        self.aws = Aws(region)
        self.default_tags = (values.get("defaultTags") or {}).get("tags", {})
        self.allowed_accounts = values.get("allowedAccountIds") or []
        allowed = self.allowed_accounts
        if allowed and UNKNOWN not in allowed and self.aws.account not in allowed:
            raise PluginError(
                f"Invalid provider configuration: AWS account ID not allowed: {self.aws.account}"
            )

    def _type(self, resource: Resource) -> ResourceType:
        known = resource_types().get(resource.type)
        if known is None:
            raise PluginError(f"resource type {resource.type} is not part of the sandbox")
        return known(self.aws)

    def check(self, resource: Resource, old: Properties, new: Properties, seed: bytes) -> Checked:
        given = dict(new)
        failures = []
        region = given.pop("region", None)
        if region not in {None, self.aws.region}:
            reason = f"the sandbox has one region, {self.aws.region}: {region}"
            failures.append(Failure("region", reason))
        inputs, found = self._type(resource).check(
            resource.name, old, given, seed, self.default_tags
        )
        return Checked(inputs, (*failures, *found))

    def diff(
        self, resource: Resource, old_inputs: Properties, old_state: Properties, new: Properties
    ) -> Diff:
        return self._type(resource).diff(old_inputs, old_state, new)

    def create(
        self, resource: Resource, inputs: Properties, *, preview: bool
    ) -> tuple[str, Properties]:
        one = self._type(resource)
        if preview:
            return "", one.preview_create(inputs)
        call = self._call(resource, "create")
        call.send()
        resource_id = one.create(inputs)
        call.answer()
        try:
            call.work()
            one.finish(resource_id, inputs)
            return resource_id, self._state(one, resource_id, inputs)
        except Exception as error:
            # The engine must know of what exists, or nobody ever deletes it.
            raise InitializationError(resource_id, inputs, self.explain(error)) from error

    def _state(self, one: ResourceType, resource_id: str, inputs: Properties) -> Properties:
        found = one.read(resource_id, inputs)
        if found is None:
            raise PluginError(f"{one.pulumi_type} {resource_id} is gone right after the call")
        return one.state(found, inputs)

    def read(
        self, resource: Resource, resource_id: str, inputs: Properties, state: Properties
    ) -> Found | None:
        one = self._type(resource)
        if not inputs and not state:
            resource_id, inputs = one.imported(resource_id)
        call = self._call(resource, "read")
        call.send()
        found = one.read(resource_id, inputs)
        call.answer()
        call.work()
        if found is None:
            return None
        live = one.inputs_from(found, inputs, self.default_tags)
        return Found(resource_id, live, one.state(found, live))

    def update(
        self,
        resource: Resource,
        resource_id: str,
        old_inputs: Properties,
        old_state: Properties,
        new: Properties,
        *,
        preview: bool,
    ) -> Properties:
        one = self._type(resource)
        if preview:
            return one.preview_update(old_inputs, old_state, new)
        old, meant = (one.meant(inputs, old_state) for inputs in (old_inputs, new))
        call = self._call(resource, "update")
        call.send()
        one.update(resource_id, old, meant)
        call.answer()
        call.work()
        return self._state(one, resource_id, new)

    def delete(
        self, resource: Resource, resource_id: str, inputs: Properties, state: Properties
    ) -> None:
        one = self._type(resource)
        if one.read(resource_id, inputs) is None:
            return
        call = self._call(resource, "delete")
        call.send()
        call.work()  # until it is done, the emulators have it
        one.delete(resource_id, inputs, state)
        call.answer()

    def _call(self, resource: Resource, operation: Operation) -> Call:
        limit = timeouts.of(resource.type, operation, resource.seconds)
        if resource.seconds and limit is None:
            told = f"{operation}={resource.seconds:g}s"
            self.warn(resource, f"Resource does not support customTimeouts, ignoring: {told}")
        return self.injection.call(resource.type, operation, works=limit)

    def invoke(self, token: str, args: Properties) -> Properties:
        from sandbox.providers.aws.functions import FUNCTIONS  # noqa: PLC0415

        if token not in FUNCTIONS:
            raise PluginError(f"function {token} is not part of the sandbox")
        region = args.pop("region", None)
        if region not in {None, self.aws.region}:
            raise PluginError(f"the sandbox has one region, {self.aws.region}: {region}")
        return FUNCTIONS[token](self.aws, args)

    def explain(self, error: Exception) -> str:
        code = error_code(error)
        if code and not isinstance(error, InjectedError | PluginError):
            operation = getattr(error, "operation_name", "")
            message = getattr(error, "response", {}).get("Error", {}).get("Message", "")
            return f"{operation}: api error {code}: {message}"
        return super().explain(error)


def _decoded(config: Properties) -> Properties:
    """Return a provider's configuration, in which other things than text come as JSON."""
    return {key: _from_json(value) for key, value in config.items()}


def _from_json(value: Value) -> Value:
    if isinstance(value, str) and value[:1] in {"{", "["}:
        return json.loads(value)
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


def main() -> None:
    """Serve the plugin under the version of the SDK, so that the engine sees the two agree."""
    serve(AwsPlugin(), importlib.metadata.version("pulumi_aws"))
