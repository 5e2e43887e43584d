"""Checks on every request, limits on its body, counts, and security headers on every response."""

import asyncio
import hmac
import json
import logging
import re
import time
import traceback
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime

from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mnist_digits.errors import DataError, printable
from mnist_digits.serving.metrics import Metrics
from mnist_digits.serving.settings import Settings
from mnist_digits.serving.workers import busy

CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
"""Only the service's own files and nothing inline; images also from data and blob URLs."""

DEFAULT_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}
"""Headers of every response, unless it has another value for the same name."""

RAW_DEFAULT_HEADERS = [(name.lower().encode(), value.encode()) for name, value in DEFAULT_HEADERS.items()]

STATUS_CLIENT_CLOSED = 499
"""Status in the metrics of a request whose client closed the connection before the response began."""

DRAIN_SECONDS, DRAIN_IDLE_SECONDS = 30.0, 5.0
"""Seconds for which the rest of a refused request's body is still received, and of them without any data."""

MAX_DRAINED_BYTES = 200_000_000
"""Size of that rest up to which it is."""

GUARDED_PREFIXES = ("/v1", "/v2", "/metrics")
"""Path prefixes that need the token, as does any method but GET and HEAD; the page, `/docs` and probes need none."""

UNGUARDED_PROBES = ("/v2/health/live", "/v2/health/ready")

RequestHeaders = Mapping[bytes, bytes]
"""Lower-case name → value."""

# A bug is logged even where nobody has configured logging: the package's own logger is silent by default.
logger = logging.getLogger("uvicorn.error")

access_logger = logging.getLogger("mnist_digits.access")


class Middleware:
    """Refuses requests that are not allowed, limits bodies, counts, and adds DEFAULT_HEADERS to every response."""

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics, direct: Mapping[str, APIRoute]) -> None:
        """app: the application that answers the requests that are let through.

        direct: path → a route of it that is called at once: frameworks take longer to find one than the network takes.
        """
        self._app, self._settings, self._metrics, self._direct = app, settings, metrics, direct
        self._token = settings.token and settings.token.encode()
        self._held_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status, closes = time.perf_counter(), STATUS_CLIENT_CLOSED, False
        body = Body(self, receive, self._settings)

        async def respond(message: Message) -> None:
            nonlocal status, closes
            if message["type"] == "http.response.start":
                status = message["status"]
                closes = body.is_unfinished and status >= 400 and scope["method"] not in ("GET", "HEAD")
                message["headers"] = _complete_headers(message.get("headers", []), closes)
            elif closes and not message.get("more_body"):
                # If the connection is closed while the client still sends, TCP may discard the response.
                await send({**message, "more_body": True})
                if status != 408:
                    await body.drain()
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        self._metrics.in_flight.inc()
        try:
            refusal = self._refusal(scope, dict(scope["headers"]))
            if refusal:
                await as_response(refusal)(scope, receive, respond)
            else:
                await self._answer(scope, body.receive, respond)
        except ClientDisconnect:
            pass
        # A bug gets a response of its own, and the connection stays open.
        except Exception:
            # Both hold what the client has sent.
            lines = traceback.format_exc().splitlines()
            logger.error("%s %s\n%s", scope["method"], printable(scope["path"]), "\n".join(map(printable, lines)))
            if status == STATUS_CLIENT_CLOSED:
                await as_response(HTTPException(500, "a bug; the log of the service has more"))(scope, receive, respond)
        finally:
            self._held_bytes -= body.size
            self._metrics.in_flight.dec()
            route = getattr(scope.get("route"), "path", "other")
            seconds = time.perf_counter() - start
            self._metrics.count(scope["method"], route, status, seconds)
            if self._settings.access_log:
                _log_access(scope, route, status, seconds, body.size)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._direct.get(scope["path"].removeprefix(scope.get("root_path", "")))
        if route is None or scope["method"] not in (route.methods or ()):
            await self._app(scope, receive, send)
            return
        scope["route"] = route
        try:
            response = await route.endpoint(Request(scope, receive))
        except (HTTPException, DataError) as error:
            response = as_response(error)
        await response(scope, receive, send)

    def hold(self, size: int) -> None:
        """Count bytes of a body in memory. Raises HTTPException 503 when all bodies together are too large."""
        self._held_bytes += size
        if self._held_bytes > self._settings.most_held_bytes:
            raise busy(f"{self._held_bytes:,} bytes of requests in memory")

    def _refusal(self, scope: Scope, headers: RequestHeaders) -> HTTPException | None:
        """The error with which a request is refused before its body is read; None when it is accepted."""
        names = self._settings.host_names
        host = _text(headers, b"host")
        if names is not None and _name(host) not in names:
            # DNS rebinding: another site's name may point to this machine.
            expected = ", ".join(sorted(names))
            return HTTPException(421, f"host {host!r}, expected one of {expected}; use that in the address")
        if scope["method"] not in ("GET", "HEAD", "OPTIONS") and _is_cross_site(headers, host):
            return HTTPException(403, "a request from another site's page, expected one of this service's own")
        if self._token and _is_guarded(scope) and not self._knows_token(headers):
            return HTTPException(
                401,
                "no token or a wrong one, expected the header Authorization: Bearer …",
                {"WWW-Authenticate": "Bearer"},
            )
        return self._refusal_of_body(headers)

    def _refusal_of_body(self, headers: RequestHeaders) -> HTTPException | None:
        coding, length = headers.get(b"content-encoding", b"identity"), headers.get(b"content-length", b"0")
        if coding.lower() != b"identity":
            found = f"a body with content-encoding {_text(headers, b'content-encoding')}"
            return HTTPException(415, f"{found}, expected it as it is; do not compress it")
        # Python refuses to parse a number of thousands of digits.
        if length.isdigit() and int(length[:20]) > self._settings.most_bytes:
            return too_large(f"{int(length[:20]):,} bytes", self._settings)
        return None

    def _knows_token(self, headers: RequestHeaders) -> bool:
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        # In constant time, so that the time tells nothing about the token.
        same = hmac.compare_digest(token.strip(), self._token or b"")
        return same and scheme.lower() == b"bearer"


