"""The process: uvicorn, its connections, and its end."""

import contextlib
import signal
import socket
import sys
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from engram_local.errors import EngramError
from engram_local.model import Model
from engram_local.serving.app import make_app
from engram_local.serving.options import ServeOptions

PATIENCE_S = 10.0  # for a client that says nothing, or does not take what was sent

MOST_FILES = 65536
BACKLOG = 2048


class PatientProtocol(H11Protocol):
    """uvicorn's, for clients that connect and say nothing: twice PATIENCE_S of that, and the connection is closed."""

    _seen: Any = False  # the exchange that was going on when last looked

    def connection_made(self, transport: Any) -> None:
        """See asyncio."""
        super().connection_made(transport)
        self.loop.call_later(PATIENCE_S, self._look)

    def _look(self) -> None:
        if self not in self.connections:
            return
        if self.transport.is_closing():  # what waits to be sent is never taken
            self.transport.abort()
            return
        idle = self.cycle is None or self.cycle.response_complete
        if idle and self._seen is self.cycle:
            self.transport.close()
        self._seen = self.cycle if idle else False
        self.loop.call_later(PATIENCE_S, self._look)


def serve(model: Model, options: ServeOptions, ready: Any = None) -> None:
    """Serve until SIGTERM or SIGINT; answers that run then have options.drain_s seconds to end.

    ready: called with the address, "http://host:port", once the server listens (port 0 takes a free one). Raises
    EngramError where the address cannot be had.
    """
    _allow_many_connections()
    listener = _listen(options.host, options.port)
    host, port = listener.getsockname()[:2]
    config = uvicorn.Config(
        make_app(model, options),
        http=PatientProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=int(PATIENCE_S),
        timeout_graceful_shutdown=max(1, round(options.drain_s)),
        backlog=BACKLOG,
    )
    server = uvicorn.Server(config)
    if ready is not None:
        ready(f"http://{f'[{host}]' if ':' in host else host}:{port}")
    previous = signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn raises it again when all is done
    try:
        with contextlib.suppress(SystemExit):
            server.run(sockets=[listener])
    finally:
        signal.signal(signal.SIGTERM, previous)
        listener.close()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)  # whoever connects before the first request is taken waits
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or error
        raise EngramError(f"{host}:{port}: cannot listen there: {reason}; choose another --host or --port") from error
    return listener


def _allow_many_connections() -> None:
    """A silent connection takes a file descriptor for a while; the default limit is 1024 on many systems."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = hard if hard != resource.RLIM_INFINITY else MOST_FILES
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, MOST_FILES), hard))
