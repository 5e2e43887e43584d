"""`/v1/predict` and `/v1/read`: the commands of these names over HTTP."""

import json
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from mnist_digits.errors import DataError, printable
from mnist_digits.recognition import Page, Prediction
from mnist_digits.recognition.results import PageReason, PredictionReason
from mnist_digits.serving.api.openapi import BYTES, ERRORS, JSON, Error, binary_body, body, example, json_body
from mnist_digits.serving.api.uploads import FILES_FIELD, FORM, Upload, find_uploads
from mnist_digits.serving.metrics import Metrics
from mnist_digits.serving.pictures import Pictures
from mnist_digits.serving.settings import Settings
from mnist_digits.serving.workers import Workers, in_time

FORM_SCHEMA = {
    "type": "object",
    "required": [FILES_FIELD],
    "properties": {FILES_FIELD: {"type": "array", "items": {"type": "string", "format": "binary"}, "minItems": 1}},
}
MIN_CONFIDENCE = {
    "name": "min_confidence",
    "in": "query",
    "description": "A picture with a lower confidence is not-a-digit.",
    "schema": {"type": "number", "minimum": 0, "maximum": 1, "default": 0},
}


class PicturesRequest(BaseModel):
    """One picture as text, or several: a data URL, as `canvas.toDataURL()` gives it, or a file in base64."""

    image: str | None = Field(None, description="Instead of `images`.", examples=["data:image/png;base64,iVBORw0KGgo…"])
    images: list[str] | None = Field(None, min_length=1, description="Instead of `image`.")


BODY = body({FORM: {"schema": FORM_SCHEMA}}, binary_body(BYTES, "image/png", "image/jpeg"), json_body(PicturesRequest))


class PredictionResult(BaseModel):
    """The digit in one picture."""

    model_config = example(
        "PredictionResult",
        {
            "file": "seven.png",
            "digit": 7,
            "confidence": 0.98,
            "probabilities": [0.0, 0.01, 0.0, 0.0, 0.0, 0.0, 0.0, 0.99, 0.0, 0.0],
            "reason": None,
        },
    )

    file: str | None = Field(description="The upload's file name; null when the picture was the whole body.")
    digit: int | None = Field(ge=0, le=9, description="Null when there is a reason.")
    confidence: float = Field(ge=0, le=1)
    probabilities: list[float] = Field(min_length=10, max_length=10)
    reason: PredictionReason | None


class DigitResult(BaseModel):
    """One digit on a page."""

    digit: int = Field(ge=0, le=9)
    confidence: float = Field(ge=0, le=1)
    box: list[int] = Field(min_length=4, max_length=4, description="x, y, width, height in pixels as displayed.")


class LineResult(BaseModel):
    """The numbers in one text line."""

    text: str
    digits: list[DigitResult]
    other: list[list[int]] = Field(description="Boxes of marks between digits that were not read, such as signs.")


class PageResult(BaseModel):
    """The numbers on one page."""

    model_config = example(
        "PageResult",
        {
            "file": "note.jpg",
            "page": 1,
            "lines": [
                {"text": "7", "digits": [{"digit": 7, "confidence": 0.98, "box": [40, 52, 18, 30]}], "other": []},
            ],
            "reason": None,
            "doubtful": False,
            "left_out": 0.02,
        },
    )

    file: str | None = Field(description="The upload's file name; null when the picture was the whole body.")
    page: int = Field(ge=1, description="Its number in the file.")
    lines: list[LineResult]
    reason: PageReason | None
    doubtful: bool = Field(description="Whether much was left out, or little is sure.")
    left_out: float = Field(ge=0, le=1, description="Share of what looks like writing that is in no digit.")


def add_routes(routes: APIRouter, readings: Pictures, workers: Workers, settings: Settings, metrics: Metrics) -> None:
    """Add both routes."""

    async def respond(request: Request, job: str, unreadable: Prediction | Page, **options: Any) -> Response:
        content_type = request.headers.get("content-type", "")
        uploads = await workers.parse(find_uploads, await request.body(), content_type, settings.most_files)

        async def read_one(upload: Upload) -> list[dict[str, Any]]:
            try:
                result = await readings.do(job, upload.content, **options)
            except DataError as error:
                # An unreadable picture must not prevent the others from being read.
                if len(uploads) == 1:
                    name = printable(upload.name) if upload.name else "picture"
                    raise DataError(f"{name}: {str(error).removeprefix('picture: ')}") from None
                result = unreadable.to_json()
            return [{"file": upload.name, **one} for one in result.get("pages", [result])]

        async def read_all() -> list[dict[str, Any]]:
            return [result for upload in uploads for result in await read_one(upload)]

        results = await in_time(read_all(), settings.answer_seconds)
        for result in results:
            metrics.pictures.labels(request.url.path, result["reason"] or "none").inc()
        return Response(json.dumps(results if len(results) > 1 else results[0]), media_type=JSON)

    @routes.post("/v1/predict", **_description(PredictionResult | list[PredictionResult], MIN_CONFIDENCE))
    async def predict(request: Request) -> Response:
        """The digit in each picture, or the reason why there is none, as `digits predict --json` prints it."""
        return await respond(request, "predict", Prediction.unreadable(), min_confidence=_min_confidence(request))

    @routes.post("/v1/read", **_description(PageResult | list[PageResult]))
    async def read(request: Request) -> Response:
        """The numbers on each page, line by line, as `digits read --json` prints them; of a TIFF or PDF all pages."""
        return await respond(request, "read", Page.unreadable())


def _description(result: Any, *parameters: dict[str, Any]) -> dict[str, Any]:
    """What the description of a route says. result: type of the response; parameters: in OpenAPI's form."""
    return {
        "tags": ["pictures"],
        "openapi_extra": {**BODY, "parameters": list(parameters)},
        "responses": {
            200: {"model": result, "description": "An object for one picture or page, a list of them for several."},
            **ERRORS,
            500: {"model": Error, "description": "The process that read the picture died."},
            422: {"model": Error, "description": "The picture is damaged, too large, or none at all."},
        },
    }


def _min_confidence(request: Request) -> float:
    text = request.query_params.get("min_confidence", "0")
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise HTTPException(400, f"min_confidence={text!r}, expected a number from 0 to 1")
    return value