class Body:
    """Receives one request's body within the limits of size and time."""

    def __init__(self, middleware: Middleware, receive: Receive, settings: Settings) -> None:
        """receive: the server's, which gives the parts of the body."""
        self.size = 0
        """Bytes received."""
        self.is_unfinished = True
        """Whether more of the body is expected."""
        self._middleware, self._receive, self._settings = middleware, receive, settings
        self._deadline = asyncio.get_running_loop().time() + settings.body_seconds

    async def receive(self) -> Message:
        """The next message. Raises HTTPException when the body is too long (413), too slow (408) or too much (503)."""
        if not self.is_unfinished:
            return await self._receive()
        now = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout_at(min(self._deadline, now + self._settings.idle_seconds)):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(
                408, f"{self.size:,} bytes and then nothing more in time, expected the whole body; send it again"
            ) from None
        if message["type"] == "http.request":
            self._take(len(message.get("body", b"")))
            self.is_unfinished = message.get("more_body", False)
        return message

    async def drain(self) -> None:
        """Receive and discard the rest of the body, within the limits above."""
        drained, loop = 0, asyncio.get_running_loop()
        end = loop.time() + DRAIN_SECONDS
        with suppress(TimeoutError):
            while self.is_unfinished and drained <= MAX_DRAINED_BYTES:
                async with asyncio.timeout_at(min(end, loop.time() + DRAIN_IDLE_SECONDS)):
                    message = await self._receive()
                drained += len(message.get("body", b""))
                self.is_unfinished = message.get("more_body", False)

    def _take(self, size: int) -> None:
        self.size += size
        self._middleware.hold(size)
        if self.size > self._settings.most_bytes:
            raise too_large(f"more than {self._settings.most_bytes:,} bytes", self._settings)


def _log_access(scope: Scope, route: str, status: int, seconds: float, received_bytes: int) -> None:
    """Tell the access log of a request; of its query, its headers and its body nothing."""
    line = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "client": (scope.get("client") or [None])[0],
        "method": scope["method"],
        "path": scope["path"],
        "route": route,
        "status": status,
        "seconds": round(seconds, 6),
        "received_bytes": received_bytes,
    }
    access_logger.info(json.dumps(line))


def too_large(found: str, settings: Settings) -> HTTPException:
    """The error 413."""
    return HTTPException(413, f"a body of {found}, expected at most {settings.most_bytes:,}; send fewer or smaller")


def as_response(error: HTTPException | DataError) -> JSONResponse:
    """An error as the response `{"error": "…"}`; 422 for a picture that is not accepted."""
    if not isinstance(error, HTTPException):
        error = HTTPException(422, str(error))
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


def _complete_headers(headers: Iterable[tuple[bytes, bytes]], close: bool) -> list[tuple[bytes, bytes]]:
    """A response's headers with the DEFAULT_HEADERS that it lacks.

    close: have the connection closed after it, because the rest of the request's body is not going to be read.
    """
    own = list(headers)
    names = {name for name, _ in own}
    closing = [(b"connection", b"close")] if close else []
    return own + [header for header in RAW_DEFAULT_HEADERS if header[0] not in names] + closing


def _is_guarded(scope: Scope) -> bool:
    # The path of a mounted application begins with its mount point.
    path, method = scope["path"].removeprefix(scope.get("root_path", "")), scope["method"]
    if path in UNGUARDED_PROBES:
        return False
    return method not in ("GET", "HEAD") or any(path == one or path.startswith(f"{one}/") for one in GUARDED_PREFIXES)


def _is_cross_site(headers: RequestHeaders, host: str) -> bool:
    """Whether another site's page sent the request (CSRF)."""
    site, origin = headers.get(b"sec-fetch-site"), headers.get(b"origin")
    if site:
        return site not in (b"same-origin", b"none")
    return origin is not None and _text(headers, b"origin").partition("://")[2].lower() != host.lower()


def _text(headers: RequestHeaders, name: bytes) -> str:
    return headers.get(name, b"").decode("latin-1")


def _name(host: str) -> str:
    """A Host header without its port: `localhost:8000` → `localhost`, `[::1]:8000` → `[::1]`; "" if malformed."""
    match = re.fullmatch(r"(\[[^\]]*\]|[^:]*)(:\d*)?", host)
    return match[1].lower() if match else ""
