import gzip
import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.small_set import COUNTS, write_set
from mnist_digits.dataset import BUNDLED, CORRECTIONS, Dataset, corrected_test_labels, load_mnist, write_idx
from mnist_digits.errors import DataError

PUBLISHED_MD5 = {
    "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
}


def test_bundled_files_are_the_published_ones():
    for name, md5 in PUBLISHED_MD5.items():
        assert hashlib.md5((BUNDLED / name).read_bytes()).hexdigest() == md5


def test_bundled_files_come_with_their_licence():
    assert "CC BY-SA 3.0" in (BUNDLED / "NOTICE").read_text()


def test_shapes_and_counts(mnist: Dataset):
    for split, count in ((mnist.train, 55_000), (mnist.validation, 5_000), (mnist.test, 10_000)):
        assert split.images.shape == (count, 28, 28)
        assert split.labels.shape == (count,)
        assert split.images.dtype == split.labels.dtype == np.uint8
        assert len(split) == count
    # The counts per class that the literature gives for the test set.
    assert np.bincount(mnist.test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_split_is_stratified_and_keeps_every_image(mnist: Dataset):
    train, validation = np.bincount(mnist.train.labels), np.bincount(mnist.validation.labels)
    np.testing.assert_array_less(np.abs(validation - (train + validation) / 12), 1)
    whole = np.frombuffer(gzip.decompress((BUNDLED / "train-images-idx3-ubyte.gz").read_bytes())[16:], np.uint8)
    parts = np.concatenate([mnist.train.images, mnist.validation.images]).reshape(-1, 784)
    np.testing.assert_array_equal(
        np.sort(parts.view("V784").ravel()), np.sort(whole.reshape(-1, 784).view("V784").ravel())
    )


def test_split_depends_on_the_seed_alone(small_folder: Path):
    first, again, other = load_mnist(small_folder, 0), load_mnist(small_folder, 0), load_mnist(small_folder, 1)
    np.testing.assert_array_equal(first.validation.images, again.validation.images)
    assert not np.array_equal(first.validation.images, other.validation.images)
    assert first.fingerprint == other.fingerprint


NAMES = [
    "{part}-{kind}-ubyte.gz",
    "{part}-{kind}-ubyte",
    "{part}-{dotted}-ubyte",
    "{part}-{dotted}-ubyte.gz",
    "kmnist-{part}-{kind}-ubyte.gz",
    "kmnist-{test}-{kind}-ubyte.gz",
]


@pytest.mark.parametrize("pattern", NAMES)
def test_usual_names(tmp_path: Path, mnist: Dataset, small: Dataset, pattern: str):
    for part, split in (("train", mnist.train), ("t10k", mnist.test)):
        test = part.replace("t10k", "test")
        for kind, array in (("images-idx3", split.images), ("labels-idx1", split.labels)):
            name = pattern.format(part=part, test=test, kind=kind, dotted=kind.replace("-", "."))
            write_idx(tmp_path / name, array[: COUNTS[part]])
    found = load_mnist(tmp_path)
    assert found.fingerprint == small.fingerprint
    np.testing.assert_array_equal(found.test.images, small.test.images)


def test_emnist_is_turned_upright(tmp_path: Path, mnist: Dataset, small: Dataset):
    for part, name, split in (("train", "train", mnist.train), ("t10k", "test", mnist.test)):
        count = COUNTS[part]
        transposed = np.ascontiguousarray(split.images[:count].transpose(0, 2, 1))
        write_idx(tmp_path / f"emnist-digits-{name}-images-idx3-ubyte.gz", transposed)
        write_idx(tmp_path / f"emnist-digits-{name}-labels-idx1-ubyte.gz", split.labels[:count])
    assert load_mnist(tmp_path).fingerprint == small.fingerprint


def test_plain_file_beside_its_archive_is_one_set(tmp_path: Path, mnist: Dataset, small: Dataset):
    write_set(tmp_path, mnist)
    packed = tmp_path / "train-images-idx3-ubyte.gz"
    packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
    assert load_mnist(tmp_path).fingerprint == small.fingerprint


def test_corrected_labels_differ_where_people_disagree_and_nowhere_else(mnist: Dataset, small: Dataset):
    corrected = corrected_test_labels(mnist)
    assert np.flatnonzero(corrected != mnist.test.labels).tolist() == sorted(CORRECTIONS)
    assert corrected[947] == 9
    assert corrected_test_labels(small) is None


IMAGES = np.zeros((600, 28, 28), np.uint8)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("train-images-idx3-ubyte.gz", np.zeros((600, 32, 28), np.uint8), "32×28 pixels, expected 28×28"),
        ("train-images-idx3-ubyte.gz", IMAGES[:599], "599 images but train-labels-idx1-ubyte.gz 600 labels"),
        ("t10k-labels-idx1-ubyte.gz", np.full(200, 10, np.uint8), "label 10, expected 0 to 9"),
        ("t10k-labels-idx1-ubyte.gz", np.zeros(201, np.uint8), "200 images but .* 201 labels"),
        ("letters-train-images-idx3-ubyte.gz", IMAGES, "more than one train-images-idx3-ubyte.gz"),
    ],
)
def test_sets_that_do_not_fit_are_refused(tmp_path: Path, mnist: Dataset, name: str, array: np.ndarray, message: str):
    write_idx(write_set(tmp_path, mnist) / name, array)
    with pytest.raises(DataError, match=message):
        load_mnist(tmp_path)


