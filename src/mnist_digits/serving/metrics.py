"""The counters behind `/metrics`, for Prometheus. Those of several worker processes are added up."""

import os
import struct
import time
from contextlib import suppress

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Environment variable with the folder in which prometheus_client keeps the counts of all worker processes."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
"""Methods that are counted by their name."""

DURATION_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

READ_TRIES, READ_PAUSE_S = 50, 0.01
"""How often, and with which pauses, counts are read again that a worker is just about to write."""


class Metrics:
    """The counters of one application."""

    def __init__(self) -> None:
        """All counters at zero."""
        self._registry = CollectorRegistry()
        self._labelled: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self.requests = Counter(
            "digits_requests", "Requests answered.", ["method", "route", "status"], registry=self._registry
        )
        self.seconds = Histogram(
            "digits_request_seconds",
            "Seconds from the end of a request's headers to the end of its response.",
            ["route"],
            buckets=DURATION_BUCKETS_S,
            registry=self._registry,
        )
        self.in_flight = Gauge(
            "digits_requests_in_flight",
            "Requests being answered.",
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self.images = Counter("digits_images", "28×28 images classified.", registry=self._registry)
        self.pictures = Counter(
            "digits_pictures", "Pictures read, by reason for no result.", ["route", "reason"], registry=self._registry
        )

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        # A client may make up methods; a count of each would fill the memory.
        key = (method if method in METHODS else "other", route, status)
        if key not in self._labelled:
            self._labelled[key] = self.requests.labels(*key), self.seconds.labels(route)
        counter, histogram = self._labelled[key]
        counter.inc()
        histogram.observe(seconds)

    def text(self) -> bytes:
        """All counts in Prometheus's text format, summed over the worker processes where there are several."""
        if FOLDER_VARIABLE not in os.environ:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        for _ in range(READ_TRIES):
            # A worker that is starting has made its file, but not yet written to it.
            with suppress(struct.error):
                return generate_latest(registry)
            time.sleep(READ_PAUSE_S)
        return generate_latest(registry)
