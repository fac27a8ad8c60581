"""Keeps other users of this machine away from what the engine speaks to: gRPC without TLS.

The engine brings no credentials along, but Linux tells whose a connection is. Elsewhere, whoever
reaches the port is answered, as by any plugin of Pulumi.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeAlias

import grpc

Context: TypeAlias = Any
Behaviour: TypeAlias = Callable[[Any, Context], Any]

# A socket for IPv6 may be connected to an address of IPv4.
_TABLES: Final = {
    Path("/proc/net/tcp"): "0100007F",
    Path("/proc/net/tcp6"): "0000000000000000FFFF00000100007F",
}
_REFUSAL: Final = "this process works for another user of this machine"


def owners(port: int) -> set[int] | None:
    """Return the users who connect from a port of loopback; None where nobody tells."""
    told = [(table, address) for table, address in _TABLES.items() if table.exists()]
    if not told:
        return None
    # To different destinations, different users may connect from one port.
    lines = (
        line.split()
        for table, address in told
        for line in table.read_text().splitlines()
        if f": {address}:{port:04X} " in line  # of thousands
    )
    # A socket that its process has closed has no inode any more, and root for its user.
    return {int(fields[7]) for fields in lines if fields[9] != "0"}


def is_ours(peer: str) -> bool:
    """Tell whether a peer, as gRPC names it, is of this user, or of root."""
    kind, _, port = peer.partition(":127.0.0.1:")
    if kind != "ipv4":
        return False
    found = owners(int(port))
    return found is None or (bool(found) and found <= {0, os.getuid()})


def keep_out() -> None:
    """Let the gRPC servers that this process makes from now on answer its own user alone."""
    serve: Any = grpc.server
    serve_async: Any = grpc.aio.server

    @functools.wraps(serve)
    def server(*told: Any, interceptors: Any = (), **named: Any) -> Any:  # noqa: ANN401
        return serve(*told, interceptors=[_Guard(), *(interceptors or ())], **named)

    @functools.wraps(serve_async)
    def server_async(*told: Any, interceptors: Any = (), **named: Any) -> Any:  # noqa: ANN401
        return serve_async(*told, interceptors=[_AsyncGuard(), *(interceptors or ())], **named)

    grpc.server, grpc.aio.server = server, server_async


def _admitted(peer: str) -> bool:
    # The kernel goes through all its connections, which takes it milliseconds. It gives nobody the
    # port of a connection within a second of its client's closing it.
    return _lately(peer, int(time.monotonic()))


@functools.lru_cache(maxsize=64)
def _lately(peer: str, _: int) -> bool:
    return is_ours(peer)


class _Guard(grpc.ServerInterceptor):
    def intercept_service(self, continuation: Any, details: Any) -> Any:  # noqa: ANN401
        return _with(continuation(details), _answering, _streaming)


class _AsyncGuard(grpc.aio.ServerInterceptor):
    async def intercept_service(self, continuation: Any, details: Any) -> Any:  # noqa: ANN401
        return _with(await continuation(details), _answering_async, _streaming_async)


def _with(
    handler: Any,  # noqa: ANN401
    answering: Callable[[Behaviour], Behaviour],
    streaming: Callable[[Behaviour], Behaviour],
) -> Any:  # noqa: ANN401
    if handler is None:
        return None
    kind = f"{'stream' if handler.request_streaming else 'unary'}_" + (
        "stream" if handler.response_streaming else "unary"
    )
    guard = streaming if handler.response_streaming else answering
    return getattr(grpc, f"{kind}_rpc_method_handler")(
        guard(getattr(handler, kind)),
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )


def _answering(behaviour: Behaviour) -> Behaviour:
    def answer(request: object, context: Context) -> object:
        if not _admitted(context.peer()):
            context.abort(grpc.StatusCode.PERMISSION_DENIED, _REFUSAL)
        return behaviour(request, context)

    return answer


def _streaming(behaviour: Behaviour) -> Behaviour:
    def answer(request: object, context: Context) -> Iterator[object]:
        if not _admitted(context.peer()):
            context.abort(grpc.StatusCode.PERMISSION_DENIED, _REFUSAL)
        yield from behaviour(request, context)

    return answer


def _answering_async(behaviour: Behaviour) -> Behaviour:
    async def answer(request: object, context: Context) -> object:
        if not _admitted(context.peer()):
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, _REFUSAL)
        answered: Awaitable[object] = behaviour(request, context)
        return await answered

    return answer


def _streaming_async(behaviour: Behaviour) -> Behaviour:
    async def answer(request: object, context: Context) -> AsyncIterator[object]:
        if not _admitted(context.peer()):
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, _REFUSAL)
        async for one in behaviour(request, context):
            yield one

    return answer
