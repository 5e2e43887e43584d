"""Tensors of the Open Inference Protocol: JSON and the bytes after it ↔ arrays."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, FailFast, Field, TypeAdapter, ValidationError
from starlette.exceptions import HTTPException

from mnist_digits.recognition import Judgement
from mnist_digits.serving.api.images import PIXELS, SIDE, Pixel, first_mistake

BINARY_HEADER = "Inference-Header-Content-Length"
"""Where a body has bytes after its JSON: the length of the JSON."""

INPUT, DATATYPE = "images", "UINT8"

# Checking ends with the first mistake: there may be millions.
Flat = Annotated[list[Pixel], FailFast()]
Rows = Annotated[list[Flat], FailFast()]
DATA: dict[int, TypeAdapter[Any]] = {
    1: TypeAdapter(Flat),
    2: TypeAdapter(Rows),
    3: TypeAdapter(Annotated[list[Rows], FailFast()]),
}
"""How deep its lists are nested → what checks the data of a tensor: flat, a row for each image, or of its shape."""


class InputTensor(BaseModel):
    """What goes in."""

    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, Any] = Field(default_factory=dict)
    data: list[Any] | None = Field(None, description="Nested or flat; left out where the bytes follow the JSON.")


class RequestedOutput(BaseModel):
    """What is to come out."""

    name: str
    parameters: dict[str, Any] = Field(default_factory=dict)


class InferRequest(BaseModel):
    """A request: one input, and which outputs are wanted; all when none is named."""

    id: str | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    inputs: list[InputTensor] = Field(min_length=1, max_length=1)
    outputs: list[RequestedOutput] = Field(default_factory=list)


class OutputTensor(BaseModel):
    """What came out."""

    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, Any] | None = None
    data: list[float] | None = None


@dataclass(frozen=True)
class Wanted:
    """A request that has been understood."""

    id: str | None
    images: np.ndarray
    """uint8 (n, 28, 28)."""
    outputs: dict[str, bool]
    """Name of each output that is wanted → whether as bytes."""


def read_request(content: bytes, json_length: str | None, names: Iterable[str]) -> Wanted:
    """What a body asks for. json_length: the header; names: of the outputs that there are.

    Raises HTTPException 400 when it is damaged or asks for something else than there is.
    """
    head, tail = _split(content, json_length)
    try:
        request = InferRequest.model_validate_json(head)
    except ValidationError as error:
        raise wrong(f"{first_mistake(error)}, expected an inference request of protocol version 2") from None
    as_bytes = request.parameters.get("binary_data_output") is True
    wanted = {
        output.name: output.parameters.get("binary_data", as_bytes) is True for output in request.outputs
    } or dict.fromkeys(names, as_bytes)
    for name in wanted:
        if name not in names:
            raise wrong(f"output {name!r}, expected one of {', '.join(names)}")
    return Wanted(request.id, _images(request.inputs[0], tail), wanted)


def write_response(wanted: Wanted, judgement: Judgement, names: Mapping[str, str]) -> tuple[bytes, int | None]:
    """The answer, and the length of its JSON when bytes come after it. names: model_name and model_version."""
    arrays = {"probabilities": judgement.probabilities, "is_digit": judgement.is_digit}
    outputs, tail = [], b""
    for name, as_bytes in wanted.outputs.items():
        array = arrays[name]
        assert array is not None
        described: dict[str, Any] = {"name": name, "datatype": "FP32", "shape": list(array.shape)}
        if as_bytes:
            raw = array.astype("<f4").tobytes()
            described["parameters"] = {"binary_data_size": len(raw)}
            tail += raw
        else:
            described["data"] = array.ravel().tolist()
        outputs.append(described)
    head: dict[str, Any] = {**names, "outputs": outputs}
    if wanted.id is not None:
        head["id"] = wanted.id
    encoded = json.dumps(head).encode()
    return encoded + tail, len(encoded) if any(wanted.outputs.values()) else None


def _split(content: bytes, json_length: str | None) -> tuple[bytes, bytes]:
    """A body's JSON and what comes after it."""
    if json_length is None:
        return content, b""
    # A number of more digits is longer than any body.
    length = int(json_length[:20]) if json_length.isdecimal() and json_length.isascii() else -1
    if not 0 < length <= len(content):
        raise wrong(f"{BINARY_HEADER}: {json_length[:20]}, expected 1 to the {len(content):,} bytes of the body")
    return content[:length], content[length:]


def _images(tensor: InputTensor, tail: bytes) -> np.ndarray:
    """The input as uint8 (n, 28, 28)."""
    if (tensor.name, tensor.datatype) != (INPUT, DATATYPE):
        raise wrong(f"input {tensor.name!r} of {tensor.datatype}, expected {INPUT} of {DATATYPE}")
    shape = tensor.shape
    if len(shape) != 3 or shape[0] < 1 or shape[1:] != [SIDE, SIDE]:
        raise wrong(f"shape {shape[:8]}, expected [n, {SIDE}, {SIDE}] with n from 1")
    size = tensor.parameters.get("binary_data_size")
    if size is None and tensor.data is not None:
        values = _flat(tensor.data)
        if tail:
            raise wrong(f"{len(tail):,} bytes after the JSON, expected none beside data")
    elif tensor.data is None and type(size) is int and size == len(tail):
        values = np.frombuffer(tail, np.uint8)
    else:
        raise wrong(f"binary_data_size {size} and {len(tail):,} bytes, expected as many, or data instead of both")
    if values.size != shape[0] * PIXELS:
        raise wrong(f"{values.size:,} values, expected {shape[0]} × {PIXELS}, as its shape says")
    return values.reshape(shape)


def _flat(data: list[Any]) -> np.ndarray:
    """Nested or flat lists of integers from 0 to 255 as uint8 (n,)."""
    depth, first = 1, data[0] if data else None
    while isinstance(first, list) and depth < max(DATA):
        depth, first = depth + 1, first[0] if first else None
    try:
        return np.array(DATA[depth].validate_python(data), np.uint8).ravel()
    except ValidationError as error:
        raise wrong(
            f"data.{first_mistake(error)}, expected integers from 0 to 255, nested as shape says or flat"
        ) from None
    except ValueError:
        raise wrong("data of uneven rows, expected the shape that is given, or flat") from None


def wrong(found: str) -> HTTPException:
    """400."""
    return HTTPException(400, found)
