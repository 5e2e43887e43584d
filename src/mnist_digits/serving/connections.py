"""Uvicorn's connections, with the limits that it leaves to a proxy in front: of time, of size, of number."""

import asyncio
import json

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from mnist_digits.serving.middleware import RAW_HEADERS

HEAD_SECONDS = 10.0
"""From the first byte of a request, or from the connection's beginning, to the end of its headers."""

MOST_HEAD_BYTES = 65_536
"""Of the line and the headers that begin a request."""

MOST_CONNECTIONS = 1_000
"""Of one worker."""

SEND_SECONDS = 30.0
"""In which a client must have taken in its answer, once that is complete."""


class Connection(HttpToolsProtocol):
    """One client's connection."""

    _timer: asyncio.TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has come."""
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            self._refuse(
                503, f"{MOST_CONNECTIONS:,} connections, expected fewer; try again later", b"retry-after: 1\r\n"
            )
        else:
            self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self._timer and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > MOST_HEAD_BYTES:
                self._refuse(431, f"headers of more than {MOST_HEAD_BYTES:,} bytes, expected fewer")

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._head_bytes = 0
        if not self._timer:
            self._start_timer()

    def on_headers_complete(self) -> None:
        """Its headers are there."""
        self._stop_timer()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """Its answer has been handed over, to be sent as fast as the client takes it."""
        super().on_response_complete()
        if self.transport.is_closing() and self.transport.get_write_buffer_size():
            self.loop.call_later(SEND_SECONDS, self.transport.abort)

    def timeout_keep_alive_handler(self) -> None:
        """No further request has come."""
        super().timeout_keep_alive_handler()
        if self.transport.get_write_buffer_size():
            self.loop.call_later(SEND_SECONDS, self.transport.abort)

    def send_400_response(self, msg: str) -> None:
        """What was sent is not HTTP."""
        self._refuse(400, "not a request of HTTP/1.1, expected one")

    def _start_timer(self) -> None:
        self._timer = self.loop.call_later(HEAD_SECONDS, self._head_is_late)

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _head_is_late(self) -> None:
        self._timer = None
        if self.cycle is not None and not self.cycle.response_complete:
            # An answer is still on its way: the half request behind it may wait as long.
            self._start_timer()
        elif not self.transport.is_closing():
            self._refuse(408, f"no complete headers after {HEAD_SECONDS:g} seconds, expected them; send them at once")

    def _refuse(self, status: int, error: str, *lines: bytes) -> None:
        """Answer without asking the application, and close the connection."""
        self._stop_timer()
        body = json.dumps({"error": error}).encode()
        head = [STATUS_LINE[status], b"content-type: application/json\r\n", b"connection: close\r\n", *lines]
        head += [b"%s: %s\r\n" % header for header in RAW_HEADERS]
        self.transport.write(b"".join([*head, b"content-length: %d\r\n\r\n" % len(body), body]))
        self.transport.close()