def test_empty_set(tmp_path: Path, mnist: Dataset):
    write_set(tmp_path, mnist)
    write_idx(tmp_path / "train-images-idx3-ubyte.gz", IMAGES[:0])
    write_idx(tmp_path / "train-labels-idx1-ubyte.gz", np.empty(0, np.uint8))
    with pytest.raises(DataError, match=r"0 image\(s\), expected a set to learn from"):
        load_mnist(tmp_path)


def test_missing_folder_and_missing_file(tmp_path: Path, mnist: Dataset):
    with pytest.raises(DataError, match="no such folder"):
        load_mnist(tmp_path / "nowhere")
    (write_set(tmp_path, mnist) / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match="no t10k-labels-idx1-ubyte.gz"):
        load_mnist(tmp_path)


def test_one_flipped_bit_in_the_bundled_files_is_found(tmp_path: Path):
    for path in BUNDLED.iterdir():
        shutil.copy(path, tmp_path)
    labels = tmp_path / "t10k-labels-idx1-ubyte.gz"
    content = bytearray(labels.read_bytes())
    content[2000] ^= 1
    labels.write_bytes(content)
    with pytest.raises(DataError, match="t10k-labels.*SHA-256 .* expected f7ae60f92e00"):
        load_mnist(tmp_path)


def test_checksums_beside_a_set_are_obeyed(tmp_path: Path, mnist: Dataset):
    write_set(tmp_path, mnist)
    name = "train-labels-idx1-ubyte.gz"
    digest = hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    sums = tmp_path / "SHA256SUMS"
    for line in (f"{digest}  {name}", f"{digest.upper()} *./{name}\n\n"):
        sums.write_text(line)
        load_mnist(tmp_path)
    sums.write_text(f"{'0' * 64}  ./{name}")
    with pytest.raises(DataError, match="train-labels.*expected 000000000000"):
        load_mnist(tmp_path)
    sums.write_bytes(b"\xff\xfe nonsense")
    with pytest.raises(DataError, match="is not a checksum and a file name"):
        load_mnist(tmp_path)


@given(labels=st.lists(st.integers(0, 9), min_size=24, max_size=200), seed=st.integers(0, 2**32))
def test_validation_share_of_any_set(tmp_path_factory, labels: list[int], seed: int):
    folder = tmp_path_factory.mktemp("set")
    # Every image is its own number, so that the parts can be told apart.
    images = np.zeros((len(labels), 28, 28), np.uint8)
    images[:, 0, 0] = np.arange(len(labels))
    for part in ("train", "t10k"):
        write_idx(folder / f"{part}-images-idx3-ubyte", images)
        write_idx(folder / f"{part}-labels-idx1-ubyte", np.array(labels, np.uint8))
    data = load_mnist(folder, seed)
    assert len(data.validation) == -(-len(labels) // 12)
    seen = [*data.train.images[:, 0, 0], *data.validation.images[:, 0, 0]]
    assert sorted(seen) == list(range(len(labels)))
    counts = np.bincount(labels, minlength=10) / 12
    assert np.all(np.abs(np.bincount(data.validation.labels, minlength=10) - counts) < 1)
