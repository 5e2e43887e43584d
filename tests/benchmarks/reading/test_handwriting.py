from dataclasses import replace

import cv2
import numpy as np
import pytest

from benchmarks.reading.pages.handwriting import WritingStyle, thin, write_digit
from mnist_digits.dataset import Dataset

STYLE = WritingStyle(height=60, pen_width=0.1, slant=0.0, variation=0.0)


def write(image: np.ndarray, style: WritingStyle) -> np.ndarray:
    return write_digit(image, style, np.random.default_rng(0))


def test_the_pen_is_as_wide_as_it_should_be(mnist: Dataset):
    image = mnist.train.images[mnist.train.labels == 0][0]
    for stroke in (0.05, 0.09, 0.13):
        ink = write(image, replace(STYLE, pen_width=stroke))
        depth = cv2.distanceTransform((ink > 0.5).astype(np.uint8), cv2.DIST_L2, 5)
        middle = thin((ink > 0.5).astype(np.uint8)) > 0
        # The depth is counted from the middle of the next pixel outside.
        assert 2 * np.median(depth[middle]) - 1 == pytest.approx(60 * stroke, abs=1.2)


@pytest.mark.parametrize("height", [20, 60, 150])
def test_edges_are_as_sharp_at_any_size(mnist: Dataset, height: float):
    ink = write(mnist.train.images[0], replace(STYLE, height=height))
    assert ink.shape[0] == pytest.approx(height, rel=0.15)
    grey = ((ink > 0.1) & (ink < 0.9)).sum()
    outlines, _ = cv2.findContours((ink > 0.5).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    assert grey < 2.5 * sum(map(len, outlines))


def test_slant_leans_to_the_right(mnist: Dataset):
    def lean(slant: float) -> float:
        moments = cv2.moments(write(mnist.train.images[0], replace(STYLE, slant=slant)))
        return -moments["mu11"] / moments["mu02"]

    assert lean(0.3) - lean(0.0) == pytest.approx(0.3, abs=0.08)


def test_a_thinned_shape_is_a_line_of_the_same_topology(mnist: Dataset):
    for image in mnist.train.images[:20]:
        shape = (cv2.resize(image, None, fx=3, fy=3) > 96).astype(np.uint8)
        line = thin(shape)
        assert not (line & ~shape & 1).any()
        assert line.sum() < 0.4 * shape.sum()
        assert cv2.connectedComponents(line)[0] == cv2.connectedComponents(shape)[0]
        # No square of four pixels is left: the line is one pixel wide, but for a corner or two.
        assert (cv2.filter2D(line, -1, np.ones((2, 2)), borderType=cv2.BORDER_CONSTANT) == 4).sum() <= 3


def test_thinning_leaves_its_argument_alone():
    shape = np.ones((9, 9), np.uint8)
    thin(shape)
    assert shape.all()


def test_specks_are_left_out_and_broken_strokes_are_not():
    image = np.zeros((28, 28), np.uint8)
    image[4:12, 13:16] = image[15:24, 13:16] = 255
    image[20:22, 22:23] = 255
    # The paper counts as a part.
    assert cv2.connectedComponents((write(image, STYLE) > 0.5).astype(np.uint8))[0] == 1 + 2
