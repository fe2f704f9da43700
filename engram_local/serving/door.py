"""What every request passes: who may ask, by which name, and how long it may take altogether."""

import asyncio
import hmac
import ipaddress
from typing import Any

from starlette.requests import HTTPConnection

from engram_local.serving.errors import ApiError, error_response
from engram_local.serving.metrics import Metrics
from engram_local.serving.options import ServeOptions

PAGE_FILES = {"/": "index.html"} | {f"/{x}": x for x in ("page.js", "client.js", "tokens.js", "page.css", "icon.svg")}
OPEN = ("/health", *PAGE_FILES)  # nothing of a model is there
GRACE_S = 10.0  # beyond the time limit, so that its own answer still gets out
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


def is_loopback(host: str) -> bool:
    """Whether an address or name is this machine alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Door:
    """ASGI middleware."""

    def __init__(self, app: Any, options: ServeOptions, metrics: Metrics):
        self._app, self._options, self._metrics = app, options, metrics
        # A page of another site can reach a loopback server by a name of its own (DNS rebinding).
        self._checks_name = is_loopback(options.host) and not options.api_keys

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 499

        async def watched(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            refused = self._refusal(HTTPConnection(scope))
            if refused is not None:
                await error_response(refused)(scope, receive, watched)
                return
            async with asyncio.timeout(self._options.time_limit + GRACE_S):
                await self._app(scope, receive, watched)
        except TimeoutError:
            if status == 499:
                await error_response(ApiError(429, "the request took too long", retry_after=1))(scope, receive, watched)
        finally:
            self._metrics.requested(scope["path"], status)

    def _refusal(self, request: HTTPConnection) -> ApiError | None:
        if self._checks_name:
            name = _name_of(request.headers.get("host", ""))
            if name not in (*LOCAL_NAMES, self._options.host):
                return ApiError(400, f"Host is {name[:80]!r}; this server is for {', '.join(LOCAL_NAMES)} alone")
        keys = self._options.api_keys
        if keys and request.scope["path"] not in OPEN and request.scope["method"] != "OPTIONS":
            given = request.headers.get("authorization", "").removeprefix("Bearer ").encode()
            if not any([hmac.compare_digest(given, x.encode()) for x in keys]):
                return ApiError(401, "no valid API key; send Authorization: Bearer KEY")
        return None


def _name_of(host: str) -> str:
    """A Host header without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if host.count(":") == 1 else host
