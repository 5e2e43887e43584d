"""`/v1/collect`, for the page of `digits serve --collect`: corrected drawings, kept in the form of `digits label`."""

import base64
import binascii
import os
import threading
import uuid
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from mnist_digits.dataset.labelling import Answer, Journal, is_digit
from mnist_digits.dataset.labelling.journal import Word
from mnist_digits.errors import DataError
from mnist_digits.files import atomic_write
from mnist_digits.recognition import read_picture
from mnist_digits.recognition.visualise import as_png
from mnist_digits.serving.pictures import need_light
from mnist_digits.serving.settings import Settings
from mnist_digits.serving.workers import Workers

PICTURES = "collected"
"""Name of the folder of the drawings, in the one that is named with --collect."""

Digit = Annotated[int, Field(ge=0, le=9, strict=True)]


class Correction(BaseModel):
    """A drawing, and what it is."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    label: Digit | Word | None
    """None takes back what was said before, and the drawing is removed."""
    image: str | None = None
    """A picture file in base64; None for one that is kept already."""
    name: str | None = Field(None, pattern="^[0-9a-f]{32}$")
    """Of a drawing that is kept already, as it was given."""
    digit: Digit | None = None
    confidence: float = Field(0.0, ge=0.0, le=1.0)


class Collection:
    """The folder in which corrected drawings are kept. Several processes may have the same one."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        """Raises DataError when the folder cannot be written, or its labels cannot be read."""
        self.folder = folder
        self._most, self._most_bytes = settings.most_collected, settings.most_collected_bytes
        self._journal, self._lock = Journal(folder), threading.Lock()
        try:
            (folder / PICTURES).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"{folder}: {error.strerror}; expected a folder that can be written") from None
        self._journal.standing()

    def state(self) -> dict[str, Any]:
        """The `drawings` that are kept, how many are labelled with a `digit`, and how many may be kept, `most`."""
        with self._lock:
            digits = sum(is_digit(one.label) for one in self._journal.standing())
        return {"drawings": self._size()[0], "digits": digits, "most": self._most}

    def keep(self, said: Correction) -> str:
        """Keep what somebody says; returns the drawing's name. Raises HTTPException when there is no room for it."""
        if said.name is None:
            return self._add(said)
        path = self._path(said.name)
        if not path.is_file():
            raise HTTPException(404, "a drawing that is not kept; draw it again")
        self._write(said.name, said)
        if said.label is None:
            path.unlink(missing_ok=True)
        return said.name

    def _add(self, said: Correction) -> str:
        # What is kept is made of its pixels alone: a file may have more in it than a picture.
        content = as_png(read_picture(need_light(_decoded(said.image))))
        name = uuid.uuid4().hex
        path = self._path(name)
        try:
            with atomic_write(path) as temporary:
                temporary.write_bytes(content)
            self._write(name, said, self._refuse_if_full)
        except BaseException as error:
            path.unlink(missing_ok=True)
            if isinstance(error, DataError):
                raise HTTPException(507, str(error)) from None
            raise
        return name

    def _write(self, name: str, said: Correction, allow: Any = None) -> None:
        answer = Answer(f"{PICTURES}/{name}.png", 1, None, said.label, said.digit, round(said.confidence, 6))
        with self._lock:
            self._journal.add(answer, allow)

    def _refuse_if_full(self, _: list[Answer]) -> None:
        """Called while no other process adds: the new drawing is among those that are counted."""
        count, size = self._size()
        if count > self._most or size > self._most_bytes:
            raise HTTPException(
                507,
                f"{self._most:,} drawings or {self._most_bytes / 1e6:.0f} MB are kept already, expected fewer; whoever "
                "runs this service can teach with them, and move them away",
            )

    def _size(self) -> tuple[int, int]:
        """Number and bytes of the drawings."""
        with os.scandir(self.folder / PICTURES) as entries:
            sizes = [entry.stat().st_size for entry in entries if entry.name.endswith(".png") and entry.name[0] != "."]
        return len(sizes), sum(sizes)

    def _path(self, name: str) -> Path:
        return self.folder / PICTURES / f"{name}.png"


def _decoded(image: str | None) -> bytes:
    try:
        return base64.b64decode((image or "").encode(), validate=True)
    except (binascii.Error, ValueError):
        raise HTTPException(400, "no base64, expected a picture file in it") from None


def router(collection: Collection, workers: Workers) -> APIRouter:
    """Routes below `/v1/collect`, for the page only.

    `GET /state`: see `Collection.state`. `POST /drawings`, with Correction: keeps a drawing and its label, and gives
    its `name`, with which it can be corrected again or taken back, and the `state`; 507 with a reason when it is not
    kept.
    """
    routes = APIRouter(prefix="/v1/collect", include_in_schema=False)

    @routes.get("/state")
    async def state() -> dict[str, Any]:
        return await workers.do(collection.state)

    @routes.post("/drawings")
    async def keep(said: Correction) -> dict[str, Any]:
        name = await workers.do(collection.keep, said)
        return {"name": name, "state": await workers.do(collection.state)}

    return routes
