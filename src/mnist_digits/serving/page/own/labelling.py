"""`/v1/label`, for the page of `digits label`: the pictures of a folder, and what people say of their digits."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from mnist_digits.dataset.labelling.journal import Word
from mnist_digits.errors import DataError
from mnist_digits.recognition.preprocessing.image_io import MAX_PICTURE_SIDE_PX
from mnist_digits.serving.page.own.desk import Desk, Piece, Turn
from mnist_digits.serving.workers import Workers

POLL_SECONDS, MOST_SECONDS = 0.05, 5.0
"""Seconds between two looks whether another picture has been read, and until the page has to ask again."""

MOST_BESIDES = 10_000
"""Length of the list of the pictures that are not asked for."""

Place = Annotated[int, Field(ge=0, le=MAX_PICTURE_SIDE_PX)]
Length = Annotated[int, Field(ge=1, le=MAX_PICTURE_SIDE_PX)]
Box = tuple[Place, Place, Length, Length]
Digit = Annotated[int, Field(ge=0, le=9, strict=True)]


class DrawnBox(BaseModel):
    """A box that somebody has drawn: x, y, width, height in pixels."""

    model_config = ConfigDict(extra="forbid")

    box: Box


class Said(BaseModel):
    """What somebody says of a digit. label: None takes back what was said before."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    box: Box | None
    label: Digit | Word | None
    digit: Digit | None = None
    confidence: float = Field(0.0, ge=0.0, le=1.0)


def router(desk: Desk, workers: Workers) -> APIRouter:
    """Routes below `/v1/label`, for the page only.

    `GET /state`: the `folder` as a shell takes it, its `pictures`, how many of them have been `read`, the `digits`
    found so far, how many are `labelled` or `skipped`, and a line for each of the `unreadable`. `GET /next`: the
    picture with the most doubtful open digit, as `picture` with its `digits`, None when there is none, and the `state`
    as before; `?turn=skipped` or `done` for others, `besides=3,5` to leave some out. While pictures are being read it
    waits for MOST_SECONDS. `GET /pictures/{number}`: the picture itself. `POST /pictures/{number}/boxes`, with
    DrawnBox: what the classifier says of it. `POST /pictures/{number}/answers`, with Said: keeps it, and gives the
    state; 507 when it cannot be kept.
    """

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        desk.start()
        yield
        desk.close()

    routes = APIRouter(prefix="/v1/label", include_in_schema=False, lifespan=lifespan)

    @routes.get("/state")
    async def state() -> dict[str, Any]:
        return await workers.do(desk.state)

    @routes.get("/next")
    async def following(
        turn: Turn = "open", besides: Annotated[str, Query(max_length=8 * MOST_BESIDES)] = ""
    ) -> dict[str, Any]:
        numbers = {int(part) for part in besides.split(",") if part.isdecimal() and len(part) < 10}
        end = time.monotonic() + MOST_SECONDS
        while True:
            # Whether all are read is asked first: the last one may be read between the two questions.
            all_read = desk.all_read
            sheet = await workers.do(desk.next, numbers, turn)
            if sheet or all_read or turn == "done" or time.monotonic() > end:
                return {"picture": sheet and sheet.to_json(), "state": await workers.do(desk.state)}
            await asyncio.sleep(POLL_SECONDS)

    @routes.get("/pictures/{number}")
    async def picture(number: int) -> Response:
        content, kind = await workers.do(desk.picture, number)
        return Response(content, media_type=kind)

    @routes.post("/pictures/{number}/boxes")
    async def read_box(number: int, drawn: DrawnBox) -> dict[str, Any]:
        piece = await workers.do(desk.read_box, number, drawn.box)
        return {"box": piece.box, "digit": piece.read, "confidence": piece.confidence, "label": None}

    @routes.post("/pictures/{number}/answers")
    async def answer(number: int, said: Said) -> dict[str, Any]:
        piece = Piece(said.box, said.digit, said.confidence, said.label)
        try:
            await workers.do(desk.answer, number, piece)
        except DataError as error:
            raise HTTPException(507, str(error)) from None
        return await workers.do(desk.state)

    return routes
