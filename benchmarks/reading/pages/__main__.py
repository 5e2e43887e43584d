"""Draw some pages of each level from training digits, to look at: `python -m benchmarks.reading.pages FOLDER`."""

import argparse
import itertools
from pathlib import Path

from PIL import Image

from benchmarks.reading.pages.composition import make_page
from benchmarks.reading.pages.levels import LEVELS
from mnist_digits.dataset import load_mnist

parser = argparse.ArgumentParser(prog="python -m benchmarks.reading.pages", description=__doc__)
parser.add_argument("folder", type=Path)
parser.add_argument("--pages", type=int, default=8, help="of each level (default: 8)")
options = parser.parse_args()
options.folder.mkdir(parents=True, exist_ok=True)
train = load_mnist().train
for level, seed in itertools.product(LEVELS, range(options.pages)):
    page = make_page(train.images, train.labels, level, seed)
    Image.fromarray(page.pixels).save(options.folder / f"{level}-{seed}.png")
    print(f"{level}-{seed}", page.pixels.shape, *(f"“{line.text}”" for line in page.lines))
