"""SPDY/3.1, in which kubectl still speaks with kubelets of ports, as much of it as that takes.

https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1/
"""

from __future__ import annotations

import http.client
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any, Final

UPGRADE: Final = "SPDY/3.1"
_CONTROL, _VERSION = 0x8000, 3
_SYN_STREAM, _SYN_REPLY, _RST_STREAM, _PING, _GOAWAY = 1, 2, 3, 6, 7
_FIN: Final = 1
_LONGEST: Final = 65536

# What the compression of headers begins with ("2.6.10.1 Compression" of the draft): words with
# their lengths before them, and then some without.
_WORDS: Final = """
options head post put delete trace accept accept-charset accept-encoding accept-language
accept-ranges age allow authorization cache-control connection content-base content-encoding
content-language content-length content-location content-md5 content-range content-type date etag
expect expires from host if-match if-modified-since if-none-match if-range if-unmodified-since
last-modified location max-forwards pragma proxy-authenticate proxy-authorization range referer
retry-after server te trailer transfer-encoding upgrade user-agent vary via warning
www-authenticate method get status 200 OK version HTTP/1.1 url public set-cookie keep-alive origin
"""
_REST: Final = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request"
    "401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented"
    "503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 "
    "Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,"
    "application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age="
    "gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
_WITH_LENGTHS: Final = (
    struct.pack(">I", len(one)) + one.encode() for one in re.findall(r"200 OK|\S+", _WORDS)
)
_DICTIONARY: Final = b"".join([*_WITH_LENGTHS, _REST.encode()])


@dataclass(frozen=True)
class Stream:
    """The client has made a stream."""

    number: int
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Data:
    """The client has sent something in a stream."""

    stream: int
    content: bytes
    last: bool


def is_spdy(handler: BaseHTTPRequestHandler) -> bool:
    """Tell whether a client wants to speak SPDY."""
    return handler.headers.get("Upgrade", "").lower() == UPGRADE.lower()


class Session:
    """A connection with streams that the client makes."""

    def __init__(self, handler: BaseHTTPRequestHandler, headers: Mapping[str, str]) -> None:
        handler.send_response(http.client.SWITCHING_PROTOCOLS)
        for name, value in {"Connection": "Upgrade", "Upgrade": UPGRADE, **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        self._connection: Any = handler.connection
        self._received = b""
        # One for all headers of a direction.
        self._inflate = zlib.decompressobj(zdict=_DICTIONARY)
        self._deflate = zlib.compressobj()

    def fileno(self) -> int:
        """Return what to wait for."""
        return int(self._connection.fileno())

    def receive(self) -> Iterator[Stream | Data]:
        """Yield what has come; OSError if the client has gone."""
        content = self._connection.recv(_LONGEST)
        if not content:
            raise ConnectionResetError
        while self._connection.pending():
            content += self._connection.recv(_LONGEST)
        self._received += content
        while len(self._received) >= 8:
            first, second = struct.unpack(">II", self._received[:8])
            flags, length = second >> 24, second & 0xFFFFFF
            if len(self._received) < 8 + length:
                return
            body = self._received[8 : 8 + length]
            self._received = self._received[8 + length :]
            if not first >> 31:
                yield Data(first, body, bool(flags & _FIN))
            else:
                yield from self._control(first & 0xFFFF, body)

    def _control(self, kind: int, body: bytes) -> Iterator[Stream | Data]:
        if kind == _SYN_STREAM:
            (number,) = struct.unpack(">I", body[:4])
            yield Stream(number, self._headers(body[10:]))
            none = self._deflate.compress(struct.pack(">I", 0))
            none += self._deflate.flush(zlib.Z_SYNC_FLUSH)
            self._say(_SYN_REPLY, struct.pack(">I", number) + none)
        elif kind == _RST_STREAM:
            yield Data(struct.unpack(">I", body[:4])[0], b"", last=True)
        elif kind == _PING:
            self._say(_PING, body)
        elif kind == _GOAWAY:
            raise ConnectionResetError
        # No windows: the other side, moby/spdystream, keeps none either.

    def _headers(self, block: bytes) -> dict[str, str]:
        plain = self._inflate.decompress(block)
        texts, place = [], 4
        while place < len(plain):
            (length,) = struct.unpack(">I", plain[place : place + 4])
            texts.append(plain[place + 4 : place + 4 + length].decode())
            place += 4 + length
        return dict(zip(texts[::2], texts[1::2], strict=True))

    def _say(self, kind: int, body: bytes) -> None:
        head = struct.pack(">HHI", _CONTROL | _VERSION, kind, len(body))
        self._connection.sendall(head + body)

    def send(self, stream: int, content: bytes, *, last: bool = False) -> None:
        """Send something in a stream, at most what one frame holds."""
        flags = _FIN << 24 if last else 0
        self._connection.sendall(struct.pack(">II", stream, flags | len(content)) + content)
