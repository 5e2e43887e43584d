import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.pictures import strokes
from helpers.small_pages import amid, detections_at, inked
from mnist_digits.dataset import Dataset
from mnist_digits.recognition import Box
from mnist_digits.recognition.layout import segments
from mnist_digits.recognition.layout.detector import Detections
from mnist_digits.recognition.layout.segments import (
    MAX_SEGMENTED_COMPONENTS,
    Segments,
    cut_out,
    find_segments,
    joint_box,
)

HEIGHT = 40
DIGITS = [(40, 60, 24, HEIGHT), (90, 62, 8, HEIGHT), (130, 58, 30, HEIGHT)]
PART = st.tuples(st.integers(12, 28), st.integers(30, 40))
"""Width and height of a blot."""


def as_set(found: Segments) -> set[tuple[int, ...]]:
    return {tuple(map(int, box)) for box in found.boxes}


def assert_consistent(found: Segments) -> None:
    """The boxes lie close around what the labels say."""
    assert (
        len(found) == len(found.boxes) == len(found.detections) == len(found.components) == found.labels.max(initial=0)
    )
    for number, box in enumerate(found.boxes, 1):
        assert cv2.boundingRect((found.labels == number).astype(np.uint8)) == tuple(box)
    np.testing.assert_allclose(found.centres_x, [x + width / 2 for x, _, width, _ in found.boxes])


@pytest.fixture(scope="module")
def pairs(mnist: Dataset) -> list[tuple[np.ndarray, list[Box]]]:
    """Pairs of digits that touch: ink, float32 (h, w), and the box of either."""
    found = []
    for left, right in zip(mnist.train.images[:60:2], mnist.train.images[1:60:2], strict=True):
        for overlap in range(20, 60, 3):
            masks = np.zeros((2, 164, 248 - overlap), bool)
            masks[0, 40:124, 40:124] = strokes(left, 84)
            masks[1, 40:124, 124 - overlap : 208 - overlap] = strokes(right, 84)
            if cv2.connectedComponents(masks.any(axis=0).astype(np.uint8))[0] == 2:
                ink = cv2.GaussianBlur(masks.any(axis=0).astype(np.float32), (0, 0), 0.7)
                found.append((ink, [cv2.boundingRect(mask.astype(np.uint8)) for mask in masks]))
                break
    assert len(found) > 20
    return found


@given(cells=st.sets(st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=1), data=st.data())
def test_a_segment_for_each_blot(cells: set[tuple[int, int]], data: st.DataObject):
    boxes = [(20 + 45 * i, 20 + 60 * j, *data.draw(PART)) for i, j in sorted(cells)]
    ink = inked(*boxes, shape=(280, 320), strength=data.draw(st.floats(0.5, 1, width=32)))
    found = find_segments(ink, amid(*boxes), HEIGHT)
    assert as_set(found) == set(boxes)
    np.testing.assert_array_equal(found.labels > 0, ink > 0)
    assert_consistent(found)
    # Each belongs to the detection in its middle, and is a component of its own.
    assert [boxes[detection] for detection in found.detections] == [tuple(box) for box in found.boxes]
    assert len(set(found.components)) == len(boxes)


@settings(max_examples=30)
@given(right=st.integers(0, 99), down=st.integers(0, 99), seed=st.integers(0, 1000))
def test_a_page_may_be_moved(right: int, down: int, seed: int):
    random = np.random.default_rng(seed)
    ink = cv2.GaussianBlur((random.random((150, 200)) < 0.03).astype(np.float32), (0, 0), 2) * 8
    # Gaps between ink and the page's edge are closed; away from it nothing depends on where the page ends.
    ink = np.pad(np.minimum(ink, 1)[4:-4, 4:-4], 4)
    detections = detections_at(*random.uniform(20, 130, (6, 2)))
    still = find_segments(ink, detections, HEIGHT)
    moved = find_segments(
        np.pad(ink, ((down, 0), (right, 0))),
        Detections(detections.centres + np.array([right, down]), detections.scores),
        HEIGHT,
    )
    np.testing.assert_array_equal(moved.labels[down:, right:] > 0, still.labels > 0)
    owned = [(*map(int, box), int(detection)) for box, detection in zip(still.boxes, still.detections, strict=True)]
    assert len(owned) > 1
    assert sorted((x + right, y + down, *rest) for x, y, *rest in owned) == sorted(
        (*map(int, box), int(detection)) for box, detection in zip(moved.boxes, moved.detections, strict=True)
    )
    assert_consistent(still)


