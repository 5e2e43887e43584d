"""Commands for pictures: `digits predict` and `digits read`."""

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mnist_digits.cli.app import command
from mnist_digits.cli.bulk import Bulk, Cluster, OutputFolder, Overwrite, PictureMode, PicturesPerFile, Workers
from mnist_digits.cli.options import Json, Model, Recursive, onnx_of
from mnist_digits.cli.output import messages, print_page, print_prediction
from mnist_digits.errors import DataError, UsageError
from mnist_digits.files import atomic_write

if TYPE_CHECKING:
    import numpy as np

    from mnist_digits.recognition import Page, Picture, Reader, Reading


@command(
    "digits predict seven.png",
    "digits predict scans/ --recursive --json",
    "digits predict - --show < photo.jpg",
    "digits predict *.png --model runs/latest",
)
def predict(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE…", help="Pictures of one digit each, folders of such, or - for standard input."),
    ],
    model: Model = None,
    min_confidence: Annotated[
        float, typer.Option(min=0, max=1, metavar="FRACTION", help="Report a digit of lower confidence as not-a-digit.")
    ] = 0.0,
    recursive: Recursive = False,
    show: Annotated[bool, typer.Option("--show", help="Draw the network's input image of 28×28 pixels.")] = False,
    as_json: Json = False,
) -> None:
    """Read the digit in each picture, or say why there is none.

    Each result is printed at once, in the order of the files. A file that cannot
    be opened is reported, the others are read, and the exit status is 3.
    """
    if show and as_json:
        raise UsageError("--show with --json: one is for people, the other for programs; leave one of them out")
    # There is no matrix here that would be worth OpenBLAS's threads, of which it would start one per core.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from mnist_digits.recognition import Classifier, Prediction

    classifier = Classifier(onnx_of(model))
    status = 0
    for file in _expand(files, recursive):
        try:
            prediction = classifier.classify(_open_picture(file), min_confidence)
        except DataError as error:
            messages.print(f"digits: {error}", markup=False)
            prediction, status = Prediction.unreadable(), error.exit_status
        if as_json:
            print(json.dumps({"file": file, **prediction.to_json()}), flush=True)
        else:
            print_prediction(file, prediction, show)
    raise typer.Exit(status)


