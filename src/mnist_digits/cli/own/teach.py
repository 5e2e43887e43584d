"""`digits teach`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from mnist_digits.cli.app import command
from mnist_digits.cli.options import Json, show
from mnist_digits.cli.output import messages, print_facts
from mnist_digits.cli.own.data import say_found, say_progress
from mnist_digits.errors import DataError
from mnist_digits.files import read_json
from mnist_digits.runs import Run

SHIPPED = "shipped"
"""Stands for the shipped model."""


@command(
    "digits teach mine/",
    "digits teach labels.csv --from runs/reader-0 --output runs/mine",
    "digits predict new.png --model runs/taught-0",
)
def teach(
    pictures: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER|FILE", help="Labelled digits: of digits label, in folders 0 to 9, or a table of paths."
        ),
    ],
    from_: Annotated[
        str, typer.Option("--from", metavar="shipped|RUN", help="The model to teach: the shipped one, or a run's.")
    ] = SHIPPED,
    output: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="The new run's folder. \\[default: runs/taught-SEED]")
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=2**32 - 1, help="Seed of the order of the images, and of the parts.")
    ] = 0,
    force: Annotated[bool, typer.Option("--force", help="Keep the model even if nothing was gained.")] = False,
    as_json: Json = False,
) -> None:
    """Teach the reader a hand: fine-tune it on labelled pictures, mixed with MNIST.

    A hundred pictures are enough to gain, in a minute or two. Each fifth of them is
    held out in turn, and read by a network that was taught on the others: without
    a gain beyond chance no model is written, and the exit status is 4. The new run
    is for `digits predict`, `read` and `serve` with --model, and for `digits export`.
    """
    from mnist_digits.training.teaching import teach as teach_

    start = None if from_ == SHIPPED and not Path(from_).exists() else Run.open(Path(from_), "recipe", "model", "onnx")
    split = _read(pictures)
    run = teach_(split, start, output, seed, force=force, origin=pictures.resolve(), progress=_say)
    show({"run": str(run.folder), **read_json(run.metrics)["teaching"]}, _print, as_json)


def _read(source: Path) -> Any:
    """The pictures as the classifier sees them, and their labels."""
    from mnist_digits.dataset import Found
    from mnist_digits.dataset.pictures import as_splits
    from mnist_digits.dataset.sources import labelled_pictures
    from mnist_digits.recognition import prepare_digit

    found = Found()
    splits = as_splits(
        labelled_pictures(source, found), found, say_progress(), prepare=lambda pixels: prepare_digit(pixels).image
    )
    if not splits:
        raise DataError(f"{source}: none of its pictures can be read: {(found.unreadable or ['there are none'])[0]}")
    found.what = found.what or f"{len(splits['train']) + len(found.unreadable):,} pictures in a table"
    say_found(source, found)
    return splits["train"]


def _say(words: str) -> None:
    messages.print(words, markup=False)


def _print(taught: dict[str, Any]) -> None:
    run = Run(Path(taught["run"]))
    print_facts(
        {
            "your pictures": _in_words(taught["own"]),
            "MNIST's test images": _in_words(taught["mnist"]),
            "model": str(run.onnx),
            "report": str(run.report),
            "to use it": f"digits predict FILE --model {run.folder}",
        }
    )


def _in_words(gain: dict[str, Any]) -> str:
    before, after = (f"{100 * gain[name]:.2f} %" for name in ("before", "after"))
    (low, high), (after_low, after_high) = (gain[f"{name}_interval95"] for name in ("before", "after"))
    return (
        f"{before} ({100 * low:.1f}–{100 * high:.1f}) → {after} ({100 * after_low:.1f}–{100 * after_high:.1f}) "
        f"of {gain['count']:,}"
    )