def test_touching_digits_are_cut_between_their_detections(pairs: list[tuple[np.ndarray, list[Box]]]):
    for ink, boxes in pairs:
        detections = amid(*[(box[0], 40, box[2], 84) for box in boxes])
        found = find_segments(ink, detections, 70)
        assert_consistent(found)
        assert set(found.detections) == {0, 1}
        assert len(set(found.components)) == 1
        # At the same height, halfway between the middles.
        rows, columns = np.nonzero(found.labels)
        middle = detections.centres[:, 0].mean()
        np.testing.assert_array_equal(found.detections[found.labels[rows, columns] - 1], columns > middle)
        assert (found.labels > 0).sum() > 0.98 * (ink > 0.35).sum()


def test_segments_are_the_same_where_there_are_too_many_distances_to_compute_all(
    pairs: list[tuple[np.ndarray, list[Box]]], monkeypatch: pytest.MonkeyPatch
):
    pages = [(ink, amid(*[(box[0], 40, box[2], 84) for box in boxes])) for ink, boxes in pairs[:8]]
    expected = [find_segments(ink, detections, 70) for ink, detections in pages]
    monkeypatch.setattr(segments, "MAX_DISTANCES", 500)
    for (ink, detections), one in zip(pages, expected, strict=True):
        found = find_segments(ink, detections, 70)
        np.testing.assert_array_equal(found.labels, one.labels)
        np.testing.assert_array_equal(found.detections, one.detections)


def test_a_little_over_the_border_is_no_cut():
    digits = [(40, 60, 38, HEIGHT), (100, 60, 20, HEIGHT)]
    # The middles are 59 and 110, and the flag of the left one reaches beyond the 84 halfway.
    found = find_segments(inked(*digits, (40, 60, 50, 6)), amid(*digits), HEIGHT)
    assert as_set(found) == {(40, 60, 50, HEIGHT), digits[1]}
    assert sorted(found.detections) == [0, 1]


def test_the_parts_of_a_broken_digit_belong_to_one_detection():
    parts = [(40, 60, 20, 16), (44, 82, 20, 18), (30, 70, 6, 25)]
    found = find_segments(inked(*parts), detections_at((50, 80)), HEIGHT)
    assert as_set(found) == set(parts)
    assert set(found.detections) == {0}
    assert len(set(found.components)) == len(parts)


@pytest.mark.parametrize(("side", "gap", "whole"), [(300, 2, True), (300, 3, False), (1200, 6, True), (1200, 7, False)])
def test_a_small_gap_does_not_break_a_stroke(side: int, gap: int, whole: bool):
    parts = [(40, 60, 8, 18), (40, 78 + gap, 8, 18)]
    ink = inked(*parts, shape=(300, side))
    found = find_segments(ink, detections_at((44, 78)), HEIGHT)
    assert len(found) == (1 if whole else 2)
    np.testing.assert_array_equal(found.labels > 0, ink > 0)
    # Beside one another they never are one.
    aside = find_segments(inked((40, 60, 8, 40), (50, 60, 8, 40), shape=(300, side)), detections_at((49, 80)), HEIGHT)
    assert len(aside) == 2


def test_ink_goes_to_the_digit_that_it_points_to_and_not_to_the_nearest():
    # A bar from one digit far into the other.
    digits = [(40, 60, 20, HEIGHT), (90, 60, 20, HEIGHT)]
    ink = inked(*digits, (40, 76, 60, 6))
    detections = amid(*digits)

    def vote(points: np.ndarray) -> np.ndarray:
        left = (points[:, 0] < 60) | ((points[:, 1] >= 76) & (points[:, 1] < 82) & (points[:, 0] < 90))
        return np.where(left[:, None], detections.centres[0], detections.centres[1])

    nearest, voted = (find_segments(ink, detections, HEIGHT, one) for one in (None, vote))
    assert as_set(voted) == {(40, 60, 50, HEIGHT), digits[1]} != as_set(nearest)
    assert_consistent(voted)

    # What points nowhere belongs to the nearest.
    lost = find_segments(ink, detections, HEIGHT, lambda points: points + 1000.0)
    assert as_set(lost) == as_set(nearest)


