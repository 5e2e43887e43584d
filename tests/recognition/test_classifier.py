from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from helpers.pictures import encoded
from helpers.small_model import nearest_mean, write_model
from mnist_digits.dataset import Dataset
from mnist_digits.errors import DataError
from mnist_digits.recognition import Classifier, Prediction, find_ink, normalise


@pytest.fixture(scope="module")
def small_classifier(small_model: Path) -> Classifier:
    return Classifier(small_model)


@pytest.fixture(scope="module")
def rejecting(rejecting_model: Path) -> Classifier:
    return Classifier(rejecting_model)


def softmax_of(dataset: Dataset, images: np.ndarray) -> np.ndarray:
    """What the small model gives, in NumPy."""
    weights, bias = nearest_mean(dataset.train)
    powers = np.exp(images.reshape(-1, 784) / 255 @ weights + bias)
    return powers / powers.sum(axis=1, keepdims=True)


def enlarged(image: np.ndarray) -> np.ndarray:
    return np.kron(image > 110, np.ones((4, 4), bool))


def drawn(*masks: np.ndarray) -> np.ndarray:
    """Shapes side by side as on a page, black on white."""
    return 255 - 255 * np.hstack([np.pad(mask, ((30, 30), (12, 12))) for mask in masks]).astype(np.uint8)


def bar(height: int = 90) -> np.ndarray:
    return np.ones((height, 8), bool)


def sure_of_ones(path: Path) -> Classifier:
    """Takes everything for a 1, and is as sure as it can be."""
    return Classifier(write_model(path, np.zeros((784, 10)), 100 * np.eye(10)[1]))


@pytest.mark.parametrize("count", [0, 1, 7, 550])
@pytest.mark.parametrize("threads", [1, 2])
def test_probabilities_are_the_product_of_matrices(small_model: Path, small: Dataset, count: int, threads: int):
    images = small.train.images[:count]
    found = Classifier(small_model, threads).probabilities(images)
    assert found.dtype == np.float32
    assert found.shape == (count, 10)
    np.testing.assert_allclose(found, softmax_of(small, images), atol=1e-5)


def test_images_may_lie_anywhere_in_memory(small_classifier: Classifier, small: Dataset):
    turned = small.test.images[:9].transpose(0, 2, 1)[::2]
    np.testing.assert_allclose(
        small_classifier.probabilities(turned), softmax_of(small, np.ascontiguousarray(turned)), atol=1e-5
    )


SHAPES = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=30)
TYPES = st.one_of(arrays.scalar_dtypes(), arrays.unicode_string_dtypes(), st.just(np.dtype(object)))


@given(shape=st.one_of(SHAPES, st.just((2, 28, 28))), dtype=TYPES)
def test_any_other_array_is_refused_in_one_line(small_classifier: Classifier, shape: tuple[int, ...], dtype: np.dtype):
    images = np.zeros(shape, dtype)
    if dtype == np.uint8 and shape[1:] == (28, 28):
        assert small_classifier.probabilities(images).shape == (len(images), 10)
        return
    with pytest.raises(ValueError, match="expected uint8 .n, 28, 28.") as caught:
        small_classifier.probabilities(images)
    assert "\n" not in str(caught.value)


def test_a_picture_is_read_from_path_content_and_pixels(small_classifier: Classifier, small: Dataset, tmp_path: Path):
    pixels = drawn(enlarged(small.train.images[0]))
    path = tmp_path / "digit.png"
    Image.fromarray(pixels).save(path)
    expected = softmax_of(small, normalise(find_ink(pixels)).image)[0]
    for picture in (path, str(path), path.read_bytes(), pixels, pixels / 255):
        prediction = small_classifier.classify(picture)
        assert (prediction.digit, prediction.reason) == (expected.argmax(), None)
        assert prediction.confidence == pytest.approx(expected.max(), abs=1e-5)
        np.testing.assert_allclose(prediction.probabilities, expected, atol=1e-5)
        np.testing.assert_array_equal(prediction.image, normalise(find_ink(pixels)).image)
        assert prediction.box == normalise(find_ink(pixels)).box


def same(first: Prediction, second: Prediction) -> bool:
    return first.to_json() == second.to_json() and first.box == second.box and (first.image == second.image).all()


