"""The application: all routes, around one reader."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mnist_digits import __version__
from mnist_digits.errors import DataError, printable
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

        app.state.playground = Playground(runs=settings.runs)
        app.include_router(playground.router(app.state.playground))
    if settings.label:
        from mnist_digits.serving.page.own import labelling
        from mnist_digits.serving.page.own.desk import Desk

        app.include_router(labelling.router(Desk(settings.label, reader), workers))
    if settings.collect:
        from mnist_digits.serving.page.own import collecting, teaching

        collection = collecting.Collection(settings.collect, settings)
        app.include_router(collecting.router(collection, workers))
        if static.teaches():
            app.include_router(teaching.router(teaching.Teacher(collection, reader.classifier.path), workers))
    openapi.add_docs(app.router)
    openapi.complete_description(app)
    app.router.default = static.page_files()
    _explain_errors(app)
    direct: dict[str, APIRoute] = {
        route.path: route for route in app.routes if type(route) is openapi.PlainRoute and "{" not in route.path
    }
    app.add_middleware(Middleware, settings=settings, metrics=metrics, direct=direct)
    return app


def _explain_errors(app: FastAPI) -> None:
    """Have any error answered as the same kind of JSON, and one of a path or method say what there is instead."""
    routes = [route for route in app.routes if isinstance(route, Route | APIRoute)]
    methods = {"/": {"GET"}, **{route.path: route.methods or set() for route in routes}}

    async def on_error(request: Request, error: Exception) -> Response:
        if isinstance(error, RequestValidationError):
            first = error.errors()[0]
            error = HTTPException(422, f"{'.'.join(map(str, first['loc']))}: {first['msg']}")
        assert isinstance(error, (HTTPException, DataError))
        if isinstance(error, HTTPException) and error.detail in (HTTPStatus(404).phrase, HTTPStatus(405).phrase):
            path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
            error = _missing(request.method, path, methods)
        return as_response(error)

    for kind in (HTTPException, DataError, RequestValidationError):
        app.add_exception_handler(kind, on_error)


def _missing(method: str, path: str, methods: Mapping[str, set[str]]) -> HTTPException:
    """The error for a request that no route answers. methods: of each path."""
    shown, plain = printable(path), path.rstrip("/")
    if path in methods:
        names = ", ".join(sorted(methods[path] - {"HEAD"}))
        return HTTPException(405, f"{method} {shown}, expected {names}", {"Allow": names})
    if plain in methods:
        return HTTPException(404, f"{shown}: no such route, expected {plain}; leave out what follows it")
    return HTTPException(404, f"{shown}: no such route, expected one of those that /docs and /openapi.json list")
