"""Pictures that are valid but for one field, through `Classifier` and `Reader`."""

import io

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from fuzzing.structures import JPEG, PNG, TIFF, WEBP, Format, hostile
from fuzzing.survival import cases, examples, survived
from mnist_digits.dataset import Dataset
from mnist_digits.recognition import Reader

# Pillow warns of what it then survives or refuses.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")

VARIANTS = {
    "PNG": [{}, {"mode": "P"}, {"mode": "RGBA"}, {"mode": "I;16"}, {"mode": "1"}, {"append_images": True}],
    "JPEG": [{}, {"mode": "RGB"}, {"progressive": True}, {"mode": "CMYK"}, {"exif": True}],
    "WEBP": [{"mode": "RGB"}, {"lossless": True}, {"mode": "RGBA"}, {"append_images": True}],
    "TIFF": [
        *(
            {"compression": name}
            for name in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "lzma", "zstd")
        ),
        {"mode": "1", "compression": "group4"},
        {"mode": "RGBA", "compression": "tiff_lzw"},
        {"mode": "F"},
    ],
}
"""Format → what its files differ in: modes, compressions, frames, metadata."""

FORMATS = {"PNG": PNG, "JPEG": JPEG, "WEBP": WEBP, "TIFF": TIFF}


def valid(kind: str, image: np.ndarray) -> list[bytes]:
    """A file for each variant of a format."""
    contents = []
    for variant in VARIANTS[kind]:
        options = dict(variant)
        mode = options.pop("mode", "L")
        picture = Image.fromarray(255 - np.pad(image, 8)).convert("L" if mode == "I;16" else mode)
        if mode == "I;16":
            picture = Image.fromarray(np.asarray(picture).astype(np.uint16) * 257)
        if options.pop("append_images", False):
            options |= {"save_all": True, "append_images": [picture.rotate(90)]}
        if options.pop("exif", False):
            exif = Image.Exif()
            exif[274] = 6
            options["exif"] = exif
        file = io.BytesIO()
        picture.save(file, kind, **options)
        contents.append(file.getvalue())
    return contents


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader()


@pytest.fixture(scope="module")
def files(mnist: Dataset) -> dict[str, list[bytes]]:
    return {kind: valid(kind, mnist.train.images[7]) for kind in FORMATS}


def read(reader: Reader, kind: str, suffix: str, content: bytes) -> None:
    with survived(kind, suffix, content):
        reader.classifier.classify(content)
        reader.read(content)


@pytest.mark.parametrize("kind", FORMATS)
def test_what_is_taken_to_pieces_and_joined_again_is_the_same_picture(files: dict[str, list[bytes]], kind: str):
    format_: Format = FORMATS[kind]
    for content in files[kind]:
        joined = format_.join(format_.split(content))
        with Image.open(io.BytesIO(content)) as before, Image.open(io.BytesIO(joined)) as after:
            assert np.array_equal(np.asarray(before), np.asarray(after))


@pytest.mark.parametrize("kind", FORMATS)
def test_one_hostile_field_is_survived(reader: Reader, files: dict[str, list[bytes]], kind: str):
    @settings(max_examples=examples(60), suppress_health_check=list(HealthCheck))
    @given(st.data())
    def survive(data: st.DataObject) -> None:
        content = data.draw(hostile(FORMATS[kind], files[kind]))
        read(reader, kind.lower(), f".{kind.lower()}", content)

    survive()


@pytest.mark.parametrize("kind", FORMATS)
def test_cases_that_were_not_survived_once_are_now(reader: Reader, kind: str):
    for path in cases(kind.lower()):
        read(reader, kind.lower(), path.suffix, path.read_bytes())