def test_many_pictures_are_read_as_one_by_one(rejecting: Classifier, small: Dataset):
    pictures = [*small.test.images[:20], drawn(bar(), bar()), np.zeros((9, 9), np.uint8)]
    one_by_one = [rejecting.classify(picture) for picture in pictures]
    assert all(map(same, rejecting.classify_many(iter(pictures)), one_by_one))
    assert rejecting.classify_many([]) == []


def test_threads_share_a_classifier(rejecting: Classifier, small: Dataset):
    expected = [rejecting.classify(image) for image in small.test.images[:30]]
    whole = rejecting.probabilities(small.test.images)
    with ThreadPoolExecutor(8) as pool:
        wholes = [pool.submit(rejecting.probabilities, small.test.images) for _ in range(16)]
        rounds = [pool.map(rejecting.classify, small.test.images[:30]) for _ in range(4)]
        for found in rounds:
            assert all(map(same, found, expected))
        for future in wholes:
            np.testing.assert_array_equal(future.result(), whole)


def test_a_blank_picture(small_classifier: Classifier):
    prediction = small_classifier.classify(np.full((50, 60), 200, np.uint8))
    assert prediction.reason == "blank"
    assert prediction.to_json()["probabilities"] == [0.1] * 10
    assert (prediction.digit, prediction.confidence, prediction.box[2]) == (None, 0, 0)
    assert not prediction.image.any()


def test_what_the_model_rejects_is_no_digit(rejecting: Classifier, small_classifier: Classifier, small: Dataset):
    blot = rejecting.classify(drawn(np.ones((24, 24), bool)))
    assert (blot.digit, blot.reason) == (None, "not-a-digit")
    covered = blot.image.mean() / 255
    assert blot.confidence == pytest.approx(blot.probabilities.max() * (1 - covered), abs=1e-5)
    assert small_classifier.classify(drawn(np.ones((24, 24), bool))).reason is None
    read = rejecting.classify(drawn(enlarged(small.train.images[0])))
    assert read.digit is not None
    assert read.confidence == pytest.approx(read.probabilities.max() * (1 - read.image.mean() / 255), abs=1e-5)


def test_what_is_less_sure_than_asked_for_is_no_digit(small_classifier: Classifier, small: Dataset):
    sure = small_classifier.classify(small.test.images[0]).confidence
    assert small_classifier.classify(small.test.images[0], sure - 0.001).digit is not None
    rejected = small_classifier.classify(small.test.images[0], sure + 0.001)
    assert (rejected.digit, rejected.reason, rejected.confidence) == (None, "not-a-digit", sure)


def test_components_side_by_side_are_one_digit_where_the_model_is_sure(
    small_classifier: Classifier, rejecting: Classifier, tmp_path: Path
):
    two = drawn(bar(), bar())
    assert small_classifier.classify(two).reason == "several-digits"
    assert small_classifier.classify(drawn(bar())).reason is None
    assert sure_of_ones(tmp_path / "sure.onnx").classify(two).digit == 1
    assert rejecting.classify(two).reason is None
    strict = write_model(tmp_path / "strict.onnx", np.zeros((784, 10)), np.zeros(10), rejecting=True, threshold="1")
    assert Classifier(strict).classify(two).reason == "several-digits"
    assert Classifier(strict).classify(drawn(bar())).reason == "not-a-digit"


def test_odd_pictures_have_an_answer(rejecting: Classifier, small: Dataset):
    page = Image.fromarray(drawn(enlarged(small.train.images[0])))
    expected = rejecting.classify(np.asarray(page)).digit
    assert rejecting.classify(encoded(page.convert("CMYK"), "JPEG", quality=95)).digit == expected
    other = Image.new("L", page.size)
    assert rejecting.classify(encoded(page, "GIF", save_all=True, append_images=[other])).digit == expected
    for size in ((1, 1), (1, 5000), (5000, 1)):
        for shade in (0, 130, 255):
            assert rejecting.classify(encoded(Image.new("L", size, shade), "PNG")).reason == "blank"
        dotted = np.zeros(size, np.uint8)
        dotted[::7] = 255
        found = rejecting.classify(dotted)
        assert (found.digit is None) == (found.reason is not None)
        assert found.probabilities.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("content", [b"", b"seven", b"\x89PNG\r\n\x1a\n"])
def test_what_cannot_be_opened_is_an_error(small_classifier: Classifier, content: bytes):
    with pytest.raises(DataError, match="not a picture|damaged"):
        small_classifier.classify_many([np.zeros((9, 9), np.uint8), content])


