import io
import resource
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.pictures import encoded
from mnist_digits.dataset import Dataset
from mnist_digits.errors import DataError
from mnist_digits.recognition import MAX_PICTURE_PIXELS, Classifier, Reader, find_pictures, read_picture
from mnist_digits.recognition.preprocessing.image_io import (
    LIGHT_BYTES,
    LIGHT_PIXELS,
    MAX_JPEG_SCANS,
    PICTURE_KINDS,
    is_light,
)

HEIGHT, WIDTH = 12, 16


def scene() -> np.ndarray:
    """A dark corner, top left, on light ground: uint8 (12, 16). Shows how a picture has been turned."""
    pixels = np.full((HEIGHT, WIDTH), 240, np.uint8)
    pixels[:4, :6] = 16
    return pixels


def grey(picture: object) -> np.ndarray:
    pixels = read_picture(picture)
    assert pixels.dtype == np.uint8
    return pixels if pixels.ndim == 2 else pixels.mean(axis=2)


def animated() -> bytes:
    return encoded(Image.fromarray(scene()), "GIF", save_all=True, append_images=[Image.fromarray(255 - scene())])


def transparent(ink: int) -> Image.Image:
    """The scene's dark corner drawn in a grey on nothing."""
    pixels = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    pixels[:4, :6] = (ink, ink, ink, 255)
    return Image.fromarray(pixels)


RGB = Image.fromarray(scene()).convert("RGB")
FILES = {
    "png": encoded(Image.fromarray(scene()), "PNG"),
    "png rgb": encoded(RGB, "PNG"),
    "png palette": encoded(RGB.quantize(8), "PNG"),
    "png one bit": encoded(Image.fromarray(scene() > 128), "PNG"),
    "png 16 bit": encoded(Image.fromarray(scene().astype(np.uint16) << 8), "PNG"),
    "png grey and alpha": encoded(Image.fromarray(scene()).convert("LA"), "PNG"),
    "jpeg": encoded(RGB, "JPEG", quality=95),
    "jpeg cmyk": encoded(RGB.convert("CMYK"), "JPEG", quality=95),
    "webp": encoded(RGB, "WEBP", lossless=True),
    "bmp": encoded(RGB, "BMP"),
    "tiff": encoded(RGB, "TIFF"),
    "tiff deflate": encoded(RGB, "TIFF", compression="tiff_adobe_deflate"),
    "tiff float": encoded(Image.fromarray(scene().astype(np.float32) / 255), "TIFF"),
    "tiff 32 bit": encoded(Image.fromarray(scene().astype(np.int32) << 20), "TIFF"),
    "gif": encoded(RGB, "GIF"),
    "gif animated": animated(),
    "png transparent": encoded(transparent(16), "PNG"),
}


@pytest.mark.parametrize("name", FILES)
def test_every_kind_of_file_shows_the_same(name: str):
    pixels = grey(FILES[name])
    assert pixels.shape == (HEIGHT, WIDTH)
    assert pixels[:3, :5].max() < 40
    assert pixels[6:].min() > 200
    assert pixels[:, 8:].min() > 200


def test_path_and_content_are_read_alike(tmp_path: Path):
    path = tmp_path / "scene.png"
    path.write_bytes(FILES["png"])
    for picture in (path, str(path), FILES["png"]):
        np.testing.assert_array_equal(read_picture(picture), scene())


@pytest.mark.parametrize("name", FILES)
def test_a_pillow_image_is_read_as_its_file(name: str):
    image = Image.open(io.BytesIO(FILES[name]))
    expected, mode = read_picture(FILES[name]), image.mode
    np.testing.assert_array_equal(read_picture(image), expected)
    # It is left as it is, open and in its mode.
    assert image.mode == mode
    np.testing.assert_array_equal(read_picture(image), expected)


def test_pillow_images_are_classified_and_read_as_files_are(mnist: Dataset, reader: Reader):
    classifier = reader.classifier
    exif = Image.Exif()
    exif[0x0112] = 6
    digit = np.pad(np.kron(mnist.train.images[0], np.ones((3, 3), np.uint8)), 20)
    for image in (Image.fromarray(digit), Image.fromarray(np.rot90(255 - digit)).convert("P")):
        file = encoded(image, "PNG", exif=exif)
        opened = Image.open(io.BytesIO(file))
        assert classifier.classify(opened).to_json() == classifier.classify(file).to_json()
        assert reader.read(opened).to_json() == reader.follow(opened).to_page().to_json() == reader.read(file).to_json()


