"""Reading digits from any picture, without a training framework."""

from mnist_digits.recognition.classifier import Classifier
from mnist_digits.recognition.preprocessing.documents import read_pages
from mnist_digits.recognition.preprocessing.image_io import (
    MAX_PICTURE_BYTES,
    MAX_PICTURE_PIXELS,
    PICTURE_SUFFIXES,
    Picture,
    find_pictures,
    read_picture,
)
from mnist_digits.recognition.preprocessing.ink import find_ink
from mnist_digits.recognition.preprocessing.mnist_format import Normalised, normalise
from mnist_digits.recognition.preprocessing.single_digit import prepare_digit
from mnist_digits.recognition.reader import Reader, Reading
from mnist_digits.recognition.results import Box, Digit, Judgement, Line, Page, Prediction

__all__ = [
    "MAX_PICTURE_BYTES",
    "MAX_PICTURE_PIXELS",
    "PICTURE_SUFFIXES",
    "Box",
    "Classifier",
    "Digit",
    "Judgement",
    "Line",
    "Normalised",
    "Page",
    "Picture",
    "Prediction",
    "Reader",
    "Reading",
    "find_ink",
    "find_pictures",
    "normalise",
    "prepare_digit",
    "read_pages",
    "read_picture",
]