@command(
    "digits read photo.jpg",
    "digits read scans/ --json",
    "digits read photo.jpg --annotate boxes.png",
    "digits read photo.jpg --debug-folder why/",
    "digits read scans/ --recursive --output readings.parquet",
)
def read(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE…",
            help="Pictures of pages, folders of such, or - for standard input. "
            "With --output also patterns such as 'scans/**/*.png' and Parquet files of paths.",
        ),
    ],
    annotate: Annotated[
        Path | None,
        typer.Option(metavar="OUT.png|FOLDER", help="Also draw each picture with the boxes and values of its digits."),
    ] = None,
    debug_folder: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Also draw every stage of reading, from the picture to the digits."),
    ] = None,
    model: Model = None,
    recursive: Recursive = False,
    as_json: Json = False,
    output: OutputFolder = None,
    cluster: Cluster = None,
    mode: PictureMode = None,
    workers: Workers = None,
    pictures_per_file: PicturesPerFile = None,
    overwrite: Overwrite = False,
) -> None:
    """Read the numbers on each page: text lines from top to bottom, digits from left to right.

    Letters, scribbles and other non-digits are left out. Each result is printed
    at once, in the order of the files and their pages: all of a TIFF or PDF are
    read, and the first frame of anything else. A file that cannot be opened is
    reported, the others are read, and the exit status is 3. A page of which much
    was left out or little is sure is marked as doubtful. With --output, several
    processes write one table instead, in which a file that cannot be opened is a
    row with its error.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    bulk = Bulk(output, cluster, mode, workers, pictures_per_file, overwrite)
    if bulk.is_requested({"--annotate": annotate, "--debug-folder": debug_folder, "-": "-" in files}):
        bulk.read(files, onnx_of(model), recursive, as_json)
        return
    from mnist_digits.recognition import Reader

    pictures = _expand(files, recursive)
    if annotate and _is_file(annotate):
        pictures = iter(_only_one(list(pictures), annotate))
    reader = Reader(onnx_of(model))
    status = 0
    for file in pictures:
        for page, error in _pages(reader, file, annotate, debug_folder):
            if error:
                messages.print(f"digits: {error}", markup=False)
                status = error.exit_status
            if as_json:
                print(json.dumps({"file": file, **page.to_json()}), flush=True)
            else:
                print_page(file, page)
    raise typer.Exit(status)


def _pages(
    reader: "Reader", file: str, annotate: Path | None, debug_folder: Path | None
) -> "Iterator[tuple[Page, DataError | None]]":
    """The pages of a file, drawn as --annotate and --debug-folder ask, up to the first that cannot be read."""
    from mnist_digits.recognition import Page, read_pages

    number = 1
    try:
        for number, pixels in enumerate(read_pages(_open_picture(file)), 1):
            reading = reader.follow(pixels)
            _draw(file, number, pixels, reading, annotate, debug_folder)
            yield reading.to_page(number), None
            number += 1
    except DataError as error:
        yield replace(Page.unreadable(), number=number), error


def _draw(
    file: str, number: int, pixels: "np.ndarray", reading: "Reading", annotate: Path | None, debug_folder: Path | None
) -> None:
    """Draw what --annotate and --debug-folder ask for. number: of the page; those after the first have it in names."""
    from mnist_digits.recognition import visualise

    suffix = f"-{number}" if number > 1 else ""
    if annotate:
        alone = annotate.with_stem(annotate.stem + suffix)
        target = alone if _is_file(annotate) else _below(annotate, f"{file}{suffix}.png")
        _write(target, visualise.as_png(visualise.annotate(pixels, reading.to_page())))
    if debug_folder:
        for name, picture in visualise.stages(pixels, reading).items():
            _write(_below(debug_folder, f"{file}{suffix}") / f"{name}.png", visualise.as_png(picture))


def _write(path: Path, content: bytes) -> None:
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def _is_file(annotate: Path) -> bool:
    """Whether --annotate names a file rather than a folder. Raises UsageError for a picture other than PNG."""
    from mnist_digits.recognition import PICTURE_SUFFIXES

    suffix = annotate.suffix.lower()
    if suffix in PICTURE_SUFFIXES and suffix != ".png":
        raise UsageError(f"--annotate {annotate}: expected a name that ends in .png, or a folder")
    return suffix == ".png"


def _below(folder: Path, file: str) -> Path:
    """A file's place in a folder of results: below its own folders, so that each file has a place of its own."""
    path = Path(file)
    above = {"..": "above", path.anchor: "root"}
    return folder.joinpath(*(above.get(part, part) for part in path.parts))


def _only_one(pictures: list[str], target: Path) -> list[str]:
    """The pictures, after checking that there is at most one. Raises UsageError otherwise."""
    if len(pictures) > 1:
        raise UsageError(f"--annotate {target}: one file for {len(pictures)} pictures; name a folder instead")
    return pictures


def _expand(files: list[str], recursive: bool) -> Iterator[str]:
    """The files, where a folder that holds pictures is replaced by these."""
    from mnist_digits.recognition import find_pictures

    for file in files:
        pictures = find_pictures(file, recursive)
        yield next(pictures, file)
        yield from pictures


def _open_picture(file: str) -> "Picture":
    """A file's name, or for - the bytes on standard input. Raises DataError for a folder."""
    from mnist_digits.recognition import MAX_PICTURE_BYTES

    if file == "-":
        return sys.stdin.buffer.read(MAX_PICTURE_BYTES)
    if Path(file).is_dir():
        raise DataError(f"{file}: a folder without pictures; name another, or look further down with --recursive")
    return file