def test_pillow_images_that_cannot_be_read_are_refused():
    with pytest.raises(ValueError, match="image of 0 × 5 pixels, expected at least one"):
        read_picture(Image.new("L", (0, 5)))
    with pytest.raises(DataError, match="picture: damaged picture"):
        read_picture(Image.open(io.BytesIO(FILES["jpeg"][:-20])))
    with pytest.raises(ValueError, match=f"8,100 × 8,100 pixels, expected at most {MAX_PICTURE_PIXELS:,}"):
        read_picture(Image.open(io.BytesIO(bomb(8_100, 8_100))))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_as_the_camera_was_held(orientation: int):
    turned = {
        1: scene(),
        2: scene()[:, ::-1],
        3: scene()[::-1, ::-1],
        4: scene()[::-1],
        5: scene().T,
        6: np.rot90(scene(), -1),
        7: scene()[::-1, ::-1].T,
        8: np.rot90(scene()),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = encoded(Image.fromarray(scene()), "PNG", exif=exif)
    for either in (picture, Image.open(io.BytesIO(picture))):
        np.testing.assert_array_equal(read_picture(either), turned[orientation])


def test_light_drawing_on_nothing_lies_on_dark_ground():
    pixels = grey(encoded(transparent(250), "PNG"))
    assert pixels[:4, :6].min() == 250
    assert pixels[4:].max() == 0


def test_hole_in_paper_is_filled_with_paper():
    pixels = np.full((HEIGHT, WIDTH, 4), 200, np.uint8)
    pixels[..., 3] = 255
    pixels[-2:, -2:] = 0
    assert np.unique(read_picture(pixels)).tolist() == [200]


def test_arrays():
    np.testing.assert_array_equal(read_picture(scene()), scene())
    np.testing.assert_array_equal(read_picture(scene() / 255), scene())
    colour = np.stack([scene()] * 3, axis=2)
    np.testing.assert_array_equal(read_picture(colour), colour)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full((2, 2), np.nan), "from nan"),
        (np.full((2, 2), np.inf), "to inf"),
        (np.full((2, 2), 255.0), "to 255, expected every value in"),
        (np.zeros((2, 2), np.int64), "array of int64, expected uint8 or float"),
        (np.zeros(4, np.uint8), r"shape \(4,\)"),
        (np.zeros((2, 2, 2), np.uint8), "expected .h, w., .h, w, 3. or"),
        (np.zeros((0, 5), np.uint8), "with pixels in it"),
    ],
)
def test_other_arrays_are_refused_in_one_line(array: np.ndarray, message: str):
    with pytest.raises(ValueError, match=message) as caught:
        read_picture(array)
    assert "\n" not in str(caught.value)


