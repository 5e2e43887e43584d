"""The application: all routes, around one reader."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from mnist_digits import __version__
from mnist_digits.errors import DataError
from mnist_digits.recognition import Reader
from mnist_digits.serving.api import health, images, inference_protocol, openapi, pictures
from mnist_digits.serving.metrics import Metrics
from mnist_digits.serving.middleware import Middleware, as_response
from mnist_digits.serving.page import introspection, static
from mnist_digits.serving.pictures import Pictures
from mnist_digits.serving.settings import Settings
from mnist_digits.serving.workers import BatchQueue, Workers

SUMMARY = "Reads handwritten digits in pictures, pages and 28×28 images."


def create_app(reader: Reader, settings: Settings | None = None) -> FastAPI:
    """The HTTP API and the page, as an ASGI application.

    reader: reads all pictures; the threads share it. settings: access and limits; by default no token is needed.
    """
    settings = settings or Settings()
    metrics = Metrics()
    workers = Workers(settings.threads, settings.most_waiting, settings.answer_seconds)
    readings = Pictures(reader, workers, settings)
    queue = BatchQueue(reader.classifier, settings.most_waiting, settings.answer_seconds)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        workers.close()
        readings.close()
        queue.close()

    app = FastAPI(
        title="MNIST Digits",
        summary=SUMMARY,
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers=dict.fromkeys((HTTPException, DataError, RequestValidationError), _on_error),
    )
    app.router.route_class = openapi.PlainRoute
    images.add_routes(app.router, queue, workers, metrics)
    pictures.add_routes(app.router, readings, workers, settings, metrics)
    inference_protocol.add_routes(app.router, queue, workers, metrics)
    health.add_routes(app.router, workers, metrics)
    static.add_settings(app.router, settings)
    app.include_router(introspection.router(reader, workers, readings))
    if settings.playground:
        from mnist_digits.serving.page import playground
        from mnist_digits.serving.page.live_training import Playground

        app.state.playground = Playground()
        app.include_router(playground.router(app.state.playground))
    openapi.add_docs(app.router)
    openapi.describe_token(app)
    app.router.default = static.page_files()
    direct: dict[str, APIRoute] = {
        route.path: route for route in app.routes if type(route) is openapi.PlainRoute and "{" not in route.path
    }
    app.add_middleware(Middleware, settings=settings, metrics=metrics, direct=direct)
    return app


async def _on_error(_: Request, error: Exception) -> Response:
    """Any error as the same kind of JSON; 422 for a picture or a value that is not accepted."""
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        error = HTTPException(422, f"{'.'.join(map(str, first['loc']))}: {first['msg']}")
    assert isinstance(error, (HTTPException, DataError))
    return as_response(error)
