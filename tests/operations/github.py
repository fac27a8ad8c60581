"""GitHub, as far as it issues tokens to jobs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Final

from joserfc import jwt
from joserfc.jwk import OctKey

from sandbox.tests.serving import serving

NOWHERE: Final = dict.fromkeys(
    ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "of nobody in particular"
)


@contextmanager
def github_tokens(
    believed_by: Mapping[str, str] = NOWHERE, /, **claims: object
) -> Iterator[dict[str, str]]:
    """Serve tokens with these claims; give the variables by which a job asks for one.

    believed_by: the environment of a sandbox, which believes what its user's key has signed.
    """
    key = believed_by["AWS_ACCESS_KEY_ID"], believed_by["AWS_SECRET_ACCESS_KEY"]

    class Issuer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.headers["Authorization"] == "Bearer of-the-job"
            audience = self.path.rpartition("&audience=")[2]
            body = {"aud": audience, "exp": int(time.time()) + 300, **claims}
            answer = json.dumps({"value": token(key, body)}).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with serving(HTTPServer(("127.0.0.1", 0), Issuer)) as server:
        yield {
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"http://127.0.0.1:{server.server_port}/?api-version=2",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "of-the-job",
        }


def token(key: tuple[str, str], claims: dict[str, object]) -> str:
    """Return a token."""
    key_id, secret = key
    return jwt.encode({"alg": "HS256", "kid": key_id}, claims, OctKey.import_key(secret))
