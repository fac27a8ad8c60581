"""What the sandbox's provider plugins share: Pulumi's provider protocol in plain Python values."""

# ruff: noqa: N802  (gRPC handlers carry the protocol's names)

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Callable, Mapping
from concurrent import futures
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, NoReturn, TypeAlias, TypeVar

import grpc
from google.protobuf import any_pb2, empty_pb2, struct_pb2
from pulumi.runtime.proto import (
    engine_pb2,
    engine_pb2_grpc,
    plugin_pb2,
    provider_pb2,
    provider_pb2_grpc,
    status_pb2,
)

from sandbox.machine.injection import InjectedError
from sandbox.machine.lifetime import end_with_engine
from sandbox.machine.neighbours import keep_out

Value: TypeAlias = Any
"""A property as `decode` gives it: str, int, float, bool, None, list, dict, Asset or UNKNOWN."""

Properties = dict[str, Value]


class Unknown:
    """The type of UNKNOWN."""

    def __repr__(self) -> str:
        return "UNKNOWN"

    def __bool__(self) -> bool:
        raise TypeError("an unknown value was used in a decision")

    def __deepcopy__(self, memo: object) -> Unknown:
        return self


UNKNOWN: Final = Unknown()
"""Stands for a value that a preview cannot know yet."""


@dataclass(frozen=True)
class Asset:
    """A file, a text or an address given as a property; exactly one of the three."""

    path: str | None = None
    text: str | None = None
    uri: str | None = None
    hash: str | None = None

    def read(self) -> bytes:
        """Return the content."""
        if self.path is not None:
            return Path(self.path).read_bytes()
        if self.text is not None:
            return self.text.encode()
        raise PluginError(f"remote assets are not supported here: {self.uri}")


class PluginError(Exception):
    """A failure whose text is told to the user as it is."""


class InitializationError(PluginError):
    """A resource that exists now but is not usable, which the engine keeps in its state."""

    def __init__(
        self,
        resource_id: str,
        state: Properties,
        reason: str,
        inputs: Properties | None = None,
    ) -> None:
        super().__init__(reason)
        self.resource_id = resource_id
        self.state = state
        self.inputs = inputs
        """What a read finds besides."""


@dataclass(frozen=True)
class Resource:
    """Which resource the engine asks about."""

    urn: str
    type: str
    name: str
    seconds: float | None = None
    """How long its `customTimeouts` let what is asked for take."""


@dataclass(frozen=True)
class Failure:
    """A property that does not pass the check; "" stands for the resource as a whole."""

    property: str
    reason: str


@dataclass(frozen=True)
class Checked:
    """Inputs with defaults filled in, or what is wrong with them."""

    inputs: Properties
    failures: tuple[Failure, ...] = ()


@dataclass(frozen=True)
class Diff:
    """Which properties change; those in `replaces` cannot change in place."""

    changes: Mapping[str, str] = field(default_factory=dict)
    """Property path to "add", "delete" or "update"."""
    replaces: frozenset[str] = frozenset()
    """Paths of `changes`."""
    delete_before_replace: bool = False


@dataclass(frozen=True)
class Found:
    """What a read finds: the inputs that would produce it and its state."""

    id: str
    inputs: Properties
    state: Properties


class Plugin:
    """The resources of one package; handlers run in threads and may block."""

    warn: Callable[[Resource, str], None]
    """Lets the engine show a warning beside a resource; `serve` knows the way to it."""

    def check_config(self, new: Properties) -> Checked:
        return Checked(new)

    def diff_config(self, old: Properties, new: Properties) -> Diff:
        return compare(old, new)

    def configure(self, config: Properties) -> None:
        """Take the provider's configuration; nothing else but check_config comes before."""

    def check(self, resource: Resource, old: Properties, new: Properties, seed: bytes) -> Checked:
        raise NotImplementedError

    def diff(
        self, resource: Resource, old_inputs: Properties, old_state: Properties, new: Properties
    ) -> Diff:
        raise NotImplementedError

    def create(
        self, resource: Resource, inputs: Properties, *, preview: bool
    ) -> tuple[str, Properties]:
        raise NotImplementedError

    def read(
        self, resource: Resource, resource_id: str, inputs: Properties, state: Properties
    ) -> Found | None:
        raise NotImplementedError

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
        raise NotImplementedError

    def delete(
        self, resource: Resource, resource_id: str, inputs: Properties, state: Properties
    ) -> None:
        raise NotImplementedError

    def invoke(self, token: str, args: Properties) -> Properties:
        raise PluginError(f"function {token} is not part of the sandbox")

    def explain(self, error: Exception) -> str:
        """Turn an error into the one message that the user sees."""
        if isinstance(error, InjectedError | PluginError):
            return str(error)
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(frame.filename).name}:{frame.lineno}"
        return f"the sandbox's stand-in failed: {type(error).__name__}: {error} ({where})"


