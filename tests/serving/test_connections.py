"""Slow, unfinished and malformed requests on a socket."""

import json
import re
import select
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest

from helpers.asking import behind_a_socket, exchange, wait_for
from mnist_digits.recognition import Reader
from mnist_digits.serving import Settings, connections, create_app, middleware

Address = tuple[str, int]
HEAD = b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\n"
GOOD = HEAD + b"Content-Length: 784\r\n\r\n" + bytes(784)
CLOSING = HEAD + b"Connection: close\r\nContent-Length: 784\r\n\r\n" + bytes(784)


@pytest.fixture(scope="module")
def address(reader: Reader) -> Iterator[Address]:
    """A service with short timeouts."""
    patch = pytest.MonkeyPatch()
    patch.setattr(connections, "HEADER_TIMEOUT_S", 1.0)
    patch.setattr(connections, "SEND_TIMEOUT_S", 0.5)
    patch.setattr(middleware, "DRAIN_SECONDS", 3.0)
    patch.setattr(middleware, "DRAIN_IDLE_SECONDS", 1.0)
    patch.setattr(connections, "MAX_CONNECTIONS", 40)
    settings = Settings(body_seconds=2.0, idle_seconds=1.0, most_bytes=1_000_000)
    with behind_a_socket(create_app(reader, settings)) as address:
        yield address
    patch.undo()


def status(answer: bytes) -> int:
    return int(answer.split()[1])


def error(answer: bytes) -> str:
    return json.loads(answer.partition(b"\r\n\r\n")[2])["error"]


def test_a_request_in_pieces_is_answered(address: Address):
    answer = exchange(address, *[CLOSING[i : i + 500] for i in range(0, len(CLOSING), 500)], pause=0.02)
    assert status(answer) == 200


def test_unfinished_requests_time_out(address: Address):
    expected = {
        "complete headers": [[], [b"POST /v1"], [HEAD], [HEAD + b"X-Long: "], [HEAD, *[b"X: y\r\n"] * 24]],
        "3 bytes and then nothing more": [
            [HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"],
            [HEAD + b"Content-Length: 784\r\n\r\nabc"],
        ],
    }
    cases = [(message, parts) for message, requests in expected.items() for parts in requests]
    with ThreadPoolExecutor(len(cases)) as pool:
        answers = list(pool.map(lambda case: exchange(address, *case[1], pause=0.1), cases))
    for (message, parts), answer in zip(cases, answers, strict=True):
        assert status(answer) == 408, parts
        assert message in error(answer), parts


def test_headers_of_a_second_request_time_out_as_well(address: Address):
    answer = exchange(address, GOOD + b"POST /v1/classify HTTP/1.1\r\nHost: ")
    assert status(answer) == 200
    assert b"HTTP/1.1 408" in answer


def test_endless_headers_are_refused(address: Address):
    answer = exchange(address, HEAD, *[b"X-Much: " + b"y" * 8000 + b"\r\n"] * 40)
    assert status(answer) == 431
    assert "Content-Security-Policy".lower().encode() in answer


def test_clients_that_disconnect_early_do_not_affect_others(address: Address):
    for sent in (HEAD[:20], HEAD, GOOD[:200], GOOD[:-1], GOOD):
        with socket.create_connection(address) as connection:
            connection.sendall(sent)
    assert status(exchange(address, CLOSING)) == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"hello\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_bytes_that_are_not_http_are_refused(address: Address, sent: bytes):
    answer = exchange(address, sent)
    assert 400 <= status(answer) < 500
    assert b"connection: close" in answer.lower()


def test_a_client_that_sends_too_much_receives_the_error(address: Address):
    # It sends everything before it reads: if the connection were closed at once, TCP might discard the response.
    for head, chunk, count in (
        (b"Content-Length: 5000000\r\n\r\n", bytes(50_000), 16),
        (b"Transfer-Encoding: chunked\r\n\r\n", b"c350\r\n" + bytes(50_000) + b"\r\n", 30),
    ):
        answer = exchange(address, HEAD + head + chunk * count)
        assert status(answer) == 413
        assert "expected at most 1,000,000" in error(answer)


def send_slowly(address: Address, head: bytes, piece: bytes, count: int, pause: float) -> bytes:
    """The response to a request that is sent to its end, however slowly, before anything is received."""
    with socket.create_connection(address, timeout=20) as connection:
        connection.sendall(head)
        for _ in range(count):
            time.sleep(pause)
            connection.sendall(piece)
        return connection.recv(65536)


def test_a_client_that_is_slow_to_send_too_much_receives_the_error(address: Address):
    for head, piece in (
        (b"Content-Length: 1200000\r\n\r\n", bytes(200_000)),
        (b"Transfer-Encoding: chunked\r\n\r\n", b"30d40\r\n" + bytes(200_000) + b"\r\n"),
    ):
        # Longer in all than the service waits for any one part of the body.
        answer = send_slowly(address, HEAD + head, piece, 6, 0.2)
        assert status(answer) == 413
    # One that goes on for ever is left at some time.
    with pytest.raises(ConnectionError):
        send_slowly(address, HEAD + b"Content-Length: 90000000\r\n\r\n", bytes(100_000), 60, 0.2)


def test_a_client_that_does_not_read_its_response_is_disconnected(address: Address):
    body = np.full((1200, 28, 28), 9, np.uint8).tobytes()
    received = b""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(address)
        connection.sendall(HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        assert select.select([connection], [], [], 20)[0]
        time.sleep(1.2)
        with suppress(ConnectionResetError):
            while chunk := connection.recv(65536):
                received += chunk
    length = re.search(rb"content-length: (\d+)", received)
    assert length
    assert len(received) < int(length[1]) / 2
    assert status(exchange(address, CLOSING)) == 200


def test_too_many_connections_are_refused(address: Address):
    crowd = [socket.create_connection(address) for _ in range(40)]
    # Accepted in their order.
    answer = exchange(address, CLOSING)
    for connection in crowd:
        connection.close()
    assert status(answer) == 503
    assert b"retry-after" in answer
    wait_for(lambda: status(exchange(address, CLOSING)) == 200)
