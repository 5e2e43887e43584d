import cv2
import numpy as np
import pytest

from helpers.pictures import strokes
from mnist_digits.dataset import Dataset
from mnist_digits.recognition import Normalised, find_ink, normalise
from mnist_digits.recognition.preprocessing.mnist_format import stroke_width


def seen(picture: np.ndarray) -> Normalised:
    result = normalise(find_ink(picture))
    assert result.image.shape == (28, 28)
    assert result.image.dtype == np.uint8
    return result


def distance(first: np.ndarray, second: np.ndarray) -> float:
    """Share of the ink that differs, wherever a step of one pixel makes it least: MNIST moves by whole pixels.

    Two scans of one digit differ by 0.1 or 0.2, at the edges of its strokes; two people's digits by 1.
    """
    shifts = [np.roll(second, (row, column), (0, 1)) for row in (-1, 0, 1) for column in (-1, 0, 1)]
    return min(np.abs(first.astype(int) - shifted).sum() / max(first.sum(), 1) for shifted in shifts)


def test_mnist_images_stay_as_they_are(mnist: Dataset):
    images = mnist.train.images[:300]
    normalised = np.array([seen(image).image for image in images])
    changed = np.abs(normalised.astype(int) - images).max(axis=(1, 2)) > 10
    # Left are those with the thinnest and thickest strokes, and detached specks.
    assert changed.mean() < 0.08
    assert np.abs(normalised.astype(int) - images).mean() < 1


def test_nearest_neighbours_keep_their_label(mnist: Dataset):
    """An oracle without a network: the label of the nearest of 5,000 images is as often right as before."""
    known, labels = mnist.train.images[:5000].reshape(-1, 784).astype(np.float32), mnist.train.labels[:5000]
    images, truth = mnist.validation.images[:300], mnist.validation.labels[:300]

    def right(pictures: np.ndarray) -> int:
        flat = pictures.reshape(-1, 784).astype(np.float32)
        nearest = ((known**2).sum(axis=1) - 2 * flat @ known.T).argmin(axis=1)
        return int((labels[nearest] == truth).sum())

    enlarged = np.array([seen(255 - 255 * strokes(image, 140).astype(np.uint8)).image for image in images])
    assert right(np.array([seen(image).image for image in images])) >= right(images) - 1
    assert right(enlarged) >= right(images) - 4


@pytest.fixture
def digit(mnist: Dataset) -> np.ndarray:
    """A 5, dark on light: uint8 (200, 200)."""
    return 255 - 235 * strokes(mnist.train.images[7], 200).astype(np.uint8)