def compare(old: Properties, new: Properties) -> Diff:
    """Report each top-level property that was added, deleted or changed."""
    changes = {}
    for key in sorted(old.keys() | new.keys()):
        if key not in old:
            changes[key] = "add"
        elif key not in new:
            changes[key] = "delete"
        elif old[key] != new[key]:
            changes[key] = "update"
    return Diff(changes)


# Signatures of Pulumi's wire format: sdk/go/common/resource/properties.go and rpc.go.
_UNKNOWN_WIRE = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105
_ASSET = "c44067f5952c0a294b673a41bacd8c17"


def decode(struct: struct_pb2.Struct) -> Properties:
    """Read a message's properties.

    Secrets come as plain values: the plugin says that it does not accept secrets, and the engine
    then marks the same properties of the answer as secret again.
    """
    return {key: _decode(value) for key, value in struct.fields.items()}


def _decode(value: struct_pb2.Value) -> Value:
    plain: Value = None
    match value.WhichOneof("kind"):
        case "string_value":
            plain = UNKNOWN if value.string_value == _UNKNOWN_WIRE else value.string_value
        case "number_value":
            number = value.number_value
            plain = int(number) if number.is_integer() else number
        case "bool_value":
            plain = value.bool_value
        case "list_value":
            plain = [_decode(item) for item in value.list_value.values]
        case "struct_value":
            fields = decode(value.struct_value)
            plain = _SPECIAL[fields[_SIGNATURE]](fields) if _SIGNATURE in fields else fields
    return plain


def _asset(fields: Properties) -> Asset:
    given = {key: fields.get(key) or None for key in ("path", "uri", "hash")}
    # An empty text is a text, unless the asset is something else.
    text = None if given["path"] or given["uri"] else fields.get("text", "")
    return Asset(text=text, **given)


# A form that is not listed (archives, resource references) is a KeyError, which tells its name.
_SPECIAL: dict[str, Callable[[Properties], Value]] = {
    _SECRET: lambda fields: fields["value"],
    _ASSET: _asset,
}


def encode(properties: Mapping[str, Value]) -> struct_pb2.Struct:
    """Write properties into a message."""
    return struct_pb2.Struct(fields={key: _encode(value) for key, value in properties.items()})


def _encode(value: Value) -> struct_pb2.Value:
    wire = struct_pb2.Value(null_value=struct_pb2.NULL_VALUE)
    match value:
        case None:
            pass
        case Unknown():
            wire = struct_pb2.Value(string_value=_UNKNOWN_WIRE)
        case bool():
            wire = struct_pb2.Value(bool_value=value)
        case int() | float():
            wire = struct_pb2.Value(number_value=value)
        case str():
            wire = struct_pb2.Value(string_value=value)
        case list() | tuple():
            items = struct_pb2.ListValue(values=[_encode(item) for item in value])
            wire = struct_pb2.Value(list_value=items)
        case Mapping():
            wire = struct_pb2.Value(struct_value=encode(value))
        case Asset():
            given = {key: part for key, part in asdict(value).items() if part is not None}
            wire = struct_pb2.Value(struct_value=encode({_SIGNATURE: _ASSET, **given}))
        case _:
            raise TypeError(f"{type(value).__name__} is not a property value")
    return wire


