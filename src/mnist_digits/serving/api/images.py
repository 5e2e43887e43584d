"""`/v1/classify`: images that are 28×28 already, many in one request."""

import json
from collections.abc import Callable
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Request, Response
from numpy.typing import NDArray
from pydantic import BaseModel, FailFast, Field, ValidationError
from starlette.exceptions import HTTPException

from mnist_digits.recognition import Judgement
from mnist_digits.recognition.results import IMAGE_SIDE_PX
from mnist_digits.serving.api.openapi import BYTES, ERRORS, JSON, binary_body, body, example, json_body
from mnist_digits.serving.metrics import Metrics
from mnist_digits.serving.workers import MAX_SHARED_IMAGES, BatchQueue, Result, Workers

IMAGE_PIXELS = IMAGE_SIDE_PX**2

MIN_FLOAT_PIXEL = 1e-6
"""A pixel as float is 0 or larger than this."""

# Validation stops at the first error: there may be millions.
Pixel = Annotated[int, Field(strict=True, ge=0, le=255)]
Row = Annotated[list[Pixel], Field(min_length=IMAGE_SIDE_PX, max_length=IMAGE_SIDE_PX), FailFast()]
Image = Annotated[list[Row], Field(min_length=IMAGE_SIDE_PX, max_length=IMAGE_SIDE_PX), FailFast()]


class ImagesRequest(BaseModel):
    """Images in MNIST's format: ink 255 on paper 0, the digit in a box of 20 pixels, centred by its centre of mass."""

    images: Annotated[list[Image], Field(min_length=1), FailFast()]


class ImageResult(BaseModel):
    """The digit in one image."""

    digit: int | None = Field(ge=0, le=9, description="Null when the image shows no digit.")
    probabilities: list[float] = Field(min_length=10, max_length=10)
    is_digit: float | None = Field(
        None, ge=0, le=1, description="Probability that the image shows a digit; left out if the model cannot reject."
    )


class ImagesResult(BaseModel):
    """A result for each image, in the order of the request."""

    model_config = example(
        "ImagesResult",
        {
            "predictions": [
                {"digit": 1, "probabilities": [0.0, 0.97, 0.01, 0.0, 0.01, 0, 0, 0.01, 0, 0], "is_digit": 0.99}
            ]
        },
    )

    predictions: list[ImageResult]


def add_routes(routes: APIRouter, queue: BatchQueue, workers: Workers, metrics: Metrics) -> None:
    """Add the route."""

    @routes.post(
        "/v1/classify",
        tags=["images"],
        openapi_extra=body(json_body(ImagesRequest), binary_body(BYTES)),
        responses={200: {"model": ImagesResult, "description": "A result for each image."}, **ERRORS},
    )
    async def classify(request: Request) -> Response:
        """The digit in each image, and the probability of each of the ten digits.

        A body with content-type application/json is `{"images": [[[…]]]}`, integers from 0 to 255; any other body is
        n × 784 bytes.
        """
        is_json = request.headers.get("content-type", "").startswith(JSON)
        images = await workers.parse(parse_json if is_json else parse_bytes, await request.body())
        metrics.images.inc(len(images))
        return Response(await judge_images(images, queue, workers, as_json), media_type=JSON)


async def judge_images(
    images: NDArray[np.uint8], queue: BatchQueue, workers: Workers, encode: Callable[[Judgement], Result]
) -> Result:
    """`encode(judgement)` for images, uint8 (n, 28, 28): few are batched with others', many are a job of their own."""
    if len(images) <= MAX_SHARED_IMAGES:
        return encode(await queue.judge(images))
    return await workers.do(lambda: encode(queue.classifier.judge(images)))


def parse_bytes(content: bytes) -> NDArray[np.uint8]:
    """Images, uint8 (n, 28, 28), n at least 1, from n × 784 bytes. Raises HTTPException 400 for any other number."""
    if not content or len(content) % IMAGE_PIXELS:
        raise HTTPException(
            400,
            f"{len(content):,} bytes, expected {IMAGE_PIXELS} for each image: {IMAGE_SIDE_PX} × {IMAGE_SIDE_PX} of "
            "uint8, or JSON with content-type application/json",
        )
    for kind in ("<f8", "<f4"):
        if _are_floats(content, kind):
            count, bits = len(content) // np.dtype(kind).itemsize // IMAGE_PIXELS, 8 * np.dtype(kind).itemsize
            raise HTTPException(400, f"{count} images of float{bits}, expected uint8; scale to 0…255 and convert them")
    return np.frombuffer(content, np.uint8).reshape(-1, IMAGE_SIDE_PX, IMAGE_SIDE_PX)


def _are_floats(content: bytes, kind: str) -> bool:
    """Whether bytes are pixels as floats of this dtype: as uint8, ever so many in a row would be odd.

    Of floats from 0 to 255, none but 0 is as small as those that other bytes almost surely make.
    """
    if len(content) % (np.dtype(kind).itemsize * IMAGE_PIXELS):
        return False
    values = np.frombuffer(content, kind)
    with np.errstate(invalid="ignore"):
        pixels = (values == 0) | ((values > MIN_FLOAT_PIXEL) & (values <= 255))
    return bool(pixels.all() and values.any())


def parse_json(content: bytes) -> NDArray[np.uint8]:
    """Images, uint8 (n, 28, 28), from the JSON of an ImagesRequest. Raises HTTPException 400 for anything else."""
    try:
        request = ImagesRequest.model_validate_json(content)
    except ValidationError as error:
        expected = f"{{'images': n × {IMAGE_SIDE_PX} × {IMAGE_SIDE_PX} integers}}"
        raise HTTPException(400, f"{first_error(error)}; expected {expected}") from None
    return np.array(request.images, np.uint8)


def first_error(error: ValidationError) -> str:
    """Place and message of the first error, in one line."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'body'}: {first['msg']}"


def as_json(judgement: Judgement) -> str:
    """The JSON of an ImagesResult."""
    return json.dumps({"predictions": judgement.to_json()})
