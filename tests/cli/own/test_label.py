import signal
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from helpers.asking import serving
from helpers.command import Digits
from mnist_digits.dataset import Dataset
from mnist_digits.dataset.labelling import JOURNAL, Answer, Journal


@pytest.fixture
def folder(tmp_path: Path, mnist: Dataset) -> Path:
    """Thirty pictures of one digit each."""
    (tmp_path / "mine").mkdir()
    for number, image in enumerate(mnist.validation.images[:30]):
        picture = 255 - np.kron(image, np.ones((4, 4), np.uint8))
        Image.fromarray(picture).save(tmp_path / "mine" / f"{number:02}.png")
    return tmp_path / "mine"


def label_all(folder: Path, mnist: Dataset, count: int = 30) -> None:
    journal = Journal(folder)
    for number, label in enumerate(mnist.validation.labels[:count].tolist()):
        journal.add(Answer(f"{number:02}.png", 1, None, label))


def test_killed_in_the_middle_it_loses_nothing_and_goes_on(folder: Path):
    given: dict[str, int] = {}
    numbers: list[int] = []
    with serving(folder, command="label") as (process, address), httpx.Client(timeout=60) as client:
        assert client.get(address, headers={"Host": "elsewhere.example"}).status_code == 421
        for number in range(20):
            besides = ",".join(map(str, numbers))
            picture = None
            # On a busy machine the next one may not have been read yet.
            while picture is None:
                picture = client.get(f"{address}/v1/label/next?besides={besides}").json()["picture"]
            path = f"{address}/v1/label/pictures/{picture['number']}/answers"
            answer = client.post(path, json={"box": None, "label": number % 10})
            assert answer.status_code == 200
            given[picture["file"]] = number % 10
            numbers.append(picture["number"])
        process.send_signal(signal.SIGKILL)
        process.wait(60)
    assert {one.file: one.label for one in Journal(folder).standing()} == given
    with serving(folder, command="label") as (process, address):
        assert httpx.get(f"{address}/v1/label/state", timeout=60).json()["pictures"] == 30
        process.terminate()
        assert process.wait(60) == 0
    assert {one.file: one.label for one in Journal(folder).standing()} == given
    # Beside the pictures there is nothing but the labels.
    assert {path.suffix for path in folder.iterdir()} == {".png", ".jsonl"}


def test_labels_are_exported_and_taken_by_other_commands(digits: Digits, folder: Path, mnist: Dataset):
    label_all(folder, mnist)
    for out, options in (("digits", []), ("digits.parquet", []), ("idx", ["--format", "idx"])):
        result = digits("label", folder, "--export", out, *options)
        assert result.returncode == 0, result.stderr
        assert result.stdout == f"{out}\n"
        assert "30 labelled digits in 30 pictures" in result.stderr
    for source in (folder, "digits", "digits.parquet"):
        result = digits("evaluate", "--pictures", source, "--json")
        assert result.returncode == 0, result.stderr
        assert '"count": 30' in result.stdout


def test_what_cannot_be_labelled_or_exported_is_one_line(digits: Digits, folder: Path, mnist: Dataset):
    label_all(folder, mnist, 2)
    cases = [
        (["nowhere"], 3, "nowhere: no such folder; expected one with pictures"),
        ([folder, "--format", "idx"], 2, "--format without --export"),
        ([folder, "--export", "out", "--format", "zip"], 2, "--format zip: expected one of folder, idx, parquet"),
        ([folder, "--export", folder / "out"], 3, "place outside"),
        ([folder, "--export", "out", "--format", "idx"], 3, "expected"),
    ]
    for arguments, status, message in cases:
        result = digits("label", *arguments)
        assert (result.returncode, result.stdout) == (status, ""), result.stderr
        assert message in result.stderr.splitlines()[-1]
    (folder / JOURNAL).write_text("nonsense\n")
    result = digits("label", folder, "--export", "out")
    assert (result.returncode, result.stdout) == (3, "")
    assert "line 1 is no answer" in result.stderr
