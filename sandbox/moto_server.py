"""moto, completed with what the sandbox needs of it."""

from __future__ import annotations

from moto import server

from sandbox.aws.emulators import complete_moto


def main() -> None:
    """Serve until the process is ended."""
    complete_moto()
    server.main()


if __name__ == "__main__":
    main()
