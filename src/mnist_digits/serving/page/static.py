"""The page's files, served or written to a folder, and `/page.json`, which tells the page what service there is."""

import json
import mimetypes
import shutil
from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter, Request, Response
from starlette.middleware.gzip import GZipMiddleware
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from mnist_digits.errors import DataError
from mnist_digits.files import atomic_folder
from mnist_digits.recognition import Classifier
from mnist_digits.serving.api.openapi import JSON
from mnist_digits.serving.page.browser_network import pack_classifier, pack_dense
from mnist_digits.serving.page.dense_network import SHIPPED, DenseNetwork
from mnist_digits.serving.settings import Settings

WEB = Path(__file__).parent / "web"
"""Folder with the page's files."""

NEED_A_SERVICE = ("*.jpg", "training", "train.js", "own", "own.css")
"""Names of what a page without a service has no use for: pages to read, the view Train, and those of own digits."""

MIN_GZIP_BYTES = 1024
"""Size from which a file is sent compressed, if the browser accepts that."""

# Some systems register .js as text/plain, which browsers refuse to run as a module.
mimetypes.add_type("text/javascript", ".js")


class PageFiles(StaticFiles):
    """Static files that browsers revalidate on every request, so that they never show an old version."""

    def file_response(self, *arguments: object, **named: object) -> Response:
        """The file, or 304 if the browser has this version."""
        response = super().file_response(*arguments, **named)  # type: ignore[arg-type]
        response.headers["Cache-Control"] = "no-cache"
        return response


def page_files() -> ASGIApp:
    """Serves the page's files; 404 for any other path."""
    return GZipMiddleware(PageFiles(directory=WEB, html=True), minimum_size=MIN_GZIP_BYTES)


def write_page(folder: Path, classifier: Classifier) -> None:
    """Write the page to a new folder, for any server of static files: it reads digits and numbers in the browser.

    The files lie at the paths at which a service has them. Raises DataError when the browser cannot run the
    classifier's network, or the folder exists or cannot be written.
    """
    network = pack_classifier(classifier)
    if network is None:
        raise DataError(
            f"{classifier.path}: layers that a browser cannot run here, expected those of a recipe's network"
        )
    if folder.exists():
        raise DataError(f"{folder}: exists already, expected a new folder; remove it, or name another")
    with atomic_folder(folder) as temporary:
        shutil.copytree(WEB, temporary, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*NEED_A_SERVICE))
        facts = {"service": False, "playground": False, "token": False, "label": False, "collect": False}
        (temporary / "page.json").write_text(json.dumps(facts), encoding="utf-8")
        networks = temporary / "v1" / "inside"
        networks.mkdir(parents=True)
        (networks / "reader.bin").write_bytes(network)
        (networks / "dense.bin").write_bytes(pack_dense(DenseNetwork.load(SHIPPED)))


def teaches() -> bool:
    """Whether the training extra is installed, without which nobody can be taught."""
    return find_spec("keras") is not None and any(find_spec(name) for name in ("tensorflow", "jax"))


def add_settings(routes: APIRouter, settings: Settings) -> None:
    """Add `/page.json`, which is not guarded itself: what the page has to know of this service.

    `service`: that there is one. `playground`: whether it trains networks. `token`: whether it needs one. `label`:
    whether a folder is labelled. `collect`: whether corrected drawings are kept; `teach`: and the reader is taught with
    them. `most_bytes`: the largest file that it takes.
    """
    facts = {"service": True, "playground": settings.playground, "token": settings.token is not None}
    own = {"label": settings.label is not None, "collect": settings.collect is not None}
    content = json.dumps({**facts, **own, "teach": own["collect"] and teaches(), "most_bytes": settings.most_bytes})

    @routes.get("/page.json", include_in_schema=False)
    async def page(_: Request) -> Response:
        return Response(content, media_type=JSON)