def test_threads_are_at_least_one(small_model: Path):
    with pytest.raises(ValueError, match="0 threads"):
        Classifier(small_model, threads=0)


FLAT = "ink = Cast <to = 1> (images) flat = Flatten (ink)"
TEN = (
    f"{FLAT} from = Constant <value_ints = [0]> () to = Constant <value_ints = [10]> () "
    "axis = Constant <value_ints = [1]> () logits = Slice (flat, from, to, axis)"
)
"""The first ten pixels of each image."""
SOFTMAX = f"{TEN} probabilities = Softmax (logits)"
PROBABILITIES = "float[n, 10] probabilities"


def model(takes: str, gives: str, body: str, **metadata: str) -> bytes:
    text = f'<ir_version: 8, opset_import: ["" : 17]> other ({takes}) => ({gives}) {{ {body} }}'
    made = onnx.parser.parse_model(text)
    onnx.helper.set_model_props(made, metadata)
    return made.SerializeToString()


def rejecting_by(sum_of: str, **metadata: str) -> bytes:
    """A model whose is_digit is the sum over `sum_of`."""
    gives = f"{PROBABILITIES}, float[n] is_digit"
    body = f"{SOFTMAX} is_digit = ReduceSum <keepdims = 0> ({sum_of}, axis)"
    return model("uint8[n, 28, 28] images", gives, body, **metadata)


IMAGES = "uint8[n, 28, 28] images"
NO_MODELS = {
    "empty": (b"", "not a model that ONNX Runtime can load"),
    "text": (b"seven", "not a model that ONNX Runtime can load"),
    "keras": (b"PK\x03\x04model", "an archive, such as a .keras file, expected ONNX: name the run's folder"),
    "hdf5": (b"\x89HDF\r\n", "a Keras model in HDF5, expected ONNX"),
    "litert": (b"\x1c\0\0\0TFL3", "a LiteRT model, expected ONNX"),
    "cut short": (model(IMAGES, PROBABILITIES, SOFTMAX)[:200], "not a model that ONNX Runtime can load"),
    "other name": (
        model("uint8[n, 28, 28] x", PROBABILITIES, SOFTMAX.replace("(images)", "(x)")),
        "a model x uint8 .n, 28, 28. → probabilities",
    ),
    "scaled images": (
        model("float[n, 28, 28] images", PROBABILITIES, SOFTMAX),
        "a model images float .n, 28, 28. → .*expected images uint8 .n, 28, 28.",
    ),
    "other size": (model("uint8[n, 32, 32] images", PROBABILITIES, SOFTMAX), "a model images uint8 .n, 32, 32."),
    "one image": (model("uint8[1, 28, 28] images", PROBABILITIES, SOFTMAX), "a model images uint8 .1, 28, 28."),
    "784 classes": (
        model(IMAGES, "float[n, 784] probabilities", f"{FLAT} probabilities = Softmax (flat)"),
        "→ probabilities float .n, 784.",
    ),
    "logits": (model(IMAGES, PROBABILITIES, f"{TEN} probabilities = Identity (logits)"), "do not sum to 1"),
    "one image in secret": (
        model(IMAGES, PROBABILITIES, f"{SOFTMAX} one = Constant <value_ints = [1, 784]> () o = Reshape (ink, one)"),
        "fails on two images",
    ),
    "one answer for all": (
        model(
            *(IMAGES, PROBABILITIES),
            f"{TEN} first = Constant <value_ints = [0]> () one = Constant <value_ints = [1]> () "
            "mean = Slice (logits, first, one, first) probabilities = Softmax (mean)",
        ),
        "1 answers for two images",
    ),
    "no threshold": (rejecting_by("probabilities"), "threshold none in its metadata"),
    "NaN": (rejecting_by("probabilities", threshold="nan"), "threshold nan in its metadata"),
    "threshold in percent": (rejecting_by("probabilities", threshold="60"), "threshold 60 in its metadata"),
    "brightness": (rejecting_by("flat", threshold="0.6"), "is_digit from 0.0 to 20400.0, expected .0, 1."),
}


@pytest.mark.parametrize("name", NO_MODELS)
def test_other_models_are_refused_in_one_line(tmp_path: Path, name: str):
    content, message = NO_MODELS[name]
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        Classifier(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_missing_models_and_folders_are_refused(tmp_path: Path):
    for path in (tmp_path, tmp_path / "none.onnx"):
        with pytest.raises(DataError, match="expected a model: `digits train` writes model.onnx"):
            Classifier(path)
