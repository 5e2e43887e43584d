"""`/v1/classify`."""

import json

import numpy as np
import pytest

from helpers.asking import InProcess
from mnist_digits.dataset import Dataset
from mnist_digits.recognition import Classifier, Reader

RAW = {"Content-Type": "application/octet-stream"}


def test_bytes_and_json_are_what_the_classifier_says(ask: InProcess, reader: Reader, mnist: Dataset):
    images = mnist.test.images[:5]
    answer = ask("POST", "/v1/classify", content=images.tobytes(), headers=RAW)
    assert answer.status_code == 200
    assert ask("POST", "/v1/classify", json={"images": images.tolist()}).json() == answer.json()
    rows = answer.json()["predictions"]
    assert [row["digit"] for row in rows] == mnist.test.labels[:5].tolist()
    expected = reader.classifier.probabilities(images)
    np.testing.assert_allclose([row["probabilities"] for row in rows], expected, atol=1e-6)
    assert all(0.99 < row["is_digit"] <= 1 for row in rows)


@pytest.mark.parametrize("count", [1, 63, 64, 65, 700])
def test_any_number_of_images_is_answered_in_order(ask: InProcess, mnist: Dataset, reader: Reader, count: int):
    images = mnist.test.images[:count]
    rows = ask("POST", "/v1/classify", content=images.tobytes()).json()["predictions"]
    np.testing.assert_allclose(
        [row["probabilities"] for row in rows], reader.classifier.probabilities(images), atol=1e-5
    )


def test_what_shows_no_digit_has_none(ask: InProcess):
    images = np.zeros((2, 28, 28), np.uint8)
    images[1, ::2, ::2] = 255
    for row in ask("POST", "/v1/classify", content=images.tobytes()).json()["predictions"]:
        assert row["digit"] is None
        assert sum(row["probabilities"]) == pytest.approx(1, abs=1e-4)


def test_a_model_without_rejection_gives_no_is_digit(small_model, asking, random_images: np.ndarray):
    rows = asking(own=Reader(small_model))("POST", "/v1/classify", content=random_images.tobytes()).json()
    probabilities = Classifier(small_model).probabilities(random_images)
    assert [list(row) for row in rows["predictions"]] == [["digit", "probabilities"]] * 7
    assert [row["digit"] for row in rows["predictions"]] == probabilities.argmax(axis=1).tolist()


@pytest.mark.parametrize("length", [0, 1, 783, 785, 784 * 3 - 1])
def test_other_lengths_are_refused(ask: InProcess, length: int):
    answer = ask("POST", "/v1/classify", content=bytes(length))
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(f"{length:,} bytes, expected 784 for each image")


ROW = [0] * 28


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{}",
        "[]",
        "null",
        '{"images": []}',
        '{"images": [[[0]]]}',
        json.dumps({"images": [[ROW] * 27]}),
        json.dumps({"images": [[ROW] * 27 + [[*ROW, 0]]]}),
        json.dumps({"images": [[ROW] * 27 + [[256, *ROW[1:]]]]}),
        json.dumps({"images": [[ROW] * 27 + [[-1, *ROW[1:]]]]}),
        json.dumps({"images": [[ROW] * 27 + [[0.5, *ROW[1:]]]]}),
        json.dumps({"images": [[ROW] * 27 + [[True, *ROW[1:]]]]}),
        json.dumps({"images": [[ROW] * 27 + [["0", *ROW[1:]]]]}),
        json.dumps({"images": [[ROW] * 27 + [[float("nan"), *ROW[1:]]]]}),
        "[" * 100_000,
        '{"images": ' + "9" * 100_000 + "}",
        '{"images": [[[' + "-1," * 1_000_000 + "0]]]}",
    ],
)
def test_invalid_json_is_refused_in_one_line(ask: InProcess, body: str):
    answer = ask("POST", "/v1/classify", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert "expected" in error
    assert len(error) < 300
    assert "\n" not in error


def test_floats_are_not_taken_for_more_images(ask: InProcess, mnist: Dataset):
    for images in (mnist.train.images[:8], mnist.train.images[:1], np.zeros((8, 28, 28), np.uint8)):
        assert ask("POST", "/v1/classify", content=images.tobytes()).status_code == 200
    for dtype, scale in ((np.float32, 1), (np.float32, 1 / 255), (np.float64, 1), (np.float64, 1 / 255)):
        floats = (mnist.train.images[:2] * scale).astype(dtype)
        answer = ask("POST", "/v1/classify", content=floats.tobytes())
        assert answer.status_code == 400
        assert f"2 images of {np.dtype(dtype)}, expected uint8" in answer.json()["error"]
