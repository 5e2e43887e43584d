"""The process that reads large pictures: its time, its memory, its end."""

import base64
import io
import resource
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from helpers.asking import as_bytes, as_png
from mnist_digits.dataset import Dataset
from mnist_digits.errors import DataError
from mnist_digits.recognition import Reader
from mnist_digits.recognition.reading_process import MAX_READING_BYTES, ProcessDiedError, ReadingProcess

LONG_S = 120.0
"""Long enough on any machine."""


@pytest.fixture(scope="module")
def process() -> Iterator[ReadingProcess]:
    process = ReadingProcess(Reader())
    yield process
    process.close()


@pytest.fixture
def seven(mnist: Dataset) -> bytes:
    return as_png(255 - np.kron(mnist.test.images[0], np.ones((4, 4), np.uint8)))


def running() -> psutil.Process:
    """The process that is started at the moment."""
    (found,) = [
        child
        for child in psutil.Process().children()
        if child.status() != psutil.STATUS_ZOMBIE and any(part.endswith("reading_process") for part in child.cmdline())
    ]
    return found


def test_all_pages_of_a_document_are_given_with_their_pictures(process: ReadingProcess):
    squares = [np.kron(np.eye(count, dtype=np.uint8) * 255, np.ones((90, 120), np.uint8)) for count in (1, 20)]
    first, second = (Image.fromarray(square) for square in squares)
    file = io.BytesIO()
    first.save(file, "TIFF", save_all=True, append_images=[second])
    pages = process.ask("inspect", file.getvalue(), {"pictures": True}, LONG_S)["pages"]
    assert [(page["page"], tuple(page["size"])) for page in pages] == [(1, first.size), (2, second.size)]
    drawn = Image.open(io.BytesIO(base64.b64decode(pages[1]["picture"])))
    assert drawn.format == "JPEG"
    assert max(drawn.size) == 1600
    assert abs(np.asarray(drawn.convert("L"), float).mean() - 255 / 20) < 3
    assert "picture" not in process.ask("inspect", file.getvalue(), {}, LONG_S)["pages"][0]


def test_a_reading_beyond_its_time_is_ended_and_the_next_is_done(process: ReadingProcess, seven: bytes):
    assert process.ask("predict", seven, {}, LONG_S)["digit"] == 7
    before = running()
    before.suspend()
    with pytest.raises(ProcessDiedError) as caught:
        process.ask("predict", seven, {}, 0.2)
    assert not caught.value.by_picture
    assert not before.is_running()
    assert process.ask("predict", seven, {}, LONG_S)["digit"] == 7


def test_a_process_that_dies_is_told_from_one_whose_time_is_over(process: ReadingProcess, seven: bytes):
    with pytest.raises(ProcessDiedError, match="the process that read this picture died") as caught:
        process.ask("no such job", seven, {}, LONG_S)
    assert caught.value.by_picture
    assert process.ask("predict", seven, {}, LONG_S)["digit"] == 7


def test_one_that_is_killed_while_it_has_nothing_to_do_is_replaced(process: ReadingProcess, seven: bytes):
    process.ask("predict", seven, {}, LONG_S)
    before = running()
    before.kill()
    assert process.ask("predict", seven, {}, LONG_S)["digit"] == 7


def test_signals_for_the_whole_group_are_left_to_the_service(process: ReadingProcess, seven: bytes):
    process.ask("predict", seven, {}, LONG_S)
    before = running()
    before.send_signal(signal.SIGINT)
    before.send_signal(signal.SIGTERM)
    assert process.ask("predict", seven, {}, LONG_S)["digit"] == 7
    assert running() == before


@pytest.mark.skipif(not hasattr(psutil.Process, "rlimit"), reason="only Linux limits the memory of another process")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
@pytest.mark.parametrize("more_mb", [10, 60])
def test_what_takes_too_much_memory_is_refused_in_one_line(
    process: ReadingProcess, seven: bytes, kind: str, more_mb: int, capfd: pytest.CaptureFixture[str]
):
    # A new one, whose stderr is watched.
    process.close()
    process.ask("predict", seven, {}, LONG_S)
    reading = running()
    assert reading.rlimit(resource.RLIMIT_DATA) == (MAX_READING_BYTES, MAX_READING_BYTES)
    most = reading.memory_info().data + more_mb * 1_000_000
    reading.rlimit(resource.RLIMIT_DATA, (most, MAX_READING_BYTES))
    picture = as_bytes(np.full((4_000, 4_000, 3), 255, np.uint8), kind)
    with pytest.raises(DataError) as caught:
        process.ask("predict", picture, {}, LONG_S)
    assert "\n" not in str(caught.value)
    # It did not die of it, and has its memory back.
    reading.rlimit(resource.RLIMIT_DATA, (MAX_READING_BYTES, MAX_READING_BYTES))
    assert process.ask("predict", seven, {}, LONG_S)["digit"] == 7
    assert running() == reading
    assert capfd.readouterr() == ("", "")


def test_without_a_model_no_picture_is_to_blame(seven: bytes, small_model: Path, tmp_path: Path):
    model = shutil.copy(small_model, tmp_path / "model.onnx")
    process = ReadingProcess(Reader(model))
    model.unlink()
    with pytest.raises(ProcessDiedError, match="no process to read it in") as caught:
        process.ask("predict", seven, {}, LONG_S)
    assert not caught.value.by_picture
    process.close()
