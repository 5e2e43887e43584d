"""Reading digits from any picture, without a training framework."""

from mnist_digits.recognition.classifier import Classifier
from mnist_digits.recognition.preprocessing.files import MOST_BYTES, SUFFIXES, find_pictures
from mnist_digits.recognition.preprocessing.image_io import MOST_PIXELS, Picture, read_picture
from mnist_digits.recognition.preprocessing.ink import find_ink
from mnist_digits.recognition.preprocessing.mnist_format import Normalised, normalise
from mnist_digits.recognition.reader import Reader, Reading
from mnist_digits.recognition.results import Box, Digit, Judgement, Line, Page, Prediction

__all__ = [
    "MOST_BYTES",
    "MOST_PIXELS",
    "SUFFIXES",
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
    "read_picture",
]
