"""Authentication, refused requests, limits of bodies, and the headers of every response."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from datetime import datetime

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from helpers.asking import InProcess
from helpers.command import ODD_NAME, unprintable
from mnist_digits.serving import Settings

TOKEN = "correct-horse-battery"
GUARDED = [
    ("POST", "/v1/predict"),
    ("POST", "/v1/read"),
    ("POST", "/v1/classify"),
    ("POST", "/v2/models/digits/infer"),
    ("GET", "/v2"),
    ("GET", "/v2/models/digits"),
    ("GET", "/metrics"),
    ("POST", "/v1/inside"),
    ("GET", "/v1/inside/reader.bin"),
    ("GET", "/v1/nothing"),
    ("DELETE", "/anything"),
]
OPEN = ["/", "/docs", "/openapi.json", "/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"]


@pytest.fixture(scope="module")
def guarded(asking: Callable[..., InProcess]) -> InProcess:
    return asking(Settings(token=TOKEN))


@pytest.mark.parametrize(("method", "path"), GUARDED)
@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", TOKEN]
)
def test_without_the_token_requests_are_refused(guarded: InProcess, method: str, path: str, header: str | None):
    headers = {} if header is None else {"Authorization": header}
    answer = guarded(method, path, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert "expected" in answer.json()["error"]
    assert TOKEN not in answer.text


@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_with_the_token_requests_are_accepted(guarded: InProcess, method: str, path: str):
    for scheme in ("Bearer", "bearer"):
        answer = guarded(method, path, headers={"Authorization": f"{scheme} {TOKEN}"}, content=b"")
        assert answer.status_code not in (401, 500)


@pytest.mark.parametrize("path", OPEN)
def test_the_page_and_probes_need_no_token(guarded: InProcess, path: str):
    assert guarded("GET", path).status_code == 200


def test_the_token_also_guards_an_application_that_is_mounted(guarded: InProcess):
    ask = InProcess(Starlette(routes=[Mount("/digits", guarded.app)]), guarded.runner)
    for method, path in GUARDED:
        assert ask(method, f"/digits{path}").status_code == 401, path
    for path in OPEN:
        assert ask("GET", f"/digits{path}").status_code == 200, path


@pytest.mark.parametrize(
    ("path", "status"),
    [("/", 200), ("/v1/predict", 405), ("/nothing", 404), ("/docs", 200), ("/openapi.json", 200), ("/healthz", 200)],
)
def test_every_response_has_the_security_headers(ask: InProcess, path: str, status: int):
    answer = ask("GET", path)
    assert answer.status_code == status
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'self'; ")
    assert "script-src" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    ("method", "path", "status", "found"),
    [
        ("POST", "/v1/predict/", 404, "/v1/predict/: no such route, expected /v1/predict; leave out what follows it"),
        ("GET", "/v1/classify/", 404, "expected /v1/classify;"),
        ("GET", "/v1/predict", 405, "GET /v1/predict, expected POST"),
        ("POST", "/healthz", 405, "POST /healthz, expected GET"),
        ("POST", "/", 405, "POST /, expected GET"),
        ("POST", "/predict", 404, "/predict: no such route, expected one of those that /docs"),
        ("GET", "/%1b[1m", 404, "/\\x1b[1m: no such route"),
    ],
)
def test_errors_of_routes_say_what_there_is(ask: InProcess, method: str, path: str, status: int, found: str):
    answer = ask(method, path)
    assert answer.status_code == status
    assert found in answer.json()["error"]
    assert ("Allow" in answer.headers) == (status == 405)


def test_methods_that_clients_make_up_are_counted_together(ask: InProcess):
    for number in range(30):
        ask(f"MADE{number}", "/healthz")
    text = ask("GET", "/metrics").text
    assert "MADE" not in text
    assert 'method="other"' in text


def test_the_access_log_has_a_line_of_json_for_each_request_and_no_secrets(
    asking: Callable[..., InProcess], caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO", "mnist_digits.access")
    ask = asking(Settings(token=TOKEN, access_log=True))
    ask("POST", "/v1/classify?secret=1", content=bytes(784), headers={"Authorization": f"Bearer {TOKEN}"})
    ask("GET", "/not%0A%1bhere")
    asking(Settings())("GET", "/healthz")
    lines = [record.getMessage() for record in caplog.records]
    rows = [json.loads(line) for line in lines]
    assert [(row["method"], row["route"], row["status"], row["received_bytes"]) for row in rows] == [
        ("POST", "/v1/classify", 200, 784),
        ("GET", "other", 404, 0),
    ]
    assert rows[0]["client"] == "127.0.0.1"
    assert 0 < rows[0]["seconds"] < 60
    assert datetime.fromisoformat(rows[0]["time"]).tzinfo
    assert not any(word in line for line in lines for word in (TOKEN, "secret", "\n", "\x1b"))


def test_requests_from_other_sites_are_refused(ask: InProcess):
    own = "http://localhost:8000"
    allowed = [
        {},
        {"Origin": own},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://proxy.example"},
        {"Sec-Fetch-Site": "none"},
    ]
    refused = [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Origin": "http://localhost:9000"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": own},
    ]
    for headers in allowed:
        assert ask("POST", "/v1/classify", content=bytes(784), headers=headers).status_code == 200, headers
    for headers in refused:
        answer = ask("POST", "/v1/classify", content=bytes(784), headers=headers)
        assert answer.status_code == 403, headers
        assert "another site" in answer.json()["error"]


def test_unknown_host_names_are_refused(asking: Callable[..., InProcess]):
    ask = asking(Settings(host_names=frozenset({"localhost", "[::1]"})))
    for host in ("localhost", "LOCALHOST:8000", "[::1]", "[::1]:8000"):
        assert ask("GET", "/healthz", headers={"Host": host}).status_code == 200, host
    for host in ("evil.example", "localhost.evil.example:8000", "[::2]", "", "[::1].evil.example"):
        answer = ask("GET", "/", headers={"Host": host})
        assert answer.status_code == 421, host


def test_a_body_whose_content_length_is_too_large_is_not_read(asking: Callable[..., InProcess]):
    ask = asking(Settings(most_bytes=1000))
    answer = ask("POST", "/v1/predict", content=bytes(1001))
    assert answer.status_code == 413
    assert answer.json()["error"].startswith("a body of 1,001 bytes, expected at most 1,000")
    assert ask("POST", "/v1/predict", content=bytes(1000)).status_code == 422
    huge = {"Content-Length": "9" * 5000}
    assert ask("POST", "/v1/predict", content=b"", headers=huge).status_code == 413


def test_a_chunked_body_that_becomes_too_large_is_refused(asking: Callable[..., InProcess]):
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield bytes(100)

    answer = asking(Settings(most_bytes=1000))("POST", "/v1/read", content=chunks())
    assert answer.status_code == 413
    assert answer.headers["Connection"] == "close"


def test_compressed_bodies_are_refused(ask: InProcess):
    answer = ask("POST", "/v1/classify", content=bytes(784), headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 415
    assert "gzip" in answer.json()["error"]


def test_all_bodies_together_have_a_limit(asking: Callable[..., InProcess]):
    ask = asking(Settings(most_held_bytes=2000))
    held, released = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield bytes(784)
        # Asked for more, after the first part has been counted.
        held.set()
        await released.wait()
        yield bytes(784)

    async def meet() -> tuple[httpx.Response, httpx.Response, httpx.Response]:
        first = asyncio.create_task(ask.answer("POST", "/v1/classify", content=slow()))
        await held.wait()
        second = await ask.answer("POST", "/v1/classify", content=bytes(784 * 2))
        released.set()
        return await first, second, await ask.answer("POST", "/v1/classify", content=bytes(784 * 2))

    first, second, third = ask.runner.run(meet())
    assert (first.status_code, second.status_code, third.status_code) == (200, 503, 200)
    assert int(second.headers["Retry-After"]) >= 1


def test_a_slow_body_times_out(asking: Callable[..., InProcess]):
    async def drops(seconds: float) -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x"
            await asyncio.sleep(seconds)

    stalled = asking(Settings(idle_seconds=0.2))("POST", "/v1/predict", content=drops(5))
    dripping = asking(Settings(body_seconds=0.3))("POST", "/v1/predict", content=drops(0.02))
    for answer in (stalled, dripping):
        assert answer.status_code == 408
        assert re.match(r"\d+ bytes and then nothing more in time", answer.json()["error"])


def test_a_bug_is_a_response_that_does_not_reveal_it(
    asking: Callable[..., InProcess], reader, digit_png: bytes, caplog: pytest.LogCaptureFixture
):
    class Broken:
        classifier = reader.classifier

        def read_pages(self, content: bytes) -> None:
            raise RuntimeError(f"secret {ODD_NAME}")

    ask = asking(own=Broken())
    answer = ask("POST", "/v1/read", content=digit_png)
    assert answer.status_code == 500
    assert list(answer.json()) == ["error"]
    assert "secret" not in answer.text
    # What a client sends may be a command to the terminal that shows the log.
    assert "RuntimeError: secret" in caplog.text
    assert unprintable(caplog.text) == set()
    assert "Content-Security-Policy" in answer.headers
    assert ask("POST", "/v1/predict", content=digit_png).status_code == 200
