"""`/v1/collect`, as the page asks it."""

import base64
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from starlette.exceptions import HTTPException

from helpers.asking import InProcess, as_png
from mnist_digits.dataset import Found
from mnist_digits.dataset.labelling import Journal
from mnist_digits.dataset.sources import labelled_pictures
from mnist_digits.errors import DataError
from mnist_digits.recognition import Reader
from mnist_digits.serving import Settings, create_app
from mnist_digits.serving.page.own.collecting import Collection, Correction


@pytest.fixture
def ask(asking: Callable[..., InProcess], tmp_path: Path) -> InProcess:
    return asking(Settings(collect=tmp_path / "kept"))


def in_base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def post(ask: InProcess, **said: Any) -> Any:
    return ask("POST", "/v1/collect/drawings", json=said)


def test_a_corrected_drawing_is_data_to_teach_with_at_once(ask: InProcess, digit_png: bytes, tmp_path: Path):
    assert ask("GET", "/page.json").json()["collect"]
    assert ask("GET", "/v1/collect/state").json() == {"drawings": 0, "digits": 0, "most": 1000}
    answer = post(ask, label=7, digit=1, confidence=0.8, image=in_base64(digit_png))
    assert answer.status_code == 200, answer.text
    name = answer.json()["name"]
    assert answer.json()["state"] == {"drawings": 1, "digits": 1, "most": 1000}
    (one,) = labelled_pictures(tmp_path / "kept", Found())
    assert (one.label, Path(one.name).stem) == (7, name)
    (said,) = Journal(tmp_path / "kept").standing()
    assert (said.read, said.confidence) == (1, 0.8)
    # It can be corrected once more, and taken back with the drawing.
    assert post(ask, label="no digit", name=name).json()["state"] == {"drawings": 1, "digits": 0, "most": 1000}
    assert post(ask, label=None, name=name).json()["state"] == {"drawings": 0, "digits": 0, "most": 1000}
    assert post(ask, label=1, name=name).status_code == 404


def test_only_the_pixels_are_kept(ask: InProcess, tmp_path: Path):
    file, more = io.BytesIO(), PngInfo()
    more.add_text("Author", "somebody's name")
    Image.fromarray(np.full((30, 30), 200, np.uint8)).save(file, "PNG", pnginfo=more)
    assert b"somebody" in file.getvalue()
    name = post(ask, label=7, image=in_base64(file.getvalue())).json()["name"]
    assert b"somebody" not in (tmp_path / "kept" / "collected" / f"{name}.png").read_bytes()


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({"label": 7}, 422),
        ({"label": 7, "image": "§"}, 400),
        ({"label": 7, "image": in_base64(b"no picture")}, 422),
        ({"label": 10, "image": ""}, 422),
        ({"label": "seven", "image": ""}, 422),
        ({"label": 7, "name": "../../etc/passwd"}, 422),
        ({"label": 7, "name": "0" * 32}, 404),
        ({"label": 7, "image": in_base64(as_png(np.zeros((2000, 2000), np.uint8)))}, 422),
        ({"image": ""}, 422),
    ],
)
def test_what_is_no_correction_is_refused(ask: InProcess, tmp_path: Path, said: dict[str, Any], status: int):
    answer = post(ask, **said)
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    assert list((tmp_path / "kept" / "collected").iterdir()) == []
    assert Journal(tmp_path / "kept").standing() == []


@pytest.mark.parametrize("limits", [{"most_collected": 3}, {"most_collected_bytes": 3 * 150}])
def test_when_it_is_full_a_sentence_says_so(asking: Callable[..., InProcess], tmp_path: Path, limits: dict[str, int]):
    ask = asking(Settings(collect=tmp_path, **limits))
    image = in_base64(as_png(np.zeros((28, 28), np.uint8)))
    answers = [post(ask, label=0, image=image) for _ in range(12)]
    kept = [one.json()["name"] for one in answers if one.status_code == 200]
    assert 0 < len(kept) < 12
    assert answers[-1].status_code == 507
    assert "are kept already, expected fewer" in answers[-1].json()["error"]
    assert len(list((tmp_path / "collected").iterdir())) == len(kept) == len(Journal(tmp_path).standing())
    # What is kept can still be corrected, and taking one back makes room.
    assert post(ask, label=1, name=kept[0]).status_code == 200
    assert post(ask, label=None, name=kept[0]).status_code == 200
    assert post(ask, label=0, image=image).status_code == 200


def test_several_workers_together_keep_to_the_limit(tmp_path: Path):
    settings = Settings(most_collected=20)
    workers = [Collection(tmp_path, settings) for _ in range(4)]
    said = Correction(label=3, image=in_base64(as_png(np.zeros((28, 28), np.uint8))))

    def keep(number: int) -> bool:
        try:
            workers[number % 4].keep(said)
        except HTTPException:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        kept = sum(pool.map(keep, range(40)))
    # Drawings that are being refused count for a moment: there may be fewer, never more.
    assert 10 <= kept <= 20
    assert len(Journal(tmp_path).standing()) == len(list((tmp_path / "collected").iterdir())) == kept


def test_without_the_option_nothing_is_kept(asking: Callable[..., InProcess], digit_png: bytes):
    ask = asking(Settings())
    assert post(ask, label=7, image=in_base64(digit_png)).status_code == 404
    assert not ask("GET", "/page.json").json()["collect"]


def test_a_folder_that_cannot_be_written_is_said_at_the_start(tmp_path: Path, reader: Reader):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="expected a folder that can be written"):
        create_app(reader, Settings(collect=tmp_path / "file"))
    (tmp_path / "labels.jsonl").write_text("nonsense\n")
    with pytest.raises(DataError, match="line 1 is no answer"):
        create_app(reader, Settings(collect=tmp_path))


def test_it_needs_the_token(asking: Callable[..., InProcess], tmp_path: Path):
    ask = asking(Settings(collect=tmp_path, token="a" * 16))
    assert ask("GET", "/v1/collect/state").status_code == 401
    assert post(ask, label=7, image="").status_code == 401
