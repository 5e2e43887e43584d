"""`/v1/predict` and `/v1/read`: what the commands of these names do, over HTTP."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field
from python_multipart import FormParser, multipart
from python_multipart.exceptions import FormParserError
from starlette.exceptions import HTTPException

from mnist_digits.errors import DataError
from mnist_digits.recognition import Page, Prediction, Reader
from mnist_digits.recognition.results import PageReason, PredictionReason
from mnist_digits.serving.api.openapi import ERRORS, JSON, Error, PlainRoute, binary_body, body
from mnist_digits.serving.metrics import Metrics
from mnist_digits.serving.settings import Settings
from mnist_digits.serving.workers import Workers, in_time

Read = Callable[[bytes], Prediction | Page]

FIELD = "file"
"""Of a form, the field in which its pictures are."""

MOST_FIELDS = 32
"""Other fields of a form; none of them is read."""


# What is wrong with a form is told to who sent it.
logging.getLogger("python_multipart").setLevel(logging.CRITICAL)

SMALL_BYTES = 65_536
"""A body up to so many bytes is taken apart at once: handing it to a thread would take longer."""

FORM = {
    "type": "object",
    "required": [FIELD],
    "properties": {FIELD: {"type": "array", "items": {"type": "string", "format": "binary"}, "minItems": 1}},
}
MIN_CONFIDENCE = {
    "name": "min_confidence",
    "in": "query",
    "description": "What is less sure is not a digit.",
    "schema": {"type": "number", "minimum": 0, "maximum": 1, "default": 0},
}
BODY = body(
    {"multipart/form-data": {"schema": FORM}}, binary_body("application/octet-stream", "image/png", "image/jpeg")
)


class PredictionResult(BaseModel):
    """What one picture shows."""

    file: str | None = Field(description="The upload's name; null when the picture was the whole body.")
    digit: int | None = Field(ge=0, le=9, description="Null when there is a reason.")
    confidence: float = Field(ge=0, le=1)
    probabilities: list[float] = Field(min_length=10, max_length=10)
    reason: PredictionReason | None


class DigitResult(BaseModel):
    """One digit of a page."""

    digit: int = Field(ge=0, le=9)
    confidence: float = Field(ge=0, le=1)
    box: list[int] = Field(min_length=4, max_length=4, description="x, y, width, height in pixels as displayed.")


class LineResult(BaseModel):
    """One row of a page."""

    text: str
    digits: list[DigitResult]


class PageResult(BaseModel):
    """What one page says in digits."""

    file: str | None = Field(description="The upload's name; null when the picture was the whole body.")
    lines: list[LineResult]
    reason: PageReason | None


@dataclass(frozen=True)
class Upload:
    """One picture as it was sent."""

    name: str | None
    """What its sender calls it; None when the picture is the whole body."""
    content: bytes


def add_routes(routes: APIRouter, reader: Reader, workers: Workers, settings: Settings, metrics: Metrics) -> None:
    """Add both routes."""

    async def answer(request: Request, read: Read, unreadable: Prediction | Page) -> Response:
        content_type = request.headers.get("content-type", "")
        uploads = await _uploads(content_type, await request.body(), settings.most_files, workers)

        async def read_all() -> list[dict[str, Any]]:
            return [await workers.do(_read_one, read, unreadable, upload, len(uploads)) for upload in uploads]

        results = await in_time(read_all(), settings.answer_seconds)
        for result in results:
            metrics.pictures.labels(request.url.path, result["reason"] or "none").inc()
        # As the command prints them: one picture is an object, several are a list of them.
        return Response(json.dumps(results if len(results) > 1 else results[0]), media_type=JSON)

    async def predict(request: Request) -> Response:
        """The digit in each picture, or the reason why there is none, as `digits predict --json` prints it."""
        read = partial(reader.classifier.classify, min_confidence=_min_confidence(request))
        return await answer(request, read, Prediction.unreadable())

    async def read(request: Request) -> Response:
        """The numbers on each page, row by row, as `digits read --json` prints them."""
        return await answer(request, reader.read, Page.unreadable())

    for path, endpoint, model, parameters in (
        ("/v1/predict", predict, PredictionResult | list[PredictionResult], [MIN_CONFIDENCE]),
        ("/v1/read", read, PageResult | list[PageResult], []),
    ):
        routes.add_api_route(
            path,
            endpoint,
            methods=["POST"],
            route_class_override=PlainRoute,
            response_model=None,
            tags=["pictures"],
            openapi_extra={**BODY, "parameters": parameters},
            responses={
                200: {"model": model, "description": "An object; a list of them for several files."},
                **ERRORS,
                422: {"model": Error, "description": "Not a picture, or a damaged or too large one."},
            },
        )


async def _uploads(content_type: str, body: bytes, most_files: int, workers: Workers) -> list[Upload]:
    """The pictures in a body; a form is taken apart in a thread, for that may take a while."""
    if len(body) < SMALL_BYTES:
        return find_uploads(content_type, body, most_files)
    return await workers.do(find_uploads, content_type, body, most_files)


def _read_one(read: Read, unreadable: Prediction | Page, upload: Upload, count: int) -> dict[str, Any]:
    """What there is to say of one of so many pictures. Raises DataError when it is the only one and unreadable."""
    try:
        result = read(upload.content)
    except DataError:
        # One that cannot be read does not keep the others from being read.
        if count == 1:
            raise
        result = unreadable
    return {"file": upload.name, **result.to_json()}


def _min_confidence(request: Request) -> float:
    text = request.query_params.get("min_confidence", "0")
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise HTTPException(400, f"min_confidence={text!r}, expected a number from 0 to 1")
    return value


def find_uploads(content_type: str, body: bytes, most_files: int) -> list[Upload]:
    """The pictures in a form, in their order; of any other body the one that it is.

    Raises HTTPException 400 when the form is damaged, holds no file in the field `file`, or more than `most_files`.
    """
    kind, options = multipart.parse_options_header(content_type)
    if kind != b"multipart/form-data":
        return [Upload(None, body)]
    files = [
        Upload((file.file_name or b"").decode(errors="replace"), _content(file))
        for file in _parse(options.get(b"boundary"), body, most_files)
        if file.field_name == FIELD.encode()
    ]
    if not files:
        raise HTTPException(400, f"a form without files in the field {FIELD}, expected one to {most_files}")
    return files


def _parse(boundary: bytes | None, body: bytes, most_files: int) -> list[multipart.File]:
    files: list[multipart.File] = []
    fields = 0

    def on_file(file: multipart.File) -> None:
        files.append(file)
        if len(files) > most_files:
            raise FormParserError(f"more than {most_files} files")

    def on_field(_: multipart.Field) -> None:
        nonlocal fields
        fields += 1
        if fields > MOST_FIELDS:
            raise FormParserError(f"more than {MOST_FIELDS} other fields")

    try:
        if not boundary:
            raise FormParserError("no boundary in its content-type")
        # Nothing is written to disk: the body is in memory already.
        config = {"MAX_MEMORY_FILE_SIZE": len(body) + 1}
        parser = FormParser("multipart/form-data", on_field, on_file, boundary=boundary, config=config)
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise HTTPException(400, f"a damaged form ({error}), expected multipart/form-data; send it again") from None
    return files


def _content(file: multipart.File) -> bytes:
    file.file_object.seek(0)
    return file.file_object.read()
