"""What those ask who watch over the service: `/healthz`, `/readyz`, `/metrics`."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from mnist_digits.serving.api.openapi import JSON, Error, PlainRoute
from mnist_digits.serving.metrics import Metrics
from mnist_digits.serving.workers import Workers


class Status(BaseModel):
    """How the service is."""

    status: str


def add_routes(routes: APIRouter, workers: Workers, metrics: Metrics) -> None:
    """Add the three routes."""

    async def healthz(_: Request) -> Response:
        """That the process runs and answers."""
        return Response('{"status": "alive"}', media_type=JSON)

    async def readyz(_: Request) -> Response:
        """That the model is loaded and there is room for more requests."""
        if workers.full:
            return Response('{"status": "busy"}', 503, {"Retry-After": "1"}, JSON)
        return Response('{"status": "ready"}', media_type=JSON)

    async def show_metrics(_: Request) -> Response:
        """Counts of requests, seconds, images and pictures, for Prometheus."""
        return Response(metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    answers: dict[str, tuple[Callable[..., Any], dict[int | str, dict[str, Any]]]] = {
        "/healthz": (healthz, {200: {"model": Status}}),
        "/readyz": (readyz, {200: {"model": Status}, 503: {"model": Status, "description": "Too much to do."}}),
        "/metrics": (
            show_metrics,
            {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, 401: {"model": Error}},
        ),
    }
    for path, (endpoint, responses) in answers.items():
        routes.add_api_route(
            path,
            endpoint,
            methods=["GET"],
            route_class_override=PlainRoute,
            response_model=None,
            response_class=Response,
            tags=["operation"],
            responses=responses,
        )
