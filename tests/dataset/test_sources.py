"""Data as people have it: the same digits in every usual form give the same data set."""

import csv
import io
import struct
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from helpers.small_set import write_set
from mnist_digits.dataset import Dataset, Split, load_data, load_mnist, write_dataset, write_idx
from mnist_digits.errors import DataError


@pytest.fixture(scope="module")
def parts(mnist: Dataset) -> dict[str, Split]:
    """Some of MNIST's digits as a training and a test part."""
    return {
        "train": Split(mnist.train.images[:140], mnist.train.labels[:140]),
        "test": Split(mnist.test.images[:30], mnist.test.labels[:30]),
    }


def png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def as_keras(folder: Path, parts: dict[str, Split]) -> Path:
    arrays = {f"{kind}_{part}": a for part, s in parts.items() for kind, a in (("x", s.images), ("y", s.labels))}
    np.savez(folder / "mnist.npz", **arrays)
    return folder / "mnist.npz"


def as_kmnist(folder: Path, parts: dict[str, Split]) -> Path:
    for part, split in parts.items():
        np.savez_compressed(folder / f"kmnist-{part}-imgs.npz", split.images)
        np.savez_compressed(folder / f"kmnist-{part}-labels.npz", split.labels)
    return folder


def as_medmnist(folder: Path, parts: dict[str, Split]) -> Path:
    train, test = parts["train"], parts["test"]
    arrays = {"train_images": train.images[:100], "train_labels": train.labels[:100, None]}
    arrays |= {"val_images": train.images[100:], "val_labels": train.labels[100:, None]}
    np.savez(folder / "med.npz", **arrays, test_images=test.images / 255.0, test_labels=np.eye(10)[test.labels])
    return folder / "med.npz"


def write_csv(path: Path, rows: list[list[object]], header: list[str] | None, delimiter: str = ",") -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows([*([header] if header else []), *rows])


def as_kaggle(folder: Path, parts: dict[str, Split]) -> Path:
    header = ["Etikett", *(f"Pixel {number}" for number in range(784))]
    for part, split in parts.items():
        rows = [[label, *image.ravel()] for label, image in zip(split.labels, split.images, strict=True)]
        write_csv(folder / f"mnist_{part}.csv", rows, header, ";")
    return folder


def as_openml(folder: Path, parts: dict[str, Split]) -> Path:
    for part, split in parts.items():
        rows = [[*(image.ravel() / 255), label] for label, image in zip(split.labels, split.images, strict=True)]
        write_csv(folder / f"{part}.csv", rows, None)
    return folder


def as_folder(folder: Path, parts: dict[str, Split]) -> Path:
    for part, split in {"training": parts["train"], "testing": parts["test"]}.items():
        for number, (label, image) in enumerate(zip(split.labels, split.images, strict=True)):
            path = folder / part / str(label) / f"{number:05}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(image))
    return folder


def as_table(folder: Path, parts: dict[str, Split]) -> Path:
    for part, split in parts.items():
        rows: list[list[object]] = []
        for number, (label, image) in enumerate(zip(split.labels, split.images, strict=True)):
            path = folder / "pictures" / f"{part}{number:05}.png"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(png(image))
            rows.append(["Ada", f"pictures/{path.name}", label])
        write_csv(folder / f"{part}.csv", rows, ["Schreiberin", "Datei", "Ziffer"])
    return folder


def as_hugging_face(folder: Path, parts: dict[str, Split]) -> Path:
    (folder / "mnist").mkdir()
    for part, split in parts.items():
        pictures = [{"bytes": png(image), "path": None} for image in split.images]
        table = pyarrow.table({"image": pictures, "label": split.labels.astype(np.int64)})
        pyarrow.parquet.write_table(table, folder / "mnist" / f"{part}-00000-of-00001.parquet")
    return folder


def as_qmnist(folder: Path, parts: dict[str, Split]) -> Path:
    for part, split in parts.items():
        write_idx(folder / f"qmnist-{part}-images-idx3-ubyte.gz", split.images)
        extended = np.zeros((len(split), 8), ">i4")
        extended[:, 0], extended[:, 1] = split.labels, 70_000
        header = struct.pack(">HBBII", 0, 12, 2, len(split), 8)
        (folder / f"qmnist-{part}-labels-idx2-int").write_bytes(header + extended.tobytes())
    return folder


FORMS: list[Callable[[Path, dict[str, Split]], Path]] = [
    *(as_keras, as_kmnist, as_medmnist, as_kaggle, as_openml, as_folder, as_table, as_hugging_face, as_qmnist)
]


