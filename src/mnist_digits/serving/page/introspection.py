"""`/v1/inside`, for the page: the networks that it runs itself, and pictures with what the network saw of them."""

import functools
import json

from fastapi import APIRouter, Request, Response

from mnist_digits.recognition import Reader
from mnist_digits.recognition.results import as_base64
from mnist_digits.serving.api.openapi import BYTES, JSON
from mnist_digits.serving.page.browser_network import pack_classifier, pack_dense
from mnist_digits.serving.page.dense_network import SHIPPED, DenseNetwork
from mnist_digits.serving.pictures import Pictures, need_light
from mnist_digits.serving.workers import Workers


def router(reader: Reader, workers: Workers, readings: Pictures) -> APIRouter:
    """Routes below `/v1/inside`, for the page only. Pictures are request bodies; DataError when one cannot be read.

    `GET /reader.bin`: the classifier's network, packed for the browser; 204 where the browser cannot run it, and asks
    `POST ""`: a small picture of one digit → its `prediction`, as by `digits predict --json`, and the network's input
    `image`, uint8 in base64. `GET /dense.bin`: the network 784-128-10 that the page shows. `POST /page`: a picture or a
    document → its `pages`, each as `digits read --json` prints it, with its `size`, and of each digit also the
    `probabilities` and the network input `image`; with `?pictures=1` each page also as a `picture`, a JPEG in base64.
    """
    routes = APIRouter(prefix="/v1/inside", include_in_schema=False)
    pack_reader = functools.cache(lambda: pack_classifier(reader.classifier))
    pack_simple = functools.cache(lambda: pack_dense(DenseNetwork.load(SHIPPED)))

    def inspect_drawing(content: bytes) -> str:
        prediction = reader.classifier.classify(need_light(content))
        return json.dumps({"prediction": prediction.to_json(), "image": as_base64(prediction.image)})

    @routes.get("/reader.bin")
    async def packed_reader() -> Response:
        content = await workers.do(pack_reader)
        return Response(status_code=204) if content is None else Response(content, media_type=BYTES)

    @routes.get("/dense.bin")
    async def packed_dense() -> Response:
        return Response(await workers.do(pack_simple), media_type=BYTES)

    @routes.post("")
    async def drawing(request: Request) -> Response:
        return Response(await workers.do(inspect_drawing, await request.body()), media_type=JSON)

    @routes.post("/page")
    async def page(request: Request) -> Response:
        pictures = request.query_params.get("pictures") == "1"
        return Response(
            json.dumps(await readings.do("inspect", await request.body(), pictures=pictures)), media_type=JSON
        )

    return routes