Request = TypeVar("Request")
Response = TypeVar("Response")
Handler = Callable[["_Servicer", Request, grpc.ServicerContext], Response]


def _reporting(handler: Handler[Request, Response]) -> Handler[Request, Response]:
    """Let an error reach the engine as one message, without a traceback."""

    def wrapper(self: _Servicer, request: Request, context: grpc.ServicerContext) -> Response:
        try:
            return handler(self, request, context)
        except InitializationError as error:
            _abort_initialization(context, error)
        except Exception as error:
            context.abort(grpc.StatusCode.UNKNOWN, self.plugin.explain(error))
        raise AssertionError("abort does not return")

    return wrapper


def _abort_initialization(context: grpc.ServicerContext, error: InitializationError) -> NoReturn:
    """Tell the engine that the resource exists, through the details of a gRPC status."""
    detail = any_pb2.Any()
    detail.Pack(
        provider_pb2.ErrorResourceInitFailed(
            id=error.resource_id,
            properties=encode(error.state),
            reasons=[str(error)],
            inputs=None if error.inputs is None else encode(error.inputs),
        )
    )
    code = grpc.StatusCode.UNKNOWN
    status = status_pb2.Status(code=code.value[0], message=str(error), details=[detail])
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(code, str(error))
    raise AssertionError("abort does not return")


_PROPERTY_DIFF = {
    ("add", False): provider_pb2.PropertyDiff.ADD,
    ("add", True): provider_pb2.PropertyDiff.ADD_REPLACE,
    ("delete", False): provider_pb2.PropertyDiff.DELETE,
    ("delete", True): provider_pb2.PropertyDiff.DELETE_REPLACE,
    ("update", False): provider_pb2.PropertyDiff.UPDATE,
    ("update", True): provider_pb2.PropertyDiff.UPDATE_REPLACE,
}


def _diff_response(diff: Diff) -> provider_pb2.DiffResponse:
    response = provider_pb2.DiffResponse
    return response(
        changes=response.DIFF_SOME if diff.changes else response.DIFF_NONE,
        diffs=sorted({_top_level(path) for path in diff.changes}),
        replaces=sorted({_top_level(path) for path in diff.replaces}),
        deleteBeforeReplace=diff.delete_before_replace,
        hasDetailedDiff=True,
        detailedDiff={
            path: provider_pb2.PropertyDiff(
                kind=_PROPERTY_DIFF[kind, path in diff.replaces], inputDiff=True
            )
            for path, kind in diff.changes.items()
        },
    )


def _top_level(path: str) -> str:
    return re.split(r"[.\[]", path, maxsplit=1)[0]


def _check_response(checked: Checked) -> provider_pb2.CheckResponse:
    failures = [
        provider_pb2.CheckFailure(property=failure.property, reason=failure.reason)
        for failure in checked.failures
    ]
    return provider_pb2.CheckResponse(inputs=encode(checked.inputs), failures=failures)


def _with_time(
    request: provider_pb2.CreateRequest | provider_pb2.UpdateRequest | provider_pb2.DeleteRequest,
) -> Resource:
    return Resource(request.urn, request.type, request.name, request.timeout or None)


