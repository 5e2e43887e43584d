"""`/v1/inside`, for the page: what happens inside two small networks while they read a drawing.

One has a dense hidden layer, the other four convolutions. The digit itself is read by the service's own classifier.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from fastapi import APIRouter, Request, Response
from numpy.typing import NDArray

from mnist_digits.recognition import Prediction, Reader
from mnist_digits.recognition.results import as_base64, rounded
from mnist_digits.serving.api.openapi import BYTES, JSON
from mnist_digits.serving.page.dense_network import SHIPPED, DenseNetwork
from mnist_digits.serving.pictures import Pictures, need_light
from mnist_digits.serving.workers import Workers

FEATURE_MAPS = Path(__file__).parent / "models" / "feature_maps.onnx"
"""The convolutional network that the page shows; its card, README.md, says how it was trained."""

ACTIVATION_DECIMALS = 4


class FeatureMaps:
    """A convolutional network with its feature maps as outputs. Threads may share it."""

    def __init__(self, path: Path = FEATURE_MAPS) -> None:
        """Load a model whose outputs are `maps_1`, `maps_2`, … and `probabilities`."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._outputs = sorted(output.name for output in self._session.get_outputs())

    def run(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
        """Probabilities, float32 (10,), and each layer's feature maps, float32 (channels, side, side), at least 0.

        image: uint8 (28, 28).
        """
        *maps, probabilities = self._session.run(self._outputs, {"images": image[None]})
        return probabilities[0], [layer[0] for layer in maps]

    def describe(self, image: NDArray[np.uint8]) -> dict[str, Any]:
        """What `run` gives, as plain values. `layers`: of each `channels`, `side` and `maps`, uint8 in base64."""
        probabilities, layers = self.run(image)
        return {"probabilities": rounded(probabilities), "layers": [_describe_layer(maps) for maps in layers]}


def describe_dense(network: DenseNetwork, image: NDArray[np.uint8]) -> dict[str, Any]:
    """The network's activations for an image, uint8 (28, 28), as plain values.

    `digit`: the likeliest. `probabilities`: of the ten digits. `hidden`: activation of each hidden unit. `votes`: each
    unit's contribution to the digit's score before softmax, which is their sum plus `bias`.
    """
    hidden, probabilities = network.hidden(image[None])[0], network.probabilities(image[None])[0]
    digit = int(probabilities.argmax())
    return {
        "digit": digit,
        "probabilities": rounded(probabilities),
        "hidden": rounded(hidden, ACTIVATION_DECIMALS),
        "votes": rounded(hidden * network.class_weights[:, digit], ACTIVATION_DECIMALS),
        "bias": round(float(network.class_bias[digit]), ACTIVATION_DECIMALS),
    }


def describe_drawing(prediction: Prediction, network: DenseNetwork) -> dict[str, Any]:
    """A drawing's `prediction`, its network input `image`, uint8 in base64, and as `dense` what `describe_dense` gives.

    prediction: that of `digits predict --json`.
    """
    dense = describe_dense(network, prediction.image)
    return {"prediction": prediction.to_json(), "image": as_base64(prediction.image), "dense": dense}


def router(reader: Reader, workers: Workers, readings: Pictures) -> APIRouter:
    """Routes below `/v1/inside`, for the page only. Pictures are request bodies; DataError when one cannot be read.

    `POST ""`: a small picture of one digit → `describe_drawing`, and as `cnn` what `FeatureMaps.describe` gives.
    `POST /page`: a picture of a page → as `digits read --json`, where each digit also has its `probabilities` and the
    network input `image`. `GET /units`: the bytes of `DenseNetwork.weight_images`.
    """
    routes = APIRouter(prefix="/v1/inside", include_in_schema=False)
    network, feature_maps = DenseNetwork.load(SHIPPED), FeatureMaps()
    weight_images = network.weight_images().tobytes()

    def inspect_drawing(content: bytes) -> str:
        prediction = reader.classifier.classify(need_light(content))
        cnn = feature_maps.describe(prediction.image)
        return json.dumps({**describe_drawing(prediction, network), "cnn": cnn})

    @routes.post("")
    async def drawing(request: Request) -> Response:
        return Response(await workers.do(inspect_drawing, await request.body()), media_type=JSON)

    @routes.post("/page")
    async def page(request: Request) -> Response:
        return Response(json.dumps(await readings.do("inspect", await request.body())), media_type=JSON)

    @routes.get("/units")
    async def units() -> Response:
        return Response(weight_images, media_type=BYTES)

    return routes


def _describe_layer(maps: NDArray[np.float32]) -> dict[str, Any]:
    """A layer's feature maps, float32 (channels, side, side), scaled so that the largest value is 255."""
    scaled = np.rint(255 * maps / max(float(maps.max()), 1e-6)).astype(np.uint8)
    return {"channels": maps.shape[0], "side": maps.shape[1], "maps": as_base64(scaled)}
