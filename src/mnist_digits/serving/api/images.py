"""`/v1/classify`: images that are 28×28 already, many in one request."""

import json
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, FailFast, Field, ValidationError
from starlette.exceptions import HTTPException

from mnist_digits.recognition import Classifier, Judgement
from mnist_digits.serving.api.openapi import ERRORS, JSON, PlainRoute, binary_body, body, json_body
from mnist_digits.serving.metrics import Metrics
from mnist_digits.serving.workers import MAX_SHARED_IMAGES, BatchQueue, Workers

SIDE = 28
PIXELS = SIDE * SIDE

SMALL_BYTES = 65_536
"""A body up to so many bytes is taken apart at once: handing it to a thread would take longer."""

# Checking ends with the first mistake: there may be millions.
Pixel = Annotated[int, Field(strict=True, ge=0, le=255)]
Row = Annotated[list[Pixel], Field(min_length=SIDE, max_length=SIDE), FailFast()]
Image = Annotated[list[Row], Field(min_length=SIDE, max_length=SIDE), FailFast()]


class ImagesRequest(BaseModel):
    """Images as MNIST's are: ink 255 on paper 0, the digit centred by its mass in a box of 20 pixels."""

    images: Annotated[list[Image], Field(min_length=1), FailFast()]


class ImageResult(BaseModel):
    """What one image shows."""

    digit: int | None = Field(ge=0, le=9, description="Null when the image is taken for none.")
    probabilities: list[float] = Field(min_length=10, max_length=10)
    is_digit: float | None = Field(None, ge=0, le=1, description="Left out where the model cannot tell.")


class ImagesResult(BaseModel):
    """A result for each image, in their order."""

    predictions: list[ImageResult]


def add_routes(
    routes: APIRouter, classifier: Classifier, queue: BatchQueue, workers: Workers, metrics: Metrics
) -> None:
    """Add the route."""

    async def classify(request: Request) -> Response:
        """The digit in each image, and how likely it is each of the ten.

        A body of type application/json holds `{"images": [[[…]]]}`, integers from 0 to 255; any other is taken for
        n × 784 bytes.
        """
        content = await request.body()
        parse = parse_json if request.headers.get("content-type", "").startswith(JSON) else parse_bytes
        images = parse(content) if len(content) <= SMALL_BYTES else await workers.do(parse, content)
        metrics.images.inc(len(images))
        return Response(await judge_images(images, classifier, queue, workers, as_json), media_type=JSON)

    routes.add_api_route(
        "/v1/classify",
        classify,
        methods=["POST"],
        route_class_override=PlainRoute,
        response_model=None,
        tags=["images"],
        openapi_extra=body(json_body(ImagesRequest), binary_body("application/octet-stream")),
        responses={200: {"model": ImagesResult, "description": "A result for each image."}, **ERRORS},
    )


async def judge_images(
    images: np.ndarray, classifier: Classifier, queue: BatchQueue, workers: Workers, write: Any
) -> Any:
    """What `write` makes of the judgement of images, uint8 (n, 28, 28): of few at once, of many in a thread."""
    if len(images) <= MAX_SHARED_IMAGES:
        return write(await queue.judge(images))
    return await workers.do(lambda: write(classifier.judge(images)))


def parse_bytes(content: bytes) -> np.ndarray:
    """Images, uint8 (n, 28, 28), of their bytes. Raises HTTPException 400 when they are not n × 784, n from 1."""
    if not content or len(content) % PIXELS:
        raise HTTPException(
            400,
            f"{len(content):,} bytes, expected {PIXELS} for each image: {SIDE} × {SIDE} of uint8, or JSON "
            "with content-type application/json",
        )
    return np.frombuffer(content, np.uint8).reshape(-1, SIDE, SIDE)


def parse_json(content: bytes) -> np.ndarray:
    """The same of `{"images": [[[…]]]}`. Raises HTTPException 400 when it is anything else."""
    try:
        request = ImagesRequest.model_validate_json(content)
    except ValidationError as error:
        raise HTTPException(
            400, f"{first_mistake(error)}; expected {{'images': n × {SIDE} × {SIDE} integers}}"
        ) from None
    return np.array(request.images, np.uint8)


def first_mistake(error: ValidationError) -> str:
    """Where what was sent is first not as it should be, in one line."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'body'}: {first['msg']}"


def as_json(judgement: Judgement) -> str:
    """A result for each image, as JSON."""
    return json.dumps({"predictions": judgement.to_json()})