@pytest.mark.parametrize("write", FORMS, ids=lambda write: write.__name__)
def test_every_form_gives_the_same_digits(write: Callable[[Path, dict[str, Split]], Path], parts, tmp_path: Path):
    data, found = load_data(write(tmp_path, parts))
    assert found.unreadable == []
    if write is as_folder:
        # By class, and in each class by name.
        order = np.argsort(parts["test"].labels, kind="stable")
        parts = {**parts, "test": Split(parts["test"].images[order], parts["test"].labels[order])}
    np.testing.assert_array_equal(data.test.images, parts["test"].images)
    np.testing.assert_array_equal(data.test.labels, parts["test"].labels)
    assert len(data.train) + len(data.validation) == 140
    pixels = np.concatenate([data.train.images, data.validation.images]).reshape(140, -1)
    expected = parts["train"].images.reshape(140, -1)
    np.testing.assert_array_equal(np.sort(pixels.view("V784").ravel()), np.sort(expected.view("V784").ravel()))


def test_without_a_test_part_a_seventh_is_held_out_whatever_the_seed(parts, tmp_path: Path):
    train = parts["train"]
    np.savez(tmp_path / "all.npz", images=train.images, labels=train.labels)
    first, found = load_data(tmp_path / "all.npz", 0)
    other, _ = load_data(tmp_path / "all.npz", 1)
    assert abs(len(first.test) - 20) <= 1
    assert len(first.train) + len(first.validation) + len(first.test) == 140
    np.testing.assert_array_equal(first.test.images, other.test.images)
    assert not np.array_equal(first.validation.images, other.validation.images)
    assert first.fingerprint == other.fingerprint
    assert f"{len(first.test)} images, a seventh, were held out" in found.notes[0]


@pytest.mark.parametrize("seed", [0, 5])
def test_a_set_is_written_as_idx_with_its_split(parts, tmp_path: Path, seed: int):
    data, _ = load_data(as_keras(tmp_path, parts), seed)
    write_dataset(data, tmp_path / "data")
    again = load_mnist(tmp_path / "data", seed)
    assert again.fingerprint == data.fingerprint
    for name in ("train", "validation", "test"):
        np.testing.assert_array_equal(getattr(again, name).images, getattr(data, name).images)
        np.testing.assert_array_equal(getattr(again, name).labels, getattr(data, name).labels)


def test_pictures_are_prepared_as_predict_prepares_them(parts, tmp_path: Path):
    from mnist_digits.recognition import prepare_digit, read_picture

    for number, (label, image) in enumerate(zip(parts["train"].labels, parts["train"].images, strict=True)):
        path = tmp_path / "Ada" / str(label) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        photo = cv2.resize(255 - image, (90, 90), interpolation=cv2.INTER_CUBIC)
        Image.fromarray(cv2.copyMakeBorder(photo, 5, 30, 60, 10, cv2.BORDER_CONSTANT, value=240)).save(path)
    (tmp_path / "Ada" / "3" / "broken.png").write_bytes(b"\x89PNG no picture")
    (tmp_path / "letters").mkdir()
    Image.new("L", (28, 28)).save(tmp_path / "letters" / "a.png")
    data, found = load_data(tmp_path)
    assert found.what == f"141 pictures in {len(set(parts['train'].labels.tolist()))} folders of classes"
    assert found.notes[0] == "1 pictures in no folder named 0 to 9 were left out (letters)"
    assert [line.split(": ")[0] for line in found.unreadable] == [str(tmp_path / "Ada" / "3" / "broken.png")]
    first = sorted((tmp_path / "Ada" / "0").iterdir(), key=lambda path: str(path))[0]
    expected = prepare_digit(read_picture(first)).image
    assert any((image == expected).all() for part in (data.train, data.validation, data.test) for image in part.images)


def test_scikit_learns_digits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    from sklearn.datasets import load_digits

    from mnist_digits.recognition import Classifier

    monkeypatch.chdir(tmp_path)
    # Each is prepared as a picture, which takes a hundredth of a second.
    whole, count = load_digits(), 300
    few = SimpleNamespace(images=whole.images[:count], target=whole.target[:count])
    monkeypatch.setattr("sklearn.datasets.load_digits", lambda: few)
    data, found = load_data("load_digits")
    assert len(data.train) + len(data.validation) + len(data.test) == count < len(whole.target)
    assert found.what == "300 digits of scikit-learn's load_digits"
    assert np.bincount(data.test.labels).min() >= 3
    read = Classifier().probabilities(data.test.images).argmax(1)
    assert (read == data.test.labels).mean() > 0.9
    np.testing.assert_array_equal(
        np.bincount(np.concatenate([data.train.labels, data.validation.labels, data.test.labels])),
        np.bincount(few.target),
    )


def test_pictures_of_both_kinds_in_one_folder(parts, tmp_path: Path):
    split = parts["train"]
    folder = as_folder(tmp_path, {"train": split, "test": parts["test"]})
    small = cv2.resize(split.images[0], (8, 8), interpolation=cv2.INTER_AREA)
    Image.fromarray(small).save(folder / "training" / str(split.labels[0]) / "small.png")
    data, found = load_data(folder)
    assert len(data.train) + len(data.validation) == 141
    assert found.unreadable == []