@pytest.mark.parametrize("factor", [0.3, 0.5, 0.8, 1.5, 3, 10, 30])
def test_scale_makes_no_difference(digit: np.ndarray, factor: float):
    small = cv2.resize(digit, (100, 100), interpolation=cv2.INTER_AREA)
    side = round(100 * factor)
    scaled = cv2.resize(small, (side, side), interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
    assert distance(seen(small).image, seen(scaled).image) < 0.2


def test_place_padding_polarity_and_brightness_make_no_difference(digit: np.ndarray):
    image = seen(digit).image
    padded = cv2.copyMakeBorder(digit, 30, 200, 90, 10, cv2.BORDER_CONSTANT, value=255)
    ink = 255 - digit
    x, y, width, height = cv2.boundingRect(ink)
    others = {
        "moved": np.roll(digit, (10, -7), (0, 1)),
        "padded": padded,
        "cut out": digit[y - 3 : y + height + 3, x - 3 : x + width + 3],
        "inverted": ink,
        "brightened": (digit * 0.4 + 150).astype(np.uint8),
        "darkened": (digit * 0.4).astype(np.uint8),
    }
    for name, picture in others.items():
        assert distance(image, seen(picture).image) < 0.1, name


def test_box_is_where_the_ink_is(digit: np.ndarray):
    x, y, width, height = cv2.boundingRect(255 - digit)
    padded = cv2.copyMakeBorder(digit, 300, 0, 500, 0, cv2.BORDER_CONSTANT, value=255)
    np.testing.assert_allclose(seen(padded).box, (x + 500, y + 300, width, height), atol=4)


def test_longest_side_and_centre_of_mass_are_those_of_mnist(mnist: Dataset):
    for image in mnist.train.images[:50]:
        result = seen(255 - 255 * strokes(image, 150).astype(np.uint8)).image
        rows, columns = np.nonzero(result > 128)
        assert 19 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= 21
        mass = result / result.sum()
        for axis in (0, 1):
            # LeCun's centre lies between pixels 13 and 14, rounded to a pixel.
            assert 13.4 <= mass.sum(axis=1 - axis) @ np.arange(28) <= 14.6


def test_proportions_are_kept():
    picture = np.full((100, 300), 255, np.uint8)
    picture[30:70, 20:280] = 0
    rows, columns = np.nonzero(seen(picture).image > 128)
    assert np.ptp(columns) + 1 == 20
    assert np.ptp(rows) + 1 <= 5


def ring(thickness: int) -> np.ndarray:
    picture = np.full((400, 400), 255, np.uint8)
    cv2.ellipse(picture, (200, 200), (100, 150), 0, 0, 360, 0, thickness, cv2.LINE_AA)
    return picture


@pytest.mark.parametrize("thickness", [1, 3, 10, 40, 90, 130])
def test_strokes_get_the_width_of_mnist_and_loops_stay_open(thickness: int):
    image = seen(ring(thickness)).image
    assert 1.3 < stroke_width(image / np.float32(255)) < 5
    assert image.max() > 240
    assert image[14, 14] < 100
    assert cv2.connectedComponents((image < 128).astype(np.uint8), connectivity=4)[0] == 3


def test_stroke_width_is_area_over_length():
    bar = np.zeros((60, 300), np.float32)
    bar[25:32] = 1
    assert stroke_width(bar) == pytest.approx(7, rel=0.03)


def test_specks_and_dots_are_left_out(digit: np.ndarray):
    clean = seen(digit).image
    for places in ([(8, 190)], [(5, 5), (190, 12), (100, 194)]):
        dotted = digit.copy()
        for place in places:
            cv2.circle(dotted, place, 4, 20, -1)
        assert distance(clean, seen(dotted).image) < 0.1
        assert seen(dotted).components == 1


def test_detached_roof_belongs_to_its_five():
    picture = np.full((300, 300), 255, np.uint8)
    cv2.polylines(
        picture, [np.array([[120, 80], [115, 140], [160, 130], [185, 165], [170, 215], [110, 220]])], False, 0, 14
    )
    without = seen(picture).image
    cv2.line(picture, (145, 62), (205, 55), 0, 14)
    result = seen(picture)
    assert result.components == 1
    assert result.box[1] < 60
    assert distance(result.image, without) > 0.2


def test_components_of_a_broken_stroke_are_kept(digit: np.ndarray):
    broken = digit.copy()
    broken[::40] = broken[1::40] = 255
    assert distance(seen(digit).image, seen(broken).image) < 0.2


def test_digits_side_by_side_are_counted(mnist: Dataset):
    one, two, three = (255 - 255 * strokes(image, 120).astype(np.uint8) for image in mnist.train.images[[0, 3, 5]])
    assert [seen(np.hstack(row)).components for row in ([one], [one, two], [one, two, three])] == [1, 2, 3]


def test_small_digit_among_far_specks():
    picture = np.full((2000, 2000), 255, np.uint8)
    cv2.ellipse(picture, (1000, 1000), (20, 30), 0, 0, 360, 0, 6, cv2.LINE_AA)
    alone = seen(picture).image
    picture[5:8, 5:8] = picture[-8:-5, -8:-5] = 0
    assert distance(alone, seen(picture).image) < 0.4


def test_any_ink_gives_an_image():
    random = np.random.default_rng(0)
    for i in range(400):
        shape = tuple(int(side) for side in np.exp(random.uniform(0, 6, 2)))
        share = random.choice([0.001, 0.02, 0.3, 0.9])
        ink = (random.random(shape) * (random.random(shape) < share)).astype(np.float32)
        if i % 4 == 0:
            ink = np.full(shape, random.random(), np.float32)
        result = normalise(ink)
        assert result.image.any() == ink.any() == bool(result.components)
        x, y, width, height = result.box
        assert 0 <= x <= x + width <= shape[1]
        assert 0 <= y <= y + height <= shape[0]


def test_nothing_gives_nothing():
    result = normalise(np.zeros((50, 80), np.float32))
    assert not result.image.any()
    assert result.components == result.box[2] == 0


@pytest.mark.parametrize(
    ("ink", "message"),
    [
        (np.zeros((4, 4)), r"ink of float64 \(4, 4\), expected float32"),
        (np.zeros(4, np.float32), "expected float32 .h, w."),
        (np.full((4, 4), np.nan, np.float32), "from nan"),
        (np.full((4, 4), 2, np.float32), "to 2, expected every value in"),
    ],
)
def test_other_arrays_are_refused(ink: np.ndarray, message: str):
    with pytest.raises(ValueError, match=message):
        normalise(ink)
