"""Reading digits from any picture, without a training framework."""

from mnist_digits.recognition.classifier import Classifier, Judgement, Prediction
from mnist_digits.recognition.files import MOST_BYTES, SUFFIXES, find_pictures
from mnist_digits.recognition.ink import find_ink
from mnist_digits.recognition.normalise import Normalised, normalise
from mnist_digits.recognition.page import Digit, Line, Page
from mnist_digits.recognition.picture import MOST_PIXELS, Picture, read_picture
from mnist_digits.recognition.reader import Reader, Reading

__all__ = [
    "MOST_BYTES",
    "MOST_PIXELS",
    "SUFFIXES",
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
