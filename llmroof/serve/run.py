"""The application behind a server that others keep: waitress.

Python's own http.server does not limit headers, bodies, connections or their time, and says
itself that it is not for production; waitress does, has no dependency, and is small.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from typing import Any, Final

from llmroof.errors import InputError, LlmroofError
from llmroof.report.content import Wanted
from llmroof.serve.app import Application

HOST: Final = "127.0.0.1"
#: limits of one request in bytes, of connections, and of their idle seconds
_LIMITS: Final = {
    "max_request_header_size": 16384,
    "max_request_body_size": 16384,
    "connection_limit": 100,
    "channel_timeout": 30,
    "threads": 4,
    "expose_tracebacks": False,
}


class Missing(LlmroofError):
    """A library that only this command needs is not installed."""


def server(start: Wanted, port: int) -> Any:
    """A server on loopback, bound and ready to `run()`; port 0 takes a free one.

    Raises Missing without waitress, InputError where the port cannot be had.
    """
    try:
        from waitress import create_server
    except ImportError:
        raise Missing("serve needs waitress: pip install 'llmroof[serve]'") from None
    logging.getLogger("waitress").setLevel(logging.CRITICAL)  # a full queue is no news
    try:
        listening = socket.create_server((HOST, port))
    except OSError as error:
        raise InputError(f"cannot listen on {HOST}:{port}: {error.strerror or error}") from None
    application = Application(start)
    return create_server(application, sockets=[listening], ident=None, **_LIMITS)


def serve(start: Wanted, port: int, ready: Callable[[str], None]) -> None:
    """Serve until interrupted; `ready` is told the address."""
    found = server(start, port)
    ready(f"http://{HOST}:{found.effective_port}/")
    try:
        found.run()
    finally:
        found.close()
