"""Fuzzing: thousands of bodies, each damaged in another way, get a result or an error message."""

import asyncio
import json
import random
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from helpers.asking import InProcess, as_bytes
from mnist_digits.dataset import Dataset

COUNT = 5_400
FORM = "multipart/form-data; boundary=edge"
ROUTES = ["/v1/predict", "/v1/read", "/v1/classify", "/v2/models/digits/infer"]
TYPES = ["", FORM, "application/json", "application/octet-stream", "image/png"]
PATTERNS = [
    b"\xff" * 4,
    bytes(4),
    b"\x7f\xff\xff\xff",
    b"[",
    b"]",
    b'"',
    b"--edge",
    b"\r\n\r\n",
    b"-1",
    b"1e999",
    b"NaN",
]


def whole_bodies(image: np.ndarray) -> list[bytes]:
    """Bodies that are valid for at least one route."""
    pixels = 255 - image
    pictures = [as_bytes(pixels, kind) for kind in ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")]
    palette = Image.fromarray(pixels).convert("P")
    alpha = np.dstack([pixels] * 4)
    pictures += [
        as_bytes(np.asarray(palette), "GIF"),
        as_bytes(alpha, "PNG"),
        as_bytes(pixels.astype(np.uint16), "PNG"),
    ]
    head = b'--edge\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    tensor = {"name": "images", "datatype": "UINT8", "shape": [1, 28, 28]}
    return [
        *pictures,
        head + pictures[0] + b"\r\n" + head + pictures[1] + b"\r\n--edge--\r\n",
        image.tobytes(),
        json.dumps({"images": [image.tolist()]}).encode(),
        json.dumps({"inputs": [{**tensor, "data": image.tolist()}]}).encode(),
        json.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": 784}}]}).encode() + image.tobytes(),
    ]


def damaged(body: bytes, chance: random.Random) -> bytes:
    """The body with zero to four random changes."""
    changed = bytearray(body)
    for _ in range(chance.randrange(5)):
        at = chance.randrange(len(changed) + 1)
        kind = chance.randrange(5)
        if kind == 0:
            del changed[at:]
        elif kind == 1:
            changed[at : at + 1] = bytes([chance.randrange(256)])
        elif kind == 2:
            pattern = chance.choice(PATTERNS)
            changed[at : at + len(pattern)] = pattern
        elif kind == 3:
            changed[at:at] = chance.randbytes(chance.randrange(64))
        else:
            other = chance.randrange(len(changed) + 1)
            changed[at:at] = changed[min(at, other) : max(at, other)][:2000]
    return bytes(changed)


def requests(bodies: list[bytes], chance: random.Random, count: int) -> Iterator[tuple[str, bytes, dict[str, str]]]:
    """Route, body and headers."""
    for i in range(count):
        headers = {"Content-Type": chance.choice(TYPES)}
        if chance.random() < 0.15:
            headers["Inference-Header-Content-Length"] = chance.choice(["0", "100", "120", "-5", "9" * 30, "x"])
        yield ROUTES[i % len(ROUTES)], damaged(chance.choice(bodies), chance), headers


@pytest.mark.parametrize("seed", range(3))
def test_every_response_is_a_result_or_an_error_message(ask: InProcess, mnist: Dataset, seed: int):
    bodies = whole_bodies(mnist.train.images[seed])
    codes: list[int] = []

    async def send_all() -> None:
        for path, body, headers in requests(bodies, random.Random(seed), COUNT // 3):
            answer = await ask.answer("POST", path, content=body, headers=headers)
            codes.append(answer.status_code)
            assert answer.status_code in (200, 400, 422), (path, body, headers, answer.text)
            if answer.status_code != 200:
                error = answer.json()["error"]
                assert "\n" not in error
                assert len(error) < 1000

    ask.runner.run(asyncio.wait_for(send_all(), 300))
    assert {code: codes.count(code) > 50 for code in set(codes)} == {200: True, 400: True, 422: True}
