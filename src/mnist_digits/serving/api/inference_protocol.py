"""The Open Inference Protocol, version 2, with binary tensors: for clients of Triton, KServe and others."""

import json
from collections.abc import Awaitable, Callable
from enum import Enum

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from mnist_digits import __version__
from mnist_digits.recognition import Judgement
from mnist_digits.recognition.results import IMAGE_SIDE_PX
from mnist_digits.serving.api.images import judge_images
from mnist_digits.serving.api.openapi import BYTES, ERRORS, JSON, Error, binary_body, body, json_body
from mnist_digits.serving.api.tensors import (
    BINARY_HEADER,
    INPUT,
    InferRequest,
    OutputTensor,
    encode_response,
    parse_request,
)
from mnist_digits.serving.metrics import Metrics
from mnist_digits.serving.workers import BatchQueue, Workers

MODEL, MODEL_VERSION = "digits", "1"
TAGS: list[str | Enum] = ["open inference protocol"]


class TensorDescription(BaseModel):
    """An input or output of the model; -1 in its shape is any size."""

    name: str
    datatype: str
    shape: list[int]


class ServerDescription(BaseModel):
    """The server."""

    name: str
    version: str
    extensions: list[str]


class ModelDescription(BaseModel):
    """Inputs and outputs of the model."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorDescription]
    outputs: list[TensorDescription]


class Live(BaseModel):
    """Whether the service runs."""

    live: bool


class Ready(BaseModel):
    """Whether the service answers."""

    ready: bool


class ModelReady(BaseModel):
    """Whether the model is loaded."""

    name: str
    ready: bool


class InferResponse(BaseModel):
    """Outputs of the model."""

    model_name: str
    model_version: str
    id: str | None = Field(None, description="That of the request, if it had one.")
    outputs: list[OutputTensor]


def add_routes(routes: APIRouter, queue: BatchQueue, workers: Workers, metrics: Metrics) -> None:
    """Add the protocol's routes."""
    shapes = {"probabilities": [-1, 10]} | ({"is_digit": [-1]} if queue.classifier.can_reject else {})
    _add_descriptions(routes, shapes)

    @routes.post(
        f"/v2/models/{MODEL}/infer",
        tags=TAGS,
        openapi_extra=body(json_body(InferRequest), binary_body(BYTES)),
        responses={
            200: {
                "model": InferResponse,
                "content": binary_body(BYTES),
                "description": "JSON; followed by bytes if the request asks for binary tensors.",
            },
            **ERRORS,
        },
    )
    async def infer(request: Request) -> Response:
        """Probabilities and, if the model has this output, is_digit of images: UINT8 [n, 28, 28].

        Tensors are JSON, or bytes after the JSON, whose length is then in the header Inference-Header-Content-Length.
        """
        header = request.headers.get(BINARY_HEADER)
        inference = await workers.parse(parse_request, await request.body(), header, list(shapes))
        metrics.images.inc(len(inference.images))

        def encode(judgement: Judgement) -> tuple[bytes, int | None]:
            return encode_response(inference, judgement, {"model_name": MODEL, "model_version": MODEL_VERSION})

        content, json_length = await judge_images(inference.images, queue, workers, encode)
        if json_length is None:
            return Response(content, media_type=JSON)
        return Response(content, headers={BINARY_HEADER: str(json_length)}, media_type=BYTES)


def _add_descriptions(routes: APIRouter, output_shapes: dict[str, list[int]]) -> None:
    """Add the routes whose response never changes."""
    image = TensorDescription(name=INPUT, datatype="UINT8", shape=[-1, IMAGE_SIDE_PX, IMAGE_SIDE_PX])
    outputs = [TensorDescription(name=name, datatype="FP32", shape=shape) for name, shape in output_shapes.items()]
    for path, description in {
        "/v2": ServerDescription(name="mnist-digits", version=__version__, extensions=["binary_tensor_data"]),
        "/v2/health/live": Live(live=True),
        "/v2/health/ready": Ready(ready=True),
        f"/v2/models/{MODEL}": ModelDescription(
            name=MODEL, versions=[MODEL_VERSION], platform="onnxruntime_onnx", inputs=[image], outputs=outputs
        ),
        f"/v2/models/{MODEL}/ready": ModelReady(name=MODEL, ready=True),
    }.items():
        model = type(description)
        routes.add_api_route(
            path,
            _respond_with(description),
            methods=["GET"],
            response_model=None,
            name=path.strip("/").replace("/", " "),
            tags=TAGS,
            responses={200: {"model": model, "description": (model.__doc__ or "").strip()}, 401: {"model": Error}},
        )


def _respond_with(description: BaseModel) -> Callable[[Request], Awaitable[Response]]:
    content = json.dumps(description.model_dump())

    async def respond(_: Request) -> Response:
        return Response(content, media_type=JSON)

    return respond
