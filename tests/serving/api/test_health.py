"""`/healthz`, `/readyz` and `/metrics`."""

from collections.abc import Callable

from prometheus_client.parser import text_string_to_metric_families

from helpers.asking import InProcess
from mnist_digits.serving import Settings


def counts(ask: InProcess) -> dict[tuple[str, ...], float]:
    """Name and labels of each sample → its value, as Prometheus reads them."""
    text = ask("GET", "/metrics").text
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_probes(ask: InProcess):
    assert ask("GET", "/healthz").json() == {"status": "alive"}
    assert ask("GET", "/readyz").json() == {"status": "ready"}


def test_a_service_without_room_is_not_ready(asking: Callable[..., InProcess]):
    answer = asking(Settings(threads=1, most_waiting=-1))("GET", "/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"status": "busy"}
    assert "Retry-After" in answer.headers


def test_requests_are_counted(asking: Callable[..., InProcess], digit_png: bytes):
    ask = asking()
    for _ in range(3):
        ask("POST", "/v1/classify", content=bytes(784 * 2))
    ask("POST", "/v1/classify", content=b"x")
    ask("POST", "/v1/predict", files=[("file", digit_png), ("file", b"x")])
    ask("GET", "/nowhere")
    ask("GET", "/nowhere/else")
    found = counts(ask)
    assert found["digits_requests_total", "/v1/classify", "200", "POST"] == 3
    assert found["digits_requests_total", "/v1/classify", "400", "POST"] == 1
    assert found["digits_requests_total", "404", "GET", "other"] == 2
    assert found["digits_request_seconds_count", "/v1/classify"] == 4
    assert found["digits_images_total",] == 6
    assert found["digits_pictures_total", "/v1/predict", "none"] == 1
    assert found["digits_pictures_total", "/v1/predict", "unreadable"] == 1
    assert found["digits_requests_in_flight",] == 1, "the one that asks"
