"""`/healthz`, `/readyz` and `/metrics`, for monitoring."""

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from mnist_digits.serving.api.openapi import JSON, Error
from mnist_digits.serving.metrics import Metrics
from mnist_digits.serving.workers import RETRY_AFTER_S, Workers


class Status(BaseModel):
    """State of the service."""

    status: str


def add_routes(routes: APIRouter, workers: Workers, metrics: Metrics) -> None:
    """Add the three routes."""

    @routes.get("/healthz", tags=["operation"], responses={200: {"model": Status}})
    async def healthz(_: Request) -> Response:
        """Whether the process runs."""
        return Response('{"status": "alive"}', media_type=JSON)

    @routes.get(
        "/readyz",
        tags=["operation"],
        responses={200: {"model": Status}, 503: {"model": Status, "description": "The queue is full."}},
    )
    async def readyz(_: Request) -> Response:
        """Whether the model is loaded and the queue has room for another request."""
        if workers.full:
            return Response('{"status": "busy"}', 503, {"Retry-After": str(RETRY_AFTER_S)}, JSON)
        return Response('{"status": "ready"}', media_type=JSON)

    @routes.get(
        "/metrics",
        response_class=Response,
        tags=["operation"],
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, 401: {"model": Error}},
    )
    async def show_metrics(_: Request) -> Response:
        """Counts of requests, seconds, images and pictures, in Prometheus's text format."""
        text = await run_in_threadpool(metrics.text)
        return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})
