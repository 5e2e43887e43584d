"""The Open Inference Protocol, version 2, for clients of Triton, KServe and others; with binary tensors."""

import json
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from mnist_digits import __version__
from mnist_digits.recognition import Classifier
from mnist_digits.serving.api.images import SMALL_BYTES, judge_images
from mnist_digits.serving.api.openapi import ERRORS, JSON, Error, PlainRoute, binary_body, body, json_body
from mnist_digits.serving.api.tensors import BINARY_HEADER, InferRequest, OutputTensor, read_request, write_response
from mnist_digits.serving.metrics import Metrics
from mnist_digits.serving.workers import BatchQueue, Workers

MODEL = "digits"
VERSION = "1"


class TensorDescription(BaseModel):
    """A tensor that the model takes or gives; -1 is any size."""

    name: str
    datatype: str
    shape: list[int]


class ServerDescription(BaseModel):
    """What serves."""

    name: str
    version: str
    extensions: list[str]


class ModelDescription(BaseModel):
    """What the model takes and gives."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorDescription]
    outputs: list[TensorDescription]


class Live(BaseModel):
    """That the service runs."""

    live: bool


class Ready(BaseModel):
    """That it answers."""

    ready: bool


class ModelReady(BaseModel):
    """That the model is loaded."""

    name: str
    ready: bool


class InferResponse(BaseModel):
    """What the model gave."""

    model_name: str
    model_version: str
    id: str | None = Field(None, description="The request's, where it had one.")
    outputs: list[OutputTensor]


def add_routes(
    routes: APIRouter, classifier: Classifier, queue: BatchQueue, workers: Workers, metrics: Metrics
) -> None:
    """Add the protocol's routes."""
    _add_descriptions(routes, classifier.can_reject)

    async def infer(request: Request) -> Response:
        """Probabilities, and is_digit where the model has it, of images: UINT8 [n, 28, 28].

        Tensors are JSON, or bytes after the JSON, whose length the header Inference-Header-Content-Length then gives.
        """
        content, header = await request.body(), request.headers.get(BINARY_HEADER)
        arguments = content, header, _outputs(classifier.can_reject)
        wanted = read_request(*arguments) if len(content) <= SMALL_BYTES else await workers.do(read_request, *arguments)
        metrics.images.inc(len(wanted.images))

        def write(judgement: Any) -> tuple[bytes, int | None]:
            return write_response(wanted, judgement, {"model_name": MODEL, "model_version": VERSION})

        answer, json_length = await judge_images(wanted.images, classifier, queue, workers, write)
        if json_length is None:
            return Response(answer, media_type=JSON)
        return Response(answer, headers={BINARY_HEADER: str(json_length)}, media_type="application/octet-stream")

    routes.add_api_route(
        f"/v2/models/{MODEL}/infer",
        infer,
        methods=["POST"],
        route_class_override=PlainRoute,
        response_model=None,
        tags=["open inference protocol"],
        openapi_extra=body(json_body(InferRequest), binary_body("application/octet-stream")),
        responses={
            200: {
                "model": InferResponse,
                "content": binary_body("application/octet-stream"),
                "description": "JSON, or JSON and bytes where the request asks for binary tensors.",
            },
            **ERRORS,
        },
    )


def _add_descriptions(routes: APIRouter, declines: bool) -> None:
    """Add what is the same for every request."""
    images = {"name": "images", "datatype": "UINT8", "shape": [-1, 28, 28]}
    outputs = [{"name": name, "datatype": "FP32", "shape": shape} for name, shape in _outputs(declines).items()]
    described = {"name": MODEL, "versions": [VERSION], "platform": "onnxruntime_onnx", "inputs": [images]}
    answers: dict[str, tuple[dict[str, Any], type[BaseModel]]] = {
        "/v2": (
            {"name": "mnist-digits", "version": __version__, "extensions": ["binary_tensor_data"]},
            ServerDescription,
        ),
        "/v2/health/live": ({"live": True}, Live),
        "/v2/health/ready": ({"ready": True}, Ready),
        f"/v2/models/{MODEL}": ({**described, "outputs": outputs}, ModelDescription),
        f"/v2/models/{MODEL}/ready": ({"name": MODEL, "ready": True}, ModelReady),
    }
    for path, (content, model) in answers.items():
        routes.add_api_route(
            path,
            _always(json.dumps(content)),
            methods=["GET"],
            route_class_override=PlainRoute,
            response_model=None,
            name=path.strip("/").replace("/", " "),
            tags=["open inference protocol"],
            responses={200: {"model": model, "description": (model.__doc__ or "").strip()}, 401: {"model": Error}},
        )


def _always(content: str) -> Any:
    """A route's function that gives the same JSON each time."""

    async def answer(_: Request) -> Response:
        return Response(content, media_type=JSON)

    return answer


def _outputs(declines: bool) -> dict[str, list[int]]:
    """Name → shape of what the model gives."""
    return {"probabilities": [-1, 10], **({"is_digit": [-1]} if declines else {})}
