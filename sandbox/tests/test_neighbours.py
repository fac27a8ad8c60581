"""What the engine speaks to answers nobody but the engine's user."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest

from sandbox.machine import neighbours
from sandbox.tests.stranger import NOBODY, as_somebody_else

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells whose a connection is")


@LINUX
def test_the_kernel_tells_whose_a_connection_is(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        found: list[set[int] | None] = []

        def serve() -> None:
            accepted, (_, theirs) = listening.accept()
            with accepted:
                found.append(neighbours.owners(theirs))
                accepted.sendall(b"x")

        thread = threading.Thread(target=serve)
        thread.start()

        def act() -> int:
            with socket.create_connection(("127.0.0.1", port)) as connection:
                return len(connection.recv(1))

        assert as_somebody_else(act, tmp_path) == 1
        thread.join()
    assert found == [{NOBODY if os.getuid() == 0 else os.getuid()}]


@LINUX
@pytest.mark.parametrize("first", ["theirs", "ours"])
def test_a_connection_that_its_process_has_closed_is_of_nobody(first: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        theirs = socket.create_connection(listening.getsockname())
        port = theirs.getsockname()[1]
        ours, _ = listening.accept()
        for one in (theirs, ours) if first == "theirs" else (ours, theirs):
            one.close()
            still = {os.getuid()} if (first, one) == ("ours", ours) else set()
            assert neighbours.owners(port) == still


@pytest.fixture(params=[True, False])
def ours(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    neighbours._lately.cache_clear()
    if not request.param:
        monkeypatch.setattr(neighbours, "owners", lambda _: {NOBODY})
    # Put back what is replaced.
    monkeypatch.setattr(grpc, "server", grpc.server)
    monkeypatch.setattr(grpc.aio, "server", grpc.aio.server)
    neighbours.keep_out()
    return bool(request.param)


def test_a_connection_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    owners = iter([{os.getuid()}, {os.getuid(), NOBODY}])
    moment = 10.0
    monkeypatch.setattr(neighbours, "owners", lambda _: next(owners))
    monkeypatch.setattr("time.monotonic", lambda: moment)
    neighbours._lately.cache_clear()
    assert neighbours._admitted("ipv4:127.0.0.1:9")
    moment += 1
    assert not neighbours._admitted("ipv4:127.0.0.1:9")


def _asked(port: int, ours: bool) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        one: Any = channel.unary_unary("/a.B/One")
        many: Any = channel.unary_stream("/a.B/Many")
        if ours:
            assert (one(b"x", timeout=10), list(many(b"x", timeout=10))) == (b"x", [b"x", b"x"])
            return
        for call in (lambda: one(b"x", timeout=10), lambda: list(many(b"x", timeout=10))):
            with pytest.raises(grpc.RpcError) as refused:
                call()
            assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


def test_a_server_answers_its_own_user_alone(ours: bool) -> None:
    def many(request: bytes, _: object) -> Iterator[bytes]:
        yield from (request, request)

    server = grpc.server(futures.ThreadPoolExecutor(2))
    handlers: dict[str, Any] = {
        "One": grpc.unary_unary_rpc_method_handler(lambda request, _: request),
        "Many": grpc.unary_stream_rpc_method_handler(many),
    }
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("a.B", handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    _asked(port, ours)
    server.stop(None)


def test_an_asynchronous_server_answers_its_own_user_alone(ours: bool) -> None:
    async def one(request: bytes, _: object) -> bytes:
        return request

    async def many(request: bytes, _: object) -> AsyncIterator[bytes]:
        for _ in range(2):
            yield request

    async def serve() -> None:
        server = grpc.aio.server()
        handlers: dict[str, Any] = {
            "One": grpc.unary_unary_rpc_method_handler(one),
            "Many": grpc.unary_stream_rpc_method_handler(many),
        }
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("a.B", handlers)])
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        await asyncio.to_thread(_asked, port, ours)
        await server.stop(None)

    asyncio.run(serve())
