"""GitHub, as far as it issues tokens to jobs."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer


@contextmanager
def github_tokens(**claims: object) -> Iterator[dict[str, str]]:
    """Serve tokens with these claims; give the variables by which a job asks for one."""

    class Issuer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.headers["Authorization"] == "Bearer of-the-job"
            audience = self.path.rpartition("&audience=")[2]
            body = {"aud": audience, "exp": int(time.time()) + 300, **claims}
            answer = json.dumps({"value": token(body)}).encode()
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


def token(claims: dict[str, object]) -> str:
    """Return a token that nobody has signed."""
    parts = [json.dumps(part).encode() for part in ({"alg": "none"}, claims)]
    return ".".join([*(base64.urlsafe_b64encode(one).decode().rstrip("=") for one in parts), "x"])
