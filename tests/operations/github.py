"""GitHub, as far as it issues tokens to jobs."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

from joserfc import jwt
from joserfc.jwk import OctKey


@contextmanager
def github_tokens(
    key: tuple[str, str] = ("none", "a secret of nobody's"), **claims: object
) -> Iterator[dict[str, str]]:
    """Serve tokens with these claims; give the variables by which a job asks for one.

    key: an access key of a sandbox, which believes what is signed with it.
    """

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

    server = HTTPServer(("127.0.0.1", 0), Issuer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield {
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"http://127.0.0.1:{server.server_port}/?api-version=2",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "of-the-job",
        }
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def token(key: tuple[str, str], claims: dict[str, object]) -> str:
    """Return a token."""
    key_id, secret = key
    return jwt.encode({"alg": "HS256", "kid": key_id}, claims, OctKey.import_key(secret))
