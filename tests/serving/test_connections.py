"""Slow, half and damaged requests on a socket."""

import json
import socket
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from helpers.asking import InProcess, behind_a_socket, exchange
from mnist_digits.recognition import Reader
from mnist_digits.serving import Settings, connections, create_app, middleware

Address = tuple[str, int]
HEAD = b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\n"
GOOD = HEAD + b"Content-Length: 784\r\n\r\n" + bytes(784)
CLOSING = HEAD + b"Connection: close\r\nContent-Length: 784\r\n\r\n" + bytes(784)


@pytest.fixture(scope="module")
def address(reader: Reader) -> Iterator[Address]:
    """A service with little patience."""
    patch = pytest.MonkeyPatch()
    patch.setattr(connections, "HEADER_TIMEOUT_S", 1.0)
    patch.setattr(connections, "SEND_TIMEOUT_S", 0.5)
    patch.setattr(middleware, "DRAIN_TIMEOUT_S", 0.5)
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


@pytest.mark.parametrize("sent", [b"", b"POST /v1", HEAD, HEAD + b"X-Long: "])
def test_half_a_head_is_given_up_in_time(address: Address, sent: bytes):
    start = time.monotonic()
    answer = exchange(address, sent) if sent else exchange(address)
    assert status(answer) == 408
    assert "complete headers" in error(answer)
    assert time.monotonic() - start < 5


def test_dripping_headers_do_not_buy_time(address: Address):
    start = time.monotonic()
    answer = exchange(address, HEAD, *[b"X: y\r\n"] * 24, pause=0.1)
    assert status(answer) == 408
    assert time.monotonic() - start < 5


def test_a_second_request_is_held_to_the_same(address: Address):
    answer = exchange(address, GOOD + b"POST /v1/classify HTTP/1.1\r\nHost: ")
    assert status(answer) == 200
    assert b"HTTP/1.1 408" in answer


def test_endless_headers_are_refused(address: Address):
    answer = exchange(address, HEAD, *[b"X-Much: " + b"y" * 8000 + b"\r\n"] * 40)
    assert status(answer) == 431
    assert "Content-Security-Policy".lower().encode() in answer


@pytest.mark.parametrize("chunked", [False, True])
def test_half_a_body_is_given_up_in_time(address: Address, chunked: bool):
    how = b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n" if chunked else b"Content-Length: 784\r\n\r\nabc"
    start = time.monotonic()
    answer = exchange(address, HEAD + how)
    assert status(answer) == 408
    assert "3 bytes and then nothing more" in error(answer)
    assert time.monotonic() - start < 8


def test_who_leaves_in_the_middle_harms_nobody(address: Address):
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
def test_what_is_no_http_is_told_so(address: Address, sent: bytes):
    answer = exchange(address, sent)
    assert 400 <= status(answer) < 500
    assert b"connection: close" in answer.lower()


def test_a_client_that_sends_too_much_gets_to_read_why(address: Address):
    # It sends all before it reads: a connection that is closed at once would lose the answer.
    for head, chunk, count in (
        (b"Content-Length: 5000000\r\n\r\n", bytes(50_000), 16),
        (b"Transfer-Encoding: chunked\r\n\r\n", b"c350\r\n" + bytes(50_000) + b"\r\n", 30),
    ):
        answer = exchange(address, HEAD + head + chunk * count)
        assert status(answer) == 413
        assert "expected at most 1,000,000" in error(answer)


def test_who_does_not_read_is_not_waited_for(address: Address):
    # An answer of megabytes to one who takes in none of it.
    body = np.full((1200, 28, 28), 9, np.uint8).tobytes()
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(address)
        head = HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
        connection.sendall(head + body)
        time.sleep(1.2)
        connection.settimeout(10)
        received = 0
        try:
            while chunk := connection.recv(65536):
                received += len(chunk)
        except ConnectionResetError:
            pass
    assert status(exchange(address, CLOSING)) == 200


def test_more_connections_than_there_may_be_are_sent_away(address: Address):
    crowd = [socket.create_connection(address) for _ in range(40)]
    time.sleep(0.2)
    answer = exchange(address, CLOSING)
    for connection in crowd:
        connection.close()
    assert status(answer) == 503
    assert b"retry-after" in answer
    time.sleep(0.2)
    assert status(exchange(address, CLOSING)) == 200


def test_a_full_queue_says_when_to_come_again(reader: Reader, page_png: bytes, asking: Callable[..., InProcess]):
    import asyncio

    ask = asking(Settings(threads=1, most_waiting=2))

    async def crowd() -> list:
        return await asyncio.gather(*[ask.answer("POST", "/v1/read", content=page_png) for _ in range(12)])

    answers = ask.runner.run(crowd())
    codes = [answer.status_code for answer in answers]
    assert codes.count(200) == 3
    assert codes.count(503) == 9
    for answer in answers:
        if answer.status_code == 503:
            assert int(answer.headers["Retry-After"]) >= 1
            assert "more requests than can wait" in answer.json()["error"]
        else:
            assert answer.json()["lines"]
    assert ask("POST", "/v1/read", content=page_png).status_code == 200
