"""Requests and responses of the Open Inference Protocol: JSON, with or without bytes after it, ↔ arrays."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, FailFast, Field, TypeAdapter, ValidationError
from starlette.exceptions import HTTPException

from mnist_digits.recognition import Judgement
from mnist_digits.recognition.results import IMAGE_SIDE_PX
from mnist_digits.serving.api.images import IMAGE_PIXELS, Pixel, first_error
from mnist_digits.serving.api.openapi import example

BINARY_HEADER = "Inference-Header-Content-Length"
"""Header with the length of the JSON, for a body that has bytes after it."""

INPUT, DATATYPE = "images", "UINT8"

# Validation stops at the first error: there may be millions.
Flat = Annotated[list[Pixel], FailFast()]
Rows = Annotated[list[Flat], FailFast()]
DATA: dict[int, TypeAdapter[Any]] = {
    1: TypeAdapter(Flat),
    2: TypeAdapter(Rows),
    3: TypeAdapter(Annotated[list[Rows], FailFast()]),
}
"""Depth of the nested lists in a tensor's data → their validator: flat, a list for each image, or as the shape."""


class InputTensor(BaseModel):
    """An input."""

    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, Any] = Field(default_factory=dict)
    data: list[Any] | None = Field(None, description="Nested or flat; left out when the bytes follow the JSON.")


class RequestedOutput(BaseModel):
    """An output that the response is to have."""

    name: str
    parameters: dict[str, Any] = Field(default_factory=dict)


class InferRequest(BaseModel):
    """One input, and the outputs that the response is to have: all when none is named."""

    model_config = example(
        "InferRequest", {"inputs": [{"name": INPUT, "datatype": DATATYPE, "shape": [1, 28, 28], "data": [0] * 784}]}
    )

    id: str | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    inputs: list[InputTensor] = Field(min_length=1, max_length=1)
    outputs: list[RequestedOutput] = Field(default_factory=list)


class OutputTensor(BaseModel):
    """An output."""

    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, Any] | None = None
    data: list[float] | None = None


@dataclass(frozen=True)
class Inference:
    """A parsed request."""

    id: str | None
    images: NDArray[np.uint8]
    """uint8 (n, 28, 28)"""
    outputs: dict[str, bool]
    """Name of each requested output → whether it is sent as bytes."""


def parse_request(content: bytes, json_length: str | None, outputs: Sequence[str]) -> Inference:
    """A request's body. json_length: the header BINARY_HEADER; outputs: names of the model's outputs.

    Raises HTTPException 400 when the body is malformed, or its input or outputs are not the model's.
    """
    head, tail = _split(content, json_length)
    try:
        request = InferRequest.model_validate_json(head)
    except ValidationError as error:
        raise invalid(f"{first_error(error)}, expected an inference request of protocol version 2") from None
    as_bytes = request.parameters.get("binary_data_output") is True
    requested = {
        output.name: output.parameters.get("binary_data", as_bytes) is True for output in request.outputs
    } or dict.fromkeys(outputs, as_bytes)
    for name in requested:
        if name not in outputs:
            raise invalid(f"output {name!r}, expected one of {', '.join(outputs)}")
    return Inference(request.id, _images(request.inputs[0], tail), requested)


def encode_response(inference: Inference, judgement: Judgement, model: Mapping[str, str]) -> tuple[bytes, int | None]:
    """The response's body, and the length of its JSON if bytes follow. model: model_name and model_version."""
    arrays = {"probabilities": judgement.probabilities, "is_digit": judgement.is_digit}
    outputs, tail = [], b""
    for name, as_bytes in inference.outputs.items():
        array = arrays[name]
        assert array is not None
        output: dict[str, Any] = {"name": name, "datatype": "FP32", "shape": list(array.shape)}
        if as_bytes:
            raw = array.astype("<f4").tobytes()
            output["parameters"] = {"binary_data_size": len(raw)}
            tail += raw
        else:
            output["data"] = array.ravel().tolist()
        outputs.append(output)
    head: dict[str, Any] = {**model, "outputs": outputs}
    if inference.id is not None:
        head["id"] = inference.id
    encoded = json.dumps(head).encode()
    return encoded + tail, len(encoded) if any(inference.outputs.values()) else None


def _split(content: bytes, json_length: str | None) -> tuple[bytes, bytes]:
    """The JSON of a body, and the bytes after it."""
    if json_length is None:
        return content, b""
    # 20 digits are more than any length, and Python refuses to parse thousands.
    length = int(json_length[:20]) if json_length.isdecimal() and json_length.isascii() else -1
    if not 0 < length <= len(content):
        raise invalid(f"{BINARY_HEADER}: {json_length[:20]}, expected 1 to the {len(content):,} bytes of the body")
    return content[:length], content[length:]


def _images(tensor: InputTensor, tail: bytes) -> NDArray[np.uint8]:
    """The input as uint8 (n, 28, 28). tail: the bytes after the JSON."""
    if (tensor.name, tensor.datatype) != (INPUT, DATATYPE):
        raise invalid(f"input {tensor.name!r} of {tensor.datatype}, expected {INPUT} of {DATATYPE}")
    shape = tensor.shape
    if len(shape) != 3 or shape[0] < 1 or shape[1:] != [IMAGE_SIDE_PX, IMAGE_SIDE_PX]:
        raise invalid(f"shape {shape[:8]}, expected [n, {IMAGE_SIDE_PX}, {IMAGE_SIDE_PX}] with n from 1")
    size = tensor.parameters.get("binary_data_size")
    if size is None and tensor.data is not None:
        values = _flat(tensor.data)
        if tail:
            raise invalid(f"{len(tail):,} bytes after the JSON, expected none beside data")
    elif tensor.data is None and type(size) is int and size == len(tail):
        values = np.frombuffer(tail, np.uint8)
    else:
        raise invalid(f"binary_data_size {size} and {len(tail):,} bytes, expected as many, or data instead of both")
    if values.size != shape[0] * IMAGE_PIXELS:
        raise invalid(f"{values.size:,} values, expected {shape[0]} × {IMAGE_PIXELS}, as its shape says")
    return values.reshape(shape)


def _flat(data: list[Any]) -> NDArray[np.uint8]:
    """Nested or flat lists of integers from 0 to 255 as uint8 (n,)."""
    depth, first = 1, data[0] if data else None
    while isinstance(first, list) and depth < max(DATA):
        depth, first = depth + 1, first[0] if first else None
    try:
        return np.array(DATA[depth].validate_python(data), np.uint8).ravel()
    except ValidationError as error:
        expected = "integers from 0 to 255, nested as the shape or flat"
        raise invalid(f"data.{first_error(error)}, expected {expected}") from None
    except ValueError:
        raise invalid("data of uneven rows, expected the shape that is given, or flat") from None


def invalid(message: str) -> HTTPException:
    """The error 400."""
    return HTTPException(400, message)
