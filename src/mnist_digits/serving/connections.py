"""Uvicorn's HTTP connections, with the limits on time, size and number that it leaves to a proxy in front of it."""

import asyncio
import json
from collections.abc import Callable

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from mnist_digits.serving.middleware import RAW_DEFAULT_HEADERS
from mnist_digits.serving.workers import RETRY_AFTER_S

HEADER_TIMEOUT_S = 10.0
"""Seconds from a request's first byte, or the connection's start, until its headers must be complete; then 408."""

MAX_HEADER_BYTES = 65_536
"""Maximum size of a request line with its headers; more gets 431."""

MAX_CONNECTIONS = 1_000
"""Maximum number of open connections of one worker process; a further one gets 503."""

SEND_TIMEOUT_S = 30.0
"""Seconds from the end of a response until the connection is aborted if the client has not received all of it."""


class Connection(HttpToolsProtocol):
    """One client's connection."""

    on_lost: Callable[[], None] | None = None
    """Is called when the connection has been closed."""

    _timer: asyncio.TimerHandle | None = None
    _header_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Refuse the connection when there are too many, or start the timeout of its first request's headers."""
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            error = f"{MAX_CONNECTIONS:,} connections, expected fewer; try again later"
            self._refuse(503, error, b"retry-after: %d\r\n" % RETRY_AFTER_S)
        else:
            self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timeout."""
        self._stop_timer()
        super().connection_lost(exc)
        if self.on_lost:
            self.on_lost()

    def data_received(self, data: bytes) -> None:
        """Parse received bytes; refuse headers that are too long."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self._timer and not self.transport.is_closing():
            self._header_bytes += len(data)
            if self._header_bytes > MAX_HEADER_BYTES:
                self._refuse(431, f"headers of more than {MAX_HEADER_BYTES:,} bytes, expected fewer")

    def on_message_begin(self) -> None:
        """Start the timeout of a request's headers."""
        super().on_message_begin()
        self._header_bytes = 0
        if not self._timer:
            self._start_timer()

    def on_headers_complete(self) -> None:
        """Stop the timeout of a request's headers."""
        self._stop_timer()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """Abort the connection later, if it is to be closed but the client is slow to receive."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._limit_sending()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection; abort it later if the client is slow to receive."""
        super().timeout_keep_alive_handler()
        self._limit_sending()

    def send_400_response(self, msg: str) -> None:
        """Answer bytes that are not HTTP."""
        self._refuse(400, "not a request of HTTP/1.1, expected one")

    def _limit_sending(self) -> None:
        if self.transport.get_write_buffer_size():
            self.loop.call_later(SEND_TIMEOUT_S, self.transport.abort)

    def _start_timer(self) -> None:
        self._timer = self.loop.call_later(HEADER_TIMEOUT_S, self._on_header_timeout)

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _on_header_timeout(self) -> None:
        self._timer = None
        if self.cycle is not None and not self.cycle.response_complete:
            # The connection's previous request is still being answered: the next one may take as long.
            self._start_timer()
        elif not self.transport.is_closing():
            self._refuse(
                408, f"no complete headers after {HEADER_TIMEOUT_S:g} seconds, expected them; send them at once"
            )

    def _refuse(self, status: int, error: str, *lines: bytes) -> None:
        """Respond without calling the application, and close the connection."""
        self._stop_timer()
        body = json.dumps({"error": error}).encode()
        head = [STATUS_LINE[status], b"content-type: application/json\r\n", b"connection: close\r\n", *lines]
        head += [b"%s: %s\r\n" % header for header in RAW_DEFAULT_HEADERS]
        self.transport.write(b"".join([*head, b"content-length: %d\r\n\r\n" % len(body), body]))
        self.transport.close()
