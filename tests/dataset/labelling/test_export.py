import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mnist_digits.dataset import Dataset, Found, load_data, load_mnist
from mnist_digits.dataset.labelling import NO_DIGIT, SKIPPED, Answer, Journal, export, kind_of
from mnist_digits.dataset.labelling.digits import cut_out
from mnist_digits.dataset.sources import labelled_pictures
from mnist_digits.errors import DataError, UsageError
from mnist_digits.recognition import Classifier

SINGLES, ON_PAGE = 24, 6


@pytest.fixture(scope="module")
def labelled(mnist: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of one digit, and two pages of a document with three digits each, all labelled as MNIST says."""
    folder = tmp_path_factory.mktemp("labelled") / "mine"
    (folder / "hand").mkdir(parents=True)
    journal, images, labels = Journal(folder), mnist.validation.images, mnist.validation.labels
    for number in range(SINGLES):
        name = f"hand/{number}.png" if number % 2 else f"{number}.png"
        Image.fromarray(paper(images[number])).save(folder / name)
        journal.add(Answer(name, 1, None, int(labels[number])))
    pages = []
    for page in range(2):
        digits = [paper(image) for image in images[SINGLES + 3 * page : SINGLES + 3 * page + 3]]
        pages.append(Image.fromarray(np.hstack(digits)))
        for place in range(3):
            box, label = (112 * place + 16, 16, 80, 80), int(labels[SINGLES + 3 * page + place])
            journal.add(Answer("pages.tif", page + 1, box, label))
    pages[0].save(folder / "pages.tif", save_all=True, append_images=pages[1:])
    journal.add(Answer("0.png", 1, None, int(labels[0])))
    for name, label in (("x.png", NO_DIGIT), ("y.png", SKIPPED)):
        Image.fromarray(np.zeros((28, 28), np.uint8)).save(folder / name)
        journal.add(Answer(name, 1, None, label))
    return folder


def paper(image: np.ndarray) -> np.ndarray:
    """An image as dark ink on light paper, uint8 (112, 112)."""
    return 255 - np.pad(np.kron(image[4:24, 4:24], np.ones((4, 4), np.uint8)), 16)


def right(folder_or_file: Path) -> int:
    """How many of the labels the shipped classifier agrees with."""
    classifier = Classifier()
    return sum(
        classifier.classify(one.picture).digit == one.label for one in labelled_pictures(folder_or_file, Found())
    )


def test_a_labelled_folder_is_a_set_of_pictures_as_it_is(labelled: Path):
    found = Found()
    digits = list(labelled_pictures(labelled, found))
    assert len(digits) == SINGLES + ON_PAGE
    assert found.what == f"{SINGLES + ON_PAGE} labelled digits in {SINGLES + 1} pictures"
    assert found.notes == ["1 marked as no digit were left out", "1 skipped were left out"]
    assert {one.group for one in digits} == {"", "hand"}
    assert right(labelled) >= SINGLES + ON_PAGE - 1
    data, found = load_data(labelled)
    assert len(data.train) + len(data.validation) + len(data.test) == SINGLES + ON_PAGE
    assert found.unreadable == []


@pytest.mark.parametrize("name", ["out", "out.parquet"])
def test_an_export_holds_the_same_digits(labelled: Path, tmp_path: Path, name: str):
    out = tmp_path / name
    before = {path: path.read_bytes() for path in labelled.rglob("*") if path.is_file()}
    found = export(labelled, out, kind_of(out, None))
    assert found.what == f"{SINGLES + ON_PAGE} labelled digits in {SINGLES + 1} pictures"
    given, exported = (sorted(one.label for one in labelled_pictures(path, Found())) for path in (labelled, out))
    assert given == exported
    assert right(out) >= SINGLES + ON_PAGE - 1
    # Images for training are the same, whichever way they come.
    ours, theirs = (
        sorted(bytes(image) for part in (data.train, data.validation, data.test) for image in part.images)
        for data in (load_data(path)[0] for path in (labelled, out))
    )
    assert ours == theirs
    assert {path: path.read_bytes() for path in labelled.rglob("*") if path.is_file()} == before


def test_idx_files_hold_the_images_that_training_would_see(labelled: Path, tmp_path: Path):
    export(labelled, tmp_path / "out", kind_of(tmp_path / "out", "idx"))
    data, exported = load_data(labelled)[0], load_mnist(tmp_path / "out")
    assert exported.fingerprint == data.fingerprint


def test_a_parquet_file_says_where_each_digit_stands(labelled: Path, tmp_path: Path):
    parquet = pytest.importorskip("pyarrow.parquet")
    export(labelled, tmp_path / "out.parquet", "parquet")
    rows = parquet.read_table(tmp_path / "out.parquet").to_pylist()
    on_pages = [row for row in rows if row["origin"] == "pages.tif"]
    assert [row["page"] for row in on_pages] == [1, 1, 1, 2, 2, 2]
    assert on_pages[1]["box"] == [128, 16, 80, 80]
    assert all(row["box"] is None for row in rows if row["origin"] != "pages.tif")
    # A picture that is labelled as a whole is in it as it is.
    assert rows[0]["image"]["bytes"] == (labelled / rows[0]["origin"]).read_bytes()


def test_what_is_gone_is_named_and_left_out(labelled: Path, tmp_path: Path):
    folder = tmp_path / "mine"
    shutil.copytree(labelled, folder)
    (folder / "hand" / "1.png").unlink()
    (folder / "pages.tif").write_bytes(b"II*\0damaged")
    found = export(folder, tmp_path / "out", "folder")
    assert len(found.unreadable) == 2
    assert "1.png: no such file any more" in " ".join(found.unreadable)
    assert len(list((tmp_path / "out").rglob("*.png"))) == SINGLES - 1


def test_what_cannot_be_exported_is_one_line(labelled: Path, tmp_path: Path):
    (tmp_path / "there").mkdir()
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="exists already"):
        export(labelled, tmp_path / "there", "folder")
    with pytest.raises(DataError, match="lies in .*name a place outside"):
        export(labelled, labelled / "out", "folder")
    with pytest.raises(DataError, match="nothing is labelled"):
        export(tmp_path / "empty", tmp_path / "out", "folder")
    with pytest.raises(DataError, match="nothing is labelled"):
        export(tmp_path / "empty", tmp_path / "out.parquet", "parquet")
    with pytest.raises(UsageError, match="--format zip: expected one of folder, idx, parquet"):
        kind_of(tmp_path / "out", "zip")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "there"]


def test_a_digit_on_a_page_that_lies_on_its_side_is_set_upright():
    page = np.zeros((60, 100), np.uint8)
    page[20:30, 40:80] = np.arange(40, dtype=np.uint8)
    cut = cut_out(page, (40, 20, 40, 10), turns=1)
    assert cut.shape == (52, 22)
    # What was at the right is at the top.
    assert cut[6:46, 6:16].T[0].tolist() == list(range(39, -1, -1))
    assert cut_out(page, (500, 500, 10, 10)).size > 0
    assert (cut_out(page, None) == page).all()
