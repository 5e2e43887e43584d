"""What `/metrics` tells Prometheus. With several worker processes the counts of all are added up."""

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Environment variable: where workers keep their counts, so that each of them can tell those of all."""

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """Counts of one application."""

    def __init__(self) -> None:
        """All at zero."""
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "digits_requests", "Requests answered.", ["method", "route", "status"], registry=self._registry
        )
        self.seconds = Histogram(
            "digits_request_seconds",
            "From the end of a request's head to the end of its answer.",
            ["route"],
            buckets=SECONDS,
            registry=self._registry,
        )
        self.in_flight = Gauge(
            "digits_requests_in_flight",
            "Requests being answered.",
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self.images = Counter("digits_images", "Images of 28×28 that were classified.", registry=self._registry)
        self.pictures = Counter(
            "digits_pictures", "Pictures read, and what came of it.", ["route", "reason"], registry=self._registry
        )

    def text(self) -> bytes:
        """The counts in Prometheus's text format, those of all workers when there are several."""
        if FOLDER not in os.environ:
            return generate_latest(self._registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)