def bomb(width: int, height: int) -> bytes:
    """A PNG that says it has so many pixels and is a few bytes long."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a picture"),
        (b"seven\n", "not a picture, expected PNG, JPEG"),
        (FILES["jpeg"][:-20], "damaged picture"),
        (FILES["png"][:50], "damaged picture"),
        (FILES["bmp"][:100], "damaged picture"),
        (bomb(40_000, 40_000), f"pixels, expected at most {MAX_PICTURE_PIXELS:,} in all"),
        (bomb(8_100, 8_100), f"8,100 × 8,100 pixels, expected at most {MAX_PICTURE_PIXELS:,}"),
    ],
)
def test_files_that_cannot_be_read_are_refused_in_one_line(tmp_path: Path, content: bytes, message: str):
    path = tmp_path / "digit.png"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_picture(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_missing_files_and_folders_are_refused(tmp_path: Path):
    for path in (tmp_path / "none.png", tmp_path):
        with pytest.raises(DataError, match="expected a picture that can be read"):
            read_picture(path)


def test_heic_is_read_or_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    with pytest.raises(DataError, match="install the extra heic"):
        read_picture(b"\0\0\0\x18ftypheic" + bytes(20))
    monkeypatch.undo()
    heif = pytest.importorskip("pillow_heif")
    file = io.BytesIO()
    heif.from_pillow(RGB.resize((64, 48))).save(file, quality=95)
    assert grey(file.getvalue())[:10, :20].max() < 60


def mutated(random: np.random.Generator, content: bytes) -> bytes:
    """The file with a few bytes changed, and sometimes cut short or with a stretch repeated."""
    data = np.frombuffer(content, np.uint8).copy()
    # Headers decide most, so most damage is done there.
    reach = len(data) if random.random() < 0.5 else min(64, len(data))
    places = random.integers(0, reach, random.integers(1, 9))
    data[places] = random.integers(0, 256, len(places))
    first, last = sorted(random.integers(0, len(data), 2))
    kind = random.integers(0, 6)
    if kind == 0:
        return data[:last].tobytes()
    if kind == 1:
        return np.concatenate([data[:last], data[first:]]).tobytes()
    return data.tobytes()


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow warns of what it then survives
def test_mutated_files_give_an_answer_or_a_clear_error(classifier: Classifier):
    random = np.random.default_rng(0)
    contents = list(FILES.values())
    read, before = 0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for i in range(5_000):
        content = mutated(random, contents[i % len(contents)])
        try:
            pixels = read_picture(content)
        except DataError as error:
            assert "\n" not in str(error)
            with pytest.raises(DataError):
                classifier.classify(content)
        else:
            assert pixels.dtype == np.uint8
            assert pixels.shape[0] * pixels.shape[1] <= MAX_PICTURE_PIXELS
            prediction = classifier.classify(pixels)
            assert i % 10 or classifier.classify(content).to_json() == prediction.to_json()
            assert (prediction.digit is None) == (prediction.reason is not None)
            assert 0 <= prediction.confidence <= 1
            assert prediction.probabilities.sum() == pytest.approx(1, abs=1e-4)
            x, y, width, height = prediction.box
            assert 0 <= x <= x + width <= pixels.shape[1]
            assert 0 <= y <= y + height <= pixels.shape[0]
            read += 1
    assert 500 < read < 4_500
    # The most a picture may need: MAX_PICTURE_PIXELS of four bytes and a copy or two, in KiB.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 * MAX_PICTURE_PIXELS / 1024


def test_every_kind_that_can_be_opened_has_suffixes_and_is_registered_by_pillow():
    Image.init()
    for kind, suffixes in PICTURE_KINDS.items():
        assert {Image.EXTENSION.get(suffix, kind) for suffix in suffixes} == {kind}


def test_pictures_of_a_folder_in_order_and_on_request_those_below(tmp_path: Path):
    for name in ("b.png", "a.JPEG", "notes.txt", ".hidden.png", "z/d.tif", "z/y/e.gif", "c/f.heic", ".cache/g.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "c" / "loop").symlink_to(tmp_path)
    (tmp_path / "c" / "loop.png").symlink_to(tmp_path)

    def found(**options: bool) -> list[str]:
        return [str(Path(name).relative_to(tmp_path)) for name in find_pictures(str(tmp_path), **options)]

    assert found() == ["a.JPEG", "b.png"]
    assert found(recursive=True) == ["a.JPEG", "b.png", "c/f.heic", "z/d.tif", "z/y/e.gif"]
    assert sorted(found(recursive=True, in_order=False)) == sorted(found(recursive=True))


def test_a_file_and_an_empty_folder_hold_none(tmp_path: Path):
    (tmp_path / "a.png").touch()
    (tmp_path / "empty").mkdir()
    for name in ("a.png", "empty", "missing"):
        assert not list(find_pictures(str(tmp_path / name), recursive=True))
    with pytest.raises(DataError, match="missing: No such file or directory; expected a folder"):
        list(find_pictures(str(tmp_path / "missing"), skip_unreadable=False))


def progressive(side: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (side, side), 255).save(file, "JPEG", progressive=True)
    content = file.getvalue()
    last = content.rindex(b"\xff\xda")
    return content[:last] + content[last:-2] * (MAX_JPEG_SCANS - content.count(b"\xff\xda") + 1) + content[-2:]


def plain(width: int, height: int, kind: str) -> bytes:
    file = io.BytesIO()
    Image.new("L", (width, height), 255).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP"])
def test_a_picture_is_light_by_the_pixels_in_its_header(kind: str):
    assert is_light(plain(1_000, 900, kind))
    # Uncompressed, fewer pixels are as many bytes.
    assert is_light(plain(1_000, LIGHT_PIXELS // 1_000, kind)) == (kind != "BMP")
    assert not is_light(plain(1_001, LIGHT_PIXELS // 1_000, kind))


def test_work_and_uncertainty_make_a_picture_heavy():
    assert not is_light(plain(10, 10, "PNG") + bytes(LIGHT_BYTES))
    assert not is_light(plain(10, 10, "TIFF"))
    assert not is_light(b"\0\0\0\x18ftypheic" + bytes(20))
    # A hundred scans are as much work as ten pictures.
    assert is_light(progressive(400))
    assert not is_light(progressive(500))


def test_what_is_refused_at_once_is_light():
    assert is_light(b"")
    assert is_light(b"no picture")
    assert is_light(plain(1_000, 1_000, "PNG")[:40])
    assert is_light(plain(20_001, 1_000, "PNG"))


def test_a_cutting_lies_on_its_paper():
    pixels = np.zeros((60, 80, 4), np.uint8)
    pixels[20:50, 30:60] = (240, 240, 240, 255)
    pixels[25:45, 40:44, :3] = 20
    found = grey(encoded(Image.fromarray(pixels), "PNG"))
    assert found[:20].min() >= 230
    assert found[25:45, 40:44].max() < 30