def test_a_table_that_goes_over_several_parts(parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    whole, _ = load_data(as_kaggle(tmp_path, parts))
    monkeypatch.setattr("mnist_digits.dataset.tables.BATCH_ROWS", 17)
    monkeypatch.setattr("mnist_digits.dataset.pictures.BATCH_PICTURES", 17)
    assert load_data(tmp_path)[0].fingerprint == whole.fingerprint


def broken(name: str, content: bytes | str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return folder / name

    return write


def npz(**arrays: np.ndarray) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        np.savez(folder / "set.npz", **arrays)
        return folder / "set.npz"

    return write


def in_folders(counts: dict[str, int]) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        for name, count in counts.items():
            (folder / name).mkdir()
            for number in range(count):
                Image.new("L", (28, 28), 0).save(folder / name / f"{number}.png")
        return folder

    return write


def parquet(**columns: object) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        pyarrow.parquet.write_table(pyarrow.table(columns), folder / "set.parquet")
        return folder / "set.parquet"

    return write


IMAGES = np.zeros((30, 28, 28), np.uint8)
BAD = {
    "nothing there": (lambda folder: folder / "nowhere", "no such file or folder; expected IDX files, .npz"),
    "empty folder": (lambda folder: folder, "holds nothing; expected IDX files"),
    "no data": (broken("notes.docx", "words"), "not a set of images by its name; expected"),
    "other files": (lambda folder: broken("notes.docx", "words")(folder).parent, "holds notes.docx; expected"),
    "two pictures": (in_folders({"0": 1, "1": 1}), "2 images, expected at least 20"),
    "one class": (in_folders({"7": 25}), "all 25 images are of class 7, expected several classes"),
    "labels beyond 9": (npz(x_train=IMAGES, y_train=np.arange(30) % 26), "label 25, expected 0 to 9: .* these are 26"),
    "no labels": (npz(x_train=IMAGES), "holds x_train; expected arrays of images and of labels"),
    "unequal": (npz(images=IMAGES, labels=np.arange(20) % 10), "30 images but 20 labels"),
    "objects": (npz(images=np.array([{}] * 3, object), labels=np.arange(3)), "not an .npz file of plain arrays"),
    "logits": (npz(images=IMAGES - 0.5, labels=np.arange(30) % 10), "pixels from -0.5 to -0.5, expected 0 to 255"),
    "colours": (npz(images=np.zeros((30, 28, 28, 3)), labels=np.arange(30) % 10), "images float64 .30, 28, 28, 3."),
    "no archive": (broken("set.npz", "PK, but no more"), "set.npz: not an .npz file"),
    "no table": (broken("set.csv", ""), "set.csv: empty"),
    "prose": (broken("set.csv", "Name,Ort\nAda,London\n"), "has Name, Ort; expected a label and 784 pixels"),
    "ragged": (broken("set.csv", "label," + "p," * 63 + "p\n" + "1," * 64 + "1\n1,2\n"), "expected 65 numbers"),
    "bright": (broken("set.csv", ("1," + "300," * 63 + "300\n") * 3), "row 1 has no whole label and pixels from 0"),
    "a word": (broken("set.csv", "path,label\na.png,seven\n"), "row 1: label 'seven', expected 0 to 9"),
    "ten": (broken("set.csv", "path,label\na.png,10\n"), "row 1: label '10', expected 0 to 9"),
    "no pictures": (broken("set.csv", "path,label\na.png,1\n"), "none of its pictures can be read: .*a.png: No such"),
    "Kaggle's test": (broken("test.csv", "0," * 783 + "0\n"), "784 pixels in each row and no label"),
    "no Parquet": (broken("set.parquet", "PAR1"), "not a Parquet file that can be read"),
    "columns": (parquet(a=[1], b=[2]), "has the columns a, b; expected image or path, and label"),
    "no content": (parquet(image=[None], label=[2]), "row 1: no picture, expected its path or its content"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_data_is_named(name: str, tmp_path: Path):
    write, message = BAD[name]
    with pytest.raises(DataError, match=message) as raised:
        load_data(write(tmp_path))
    assert "\n" not in str(raised.value)


def test_idx_files_and_mnist_are_as_before(small_folder: Path, mnist: Dataset):
    data, found = load_data(small_folder)
    assert data.fingerprint == load_mnist(small_folder).fingerprint
    assert found.what == ""
    assert load_data(None)[0].fingerprint == mnist.fingerprint


def test_classes_beyond_nine_are_said(tmp_path: Path, mnist: Dataset):
    write_idx(write_set(tmp_path, mnist) / "train-labels-idx1-ubyte.gz", (np.arange(600) % 26 + 1).astype(np.uint8))
    with pytest.raises(DataError, match="label 26, expected 0 to 9: .* ten classes, and these are 26"):
        load_data(tmp_path)
