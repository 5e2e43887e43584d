"""What every request passes on its way in and every answer on its way out."""

import asyncio
import hmac
import logging
import re
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mnist_digits.serving.metrics import Metrics
from mnist_digits.serving.settings import Settings
from mnist_digits.serving.workers import busy

POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
"""Nothing from elsewhere, nothing inline; pictures also from the page's own memory."""

HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}
"""Of every answer that has no others of that name."""

RAW_HEADERS = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]

ABANDONED = 499
"""Status in the counts of a request whose client went away before there was an answer."""

DRAIN_SECONDS = 2.0
"""For which the rest of a body is read that was turned away."""

GUARDED = ("/v1", "/v2", "/metrics")
"""Where a token is asked for; the page, the description and the answers to probes tell no secrets."""

PROBES = ("/v2/health/live", "/v2/health/ready")

RequestHeaders = Mapping[bytes, bytes]
"""Name in small letters → value."""

logger = logging.getLogger("uvicorn.error")


class Middleware:
    """Turns away what may not pass, limits bodies, counts, and puts the security headers on every answer."""

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics) -> None:
        """app: what is behind the gate."""
        self._app, self._settings, self._metrics = app, settings, metrics
        self._token = settings.token and settings.token.encode()
        self._held_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status, closes = time.perf_counter(), ABANDONED, False
        body = Body(self, receive, self._settings)

        async def answer(message: Message) -> None:
            nonlocal status, closes
            if message["type"] == "http.response.start":
                status = message["status"]
                closes = body.is_unfinished and status >= 400 and scope["method"] not in ("GET", "HEAD")
                message["headers"] = _dressed(message.get("headers", []), closes)
            elif closes and not message.get("more_body"):
                # Closed while its client is still sending, a connection may lose the answer on its way.
                await send({**message, "more_body": True})
                if status != 408:
                    await body.drain()
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        self._metrics.in_flight.inc()
        try:
            refusal = self._refusal(scope, dict(scope["headers"]))
            if refusal:
                await as_response(refusal)(scope, receive, answer)
            else:
                await self._app(scope, body.receive, answer)
        except ClientDisconnect:
            pass
        # A bug ends one answer, not the connection without a word.
        except Exception:
            logger.exception("%s %s", scope["method"], scope["path"])
            if status == ABANDONED:
                await as_response(HTTPException(500, "a bug; the log of the service has more"))(scope, receive, answer)
        finally:
            self._held_bytes -= body.size
            self._metrics.in_flight.dec()
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.labels(scope["method"], route, status).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - start)

    def hold(self, size: int) -> None:
        """Count bytes of a body. Raises HTTPException 503 when all bodies together take too much memory."""
        self._held_bytes += size
        if self._held_bytes > self._settings.most_held_bytes:
            raise busy(f"{self._held_bytes:,} bytes of requests in memory")

    def _refusal(self, scope: Scope, headers: RequestHeaders) -> HTTPException | None:
        """Why a request is turned away before its body is read, if it is."""
        names = self._settings.host_names
        host = _text(headers, b"host")
        if names is not None and _name(host) not in names:
            # A page from elsewhere may give its own name this machine's address.
            expected = ", ".join(sorted(names))
            return HTTPException(421, f"host {host!r}, expected one of {expected}; use that in the address")
        if scope["method"] not in ("GET", "HEAD", "OPTIONS") and _is_from_elsewhere(headers, host):
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
        # A number of more digits is no smaller.
        if length.isdigit() and int(length[:20]) > self._settings.most_bytes:
            return too_large(f"{int(length[:20]):,} bytes", self._settings)
        return None

    def _knows_token(self, headers: RequestHeaders) -> bool:
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        # In the same time however much of it is right.
        same = hmac.compare_digest(token.strip(), self._token or b"")
        return same and scheme.lower() == b"bearer"


class Body:
    """One request's body on its way in: so long, so slow, and no more."""

    def __init__(self, gate: Middleware, receive: Receive, settings: Settings) -> None:
        """receive: what the server hands in."""
        self.size = 0
        """Bytes so far."""
        self.is_unfinished = True
        self._gate, self._receive, self._settings = gate, receive, settings
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
        """Read what is still to come and forget it, for a while."""
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                drained = 0
                while self.is_unfinished and drained <= self._settings.most_bytes:
                    message = await self._receive()
                    drained += len(message.get("body", b""))
                    self.is_unfinished = message.get("more_body", False)

    def _take(self, size: int) -> None:
        self.size += size
        self._gate.hold(size)
        if self.size > self._settings.most_bytes:
            raise too_large(f"more than {self._settings.most_bytes:,} bytes", self._settings)


def too_large(found: str, settings: Settings) -> HTTPException:
    """413."""
    return HTTPException(413, f"a body of {found}, expected at most {settings.most_bytes:,}; send fewer or smaller")


def as_response(error: HTTPException) -> JSONResponse:
    """What a client gets to read: `{"error": "…"}`."""
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


def _dressed(headers: Iterable[tuple[bytes, bytes]], close: bool) -> list[tuple[bytes, bytes]]:
    """An answer's headers, and those that each answer has unless it has others of that name.

    close: end the connection with it, for the rest of the body, which nobody will read, may still come.
    """
    own = list(headers)
    names = {name for name, _ in own}
    closing = [(b"connection", b"close")] if close else []
    return own + [header for header in RAW_HEADERS if header[0] not in names] + closing


def _is_guarded(scope: Scope) -> bool:
    path, method = scope["path"], scope["method"]
    if path in PROBES:
        return False
    return method not in ("GET", "HEAD") or any(path == one or path.startswith(f"{one}/") for one in GUARDED)


def _is_from_elsewhere(headers: RequestHeaders, host: str) -> bool:
    """Whether another site's page asks, in the name of whoever looks at it."""
    site, origin = headers.get(b"sec-fetch-site"), headers.get(b"origin")
    if site:
        return site not in (b"same-origin", b"none")
    return origin is not None and _text(headers, b"origin").partition("://")[2].lower() != host.lower()


def _text(headers: RequestHeaders, name: bytes) -> str:
    return headers.get(name, b"").decode("latin-1")


def _name(host: str) -> str:
    """`localhost:8000` → `localhost`; `[::1]:8000` → `[::1]`; of what is neither, nothing."""
    match = re.fullmatch(r"(\[[^\]]*\]|[^:]*)(:\d*)?", host)
    return match[1].lower() if match else ""
