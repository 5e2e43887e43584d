"""What goes on inside networks while they read a drawing: `/v1/inside`, for the page.

Two networks are small enough to be looked into: one with a dense hidden layer, one of four convolutions. The
digit itself is read by the classifier that all else is read with, and comes along in the same answer.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from fastapi import APIRouter, Request, Response

from mnist_digits.recognition import Normalised, Reader, find_ink, normalise, read_picture
from mnist_digits.recognition.results import as_base64, rounded
from mnist_digits.serving.api.openapi import JSON
from mnist_digits.serving.page.dense_network import SHIPPED, DenseNetwork
from mnist_digits.serving.workers import Workers

FEATURE_MAPS = Path(__file__).parent / "models" / "feature_maps.onnx"
"""The network whose feature maps the page shows; the card beside it says how it was made."""


class FeatureMaps:
    """A convolutional network that gives what each layer finds. Any number of threads may share one."""

    def __init__(self, path: Path = FEATURE_MAPS) -> None:
        """Load a model whose outputs are `maps_1`, `maps_2`, … and `probabilities`."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._outputs = sorted(output.name for output in self._session.get_outputs())

    def look(self, image: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        """Probabilities, float32 (10,), and each layer's maps, float32 (channels, side, side), at least 0.

        image: uint8 (28, 28).
        """
        *maps, probabilities = self._session.run(self._outputs, {"images": image[None]})
        return probabilities[0], [layer[0] for layer in maps]


class Inside:
    """Both networks, loaded, and what they have to say of a digit."""

    def __init__(self) -> None:
        """Load the shipped ones."""
        self.dense = DenseNetwork.load(SHIPPED)
        self.feature_maps = FeatureMaps()

    def describe(self, blob: Normalised) -> dict[str, Any]:
        """The image that the networks see, and under `dense` and `cnn` what goes on in each, as plain values."""
        probabilities, layers = self.feature_maps.look(blob.image)
        cnn = {"probabilities": rounded(probabilities), "layers": [_describe_maps(maps) for maps in layers]}
        return {"image": as_base64(blob.image), "dense": describe_dense(self.dense, blob.image), "cnn": cnn}


def describe_dense(network: DenseNetwork, image: np.ndarray) -> dict[str, Any]:
    """Its digit, probabilities, how awake each hidden unit is, and what that adds to the digit's score.

    image: uint8 (28, 28). `bias` and the sum of `votes` are the digit's score, before softmax.
    """
    hidden, probabilities = network.hidden(image[None])[0], network.probabilities(image[None])[0]
    digit = int(probabilities.argmax())
    return {
        "digit": digit,
        "probabilities": rounded(probabilities),
        "hidden": rounded(hidden, 4),
        "votes": rounded(hidden * network.class_weights[:, digit], 4),
        "bias": round(float(network.class_bias[digit]), 4),
    }


def router(reader: Reader, workers: Workers) -> APIRouter:
    """Routes below `/v1/inside`, which are the page's own. Pictures are request bodies, as for `/v1/predict`.

    `POST /v1/inside`: a picture of one digit → `prediction`, as `digits predict --json` has it, and what
    `Inside.describe` gives. `POST /v1/inside/page`: a picture of a page → what `digits read --json` has, where each
    digit also has `probabilities` and the `image` that the network saw. `GET /v1/inside/units`: what each hidden unit
    looks for, the bytes of `DenseNetwork.weight_images`. Raise DataError for what is no picture.
    """
    routes, inside = APIRouter(prefix="/v1/inside", include_in_schema=False), Inside()
    units = inside.dense.weight_images().tobytes()

    def look(content: bytes) -> str:
        blob = normalise(find_ink(read_picture(content)))
        prediction = reader.classifier.classify_normalised([blob])[0]
        return json.dumps({"prediction": prediction.to_json(), **inside.describe(blob)})

    def read(content: bytes) -> str:
        return json.dumps(reader.read(content).to_json(details=True))

    @routes.post("")
    async def look_inside(request: Request) -> Response:
        """What the networks make of a drawn digit."""
        return Response(await workers.do(look, await request.body()), media_type=JSON)

    @routes.post("/page")
    async def look_at_page(request: Request) -> Response:
        """The digits of a page, with what the network made of each."""
        return Response(await workers.do(read, await request.body()), media_type=JSON)

    @routes.get("/units")
    async def units_of_dense() -> Response:
        """What each hidden unit looks for: int8 (units, 28, 28)."""
        return Response(units, media_type="application/octet-stream")

    return routes


def _describe_maps(maps: np.ndarray) -> dict[str, Any]:
    """One layer's maps, float32 (channels, side, side): `channels`, `side`, and as `maps` their bytes, 255 the most."""
    bright = np.rint(255 * maps / max(float(maps.max()), 1e-6)).astype(np.uint8)
    return {"channels": maps.shape[0], "side": maps.shape[1], "maps": as_base64(bright)}