class _Servicer(provider_pb2_grpc.ResourceProviderServicer):
    """The provider protocol (pulumi/proto/pulumi/provider.proto) in front of a Plugin."""

    def __init__(self, plugin: Plugin, version: str) -> None:
        self.plugin = plugin
        self.version = version

    def Handshake(
        self, request: provider_pb2.ProviderHandshakeRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ProviderHandshakeResponse:
        return provider_pb2.ProviderHandshakeResponse()

    def GetPluginInfo(
        self, request: empty_pb2.Empty, context: grpc.ServicerContext
    ) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=self.version)

    def GetSchema(
        self, request: provider_pb2.GetSchemaRequest, context: grpc.ServicerContext
    ) -> provider_pb2.GetSchemaResponse:
        return provider_pb2.GetSchemaResponse(schema="{}")

    def Cancel(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> empty_pb2.Empty:
        return empty_pb2.Empty()

    @_reporting
    def CheckConfig(
        self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CheckResponse:
        return _check_response(self.plugin.check_config(decode(request.news)))

    @_reporting
    def DiffConfig(
        self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext
    ) -> provider_pb2.DiffResponse:
        diff = self.plugin.diff_config(decode(request.old_inputs), decode(request.news))
        return _diff_response(diff)

    @_reporting
    def Configure(
        self, request: provider_pb2.ConfigureRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ConfigureResponse:
        self.plugin.configure(decode(request.args))
        return provider_pb2.ConfigureResponse(supportsPreview=True)

    @_reporting
    def Check(
        self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CheckResponse:
        resource = Resource(request.urn, request.type, request.name)
        old, new = decode(request.olds), decode(request.news)
        return _check_response(self.plugin.check(resource, old, new, request.randomSeed))

    @_reporting
    def Diff(
        self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext
    ) -> provider_pb2.DiffResponse:
        resource = Resource(request.urn, request.type, request.name)
        old_inputs, old_state = decode(request.old_inputs), decode(request.olds)
        diff = self.plugin.diff(resource, old_inputs, old_state, decode(request.news))
        return _diff_response(diff)

    @_reporting
    def Create(
        self, request: provider_pb2.CreateRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CreateResponse:
        resource = _with_time(request)
        resource_id, state = self.plugin.create(
            resource, decode(request.properties), preview=request.preview
        )
        return provider_pb2.CreateResponse(id=resource_id, properties=encode(state))

    @_reporting
    def Read(
        self, request: provider_pb2.ReadRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ReadResponse:
        resource = Resource(request.urn, request.type, request.name)
        inputs, state = decode(request.inputs), decode(request.properties)
        found = self.plugin.read(resource, request.id, inputs, state)
        if found is None:
            return provider_pb2.ReadResponse()
        return provider_pb2.ReadResponse(
            id=found.id, inputs=encode(found.inputs), properties=encode(found.state)
        )

    @_reporting
    def Update(
        self, request: provider_pb2.UpdateRequest, context: grpc.ServicerContext
    ) -> provider_pb2.UpdateResponse:
        state = self.plugin.update(
            _with_time(request),
            request.id,
            decode(request.old_inputs),
            decode(request.olds),
            decode(request.news),
            preview=request.preview,
        )
        return provider_pb2.UpdateResponse(properties=encode(state))

    @_reporting
    def Delete(
        self, request: provider_pb2.DeleteRequest, context: grpc.ServicerContext
    ) -> empty_pb2.Empty:
        resource = _with_time(request)
        inputs, state = decode(request.old_inputs), decode(request.properties)
        self.plugin.delete(resource, request.id, inputs, state)
        return empty_pb2.Empty()

    @_reporting
    def Invoke(
        self, request: provider_pb2.InvokeRequest, context: grpc.ServicerContext
    ) -> provider_pb2.InvokeResponse:
        response = provider_pb2.InvokeResponse()
        # The field is named "return", which Python cannot spell as an attribute.
        answer: struct_pb2.Struct = getattr(response, "return")
        answer.CopyFrom(encode(self.plugin.invoke(request.tok, decode(request.args))))
        return response


def serve(plugin: Plugin, version: str) -> None:
    """Answer the engine until it ends this process or goes away itself."""
    end_with_engine()
    keep_out()
    engine = engine_pb2_grpc.EngineStub(grpc.insecure_channel(sys.argv[1]))

    def warn(resource: Resource, text: str) -> None:
        engine.Log(
            engine_pb2.LogRequest(severity=engine_pb2.WARNING, message=text, urn=resource.urn)
        )

    plugin.warn = warn
    server = grpc.server(
        futures.ThreadPoolExecutor(_THREADS),
        options=[(f"grpc.max_{way}_message_length", _MAX_MESSAGE) for way in ("receive", "send")],
    )
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(_Servicer(plugin, version), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    server.wait_for_termination()


# Slow creations hold a thread each; the engine asks for some dozens at a time.
_THREADS = 128
_MAX_MESSAGE = 400 * 1024 * 1024