@pytest.mark.parametrize(
    "other",
    [
        (66, 80, 3, 3),  # a speck
        (20, 130, 360, 2),  # an underline
        (0, 10, 3, 280),  # the paper's edge
        (300, 60, 20, HEIGHT),  # a letter that is no detection's
        (30, 150, 330, 140),  # a drawing
    ],
)
def test_what_is_no_digits_is_left_out(other: Box):
    found = find_segments(inked(*DIGITS, other), amid(*DIGITS), HEIGHT)
    assert as_set(found) == set(DIGITS)
    assert len(np.unique(found.labels)) == 1 + len(DIGITS)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (60, 80)])
@pytest.mark.parametrize("value", [0, 1])
def test_no_ink_or_no_detections_no_segments(shape: tuple[int, int], value: int):
    ink = np.full(shape, value, np.float32)
    for found in (find_segments(ink, detections_at(), 20), find_segments(0 * ink, detections_at((0.5, 0.5)), 20)):
        assert len(found) == 0
        assert found.boxes.shape == (0, 4)
        assert found.labels.shape == shape
        assert not found.labels.any()
        assert found.centres_x.shape == (0,)


def test_of_too_many_the_largest_are_kept():
    corners = [(20 * i, 30 * j) for i in range(40) for j in range(40)]
    large = {corner for number, corner in enumerate(corners) if number % 4 == 0}
    boxes = [(x + 4, y + 2, 8, 20 if (x, y) in large else 16) for x, y in corners]
    found = find_segments(inked(*boxes, shape=(1200, 800)), amid(*boxes), 20)
    assert len(found) == MAX_SEGMENTED_COMPONENTS < len(boxes)
    assert {(x + 4, y + 2, 8, 20) for x, y in large} <= as_set(found) <= set(boxes)


def test_a_segment_is_cut_out_with_its_soft_edges():
    ink = cv2.GaussianBlur(inked(*DIGITS), (0, 0), 1.5)
    found = find_segments(ink, amid(*DIGITS), HEIGHT)
    for own, box in enumerate(found.boxes):
        crop, _ = cut_out(ink, found, np.array([own]))
        x, y, width, height = box
        # A pixel around it on every side, of which the corners lie further away.
        np.testing.assert_array_equal(crop[1:-1, 4:-4], ink[y - 1 : y + height + 1, x + 2 : x + width - 2])
        np.testing.assert_array_equal(crop[4:-4, 1:-1], ink[y + 2 : y + height - 2, x - 1 : x + width + 1])
        assert 0 < crop[1].max() < 0.35
        assert 0 < crop[:, 1].max() < 0.35


def test_a_segment_is_cut_out_without_its_neighbours():
    ink = inked((40, 40, 6, 40), (40, 74, 30, 6), (52, 40, 20, 28))
    found = find_segments(ink, detections_at((55, 60)), HEIGHT)
    assert len(found) == 2
    for own in range(2):
        crop, box = cut_out(ink, found, np.array([own]))
        assert box == joint_box(found.boxes[[own]])
        assert crop.sum() == (found.labels == own + 1).sum()
    crop, box = cut_out(ink, found, np.array([0, 1]))
    assert box == (40, 40, 32, 40)
    assert crop.sum() == ink.sum()


@pytest.mark.parametrize("slope", [-0.3, 0.3])
def test_a_sloping_segment_is_cut_out_level(slope: float):
    ink = np.zeros((200, 300), np.float32)
    x = np.arange(60, 200)
    for thick in range(12):
        ink[np.rint(100 + slope * (x - 130)).astype(int) + thick, x] = 1
    found = find_segments(ink, detections_at((130, 106)), 160)
    crop, _ = cut_out(ink, found, np.array([0]), slope)
    assert (crop > 0.5).any(axis=1).sum() < 18
    assert abs(crop.sum() / ink.sum() - 1) < 0.05


@given(st.lists(st.tuples(*[st.integers(0, 50)] * 2, *[st.integers(1, 50)] * 2), min_size=1, max_size=6))
def test_a_joint_box_is_the_smallest_around_all(boxes: list[Box]):
    drawn = inked(*boxes, shape=(110, 110)).astype(np.uint8)
    assert joint_box(np.array(boxes)) == cv2.boundingRect(drawn)
