"""The folder of a run, and the files in it."""

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mnist_digits.errors import DataError

RUNS = Path("runs")
"""The default folder of runs, relative to the current folder."""


@dataclass(frozen=True)
class Run:
    """One execution of a recipe with one seed: a folder, and the paths of the files in it."""

    folder: Path

    @property
    def recipe(self) -> Path:
        """JSON: the recipe, the seed, the data, and which fields of the named recipe `--set` changed."""
        return self.folder / "recipe.json"

    @property
    def data(self) -> Path:
        """Folder of four IDX files: the images of a run on anything but such a folder, which it could be read from."""
        return self.folder / "data"

    @property
    def environment(self) -> Path:
        """JSON: versions, processor and devices, on which rounding and duration depend."""
        return self.folder / "environment.json"

    @property
    def checkpoint(self) -> Path:
        """The state after the last finished epoch; exists only while the run is unfinished."""
        return self.folder / "checkpoint" / "state.npz"

    @property
    def history(self) -> Path:
        """CSV, one row per epoch: epoch, loss, accuracy, val_loss, val_accuracy, seconds."""
        return self.folder / "history.csv"

    @property
    def model(self) -> Path:
        """The trained Keras model; input float32 (n, 28, 28) in [0, 1]."""
        return self.folder / "model.keras"

    @property
    def onnx(self) -> Path:
        """The calibrated model for ONNX Runtime; input uint8 (n, 28, 28)."""
        return self.folder / "model.onnx"

    @property
    def predictions(self) -> Path:
        """NumPy arrays `<split>_labels` and `<split>_probabilities` of the validation and the test split."""
        return self.folder / "predictions.npz"

    @property
    def metrics(self) -> Path:
        """JSON: scores on the validation and the test split, and numbers about the training."""
        return self.folder / "metrics.json"

    @property
    def figures(self) -> Path:
        """The folder of the figures."""
        return self.folder / "figures"

    @property
    def distortions(self) -> Path:
        """A digit as the recipe distorts it, drawn by the training itself; missing if the recipe does not distort."""
        return self.figures / "distortions.png"

    @property
    def report(self) -> Path:
        """One self-contained HTML page with all numbers and figures."""
        return self.folder / "report.html"

    @property
    def card(self) -> Path:
        """The model card, with the YAML front matter of Hugging Face's hub."""
        return self.folder / "model_card.md"

    @property
    def trackers(self) -> Path:
        """JSON: where the run is in the tools that it was logged to; missing if it was to none."""
        return self.folder / "trackers.json"

    @property
    def finished(self) -> bool:
        """Whether the training has ended and its results are written."""
        return self.onnx.exists() and not self.checkpoint.exists()

    @classmethod
    def create(cls, name: str, folder: Path | None = None, parent: Path = RUNS) -> "Run":
        """A new, empty run folder: `folder` itself, or `<parent>/<name>`, with a number appended if it exists.

        Raises DataError when the folder is not empty or cannot be made.
        """
        try:
            if folder is None:
                return cls(_make_numbered(parent / name))
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise DataError(
                    f"{folder}: not empty; expected a new folder: name another, or continue the run with --resume"
                )
        except OSError as error:
            raise DataError(
                f"{error.filename}: {error.strerror}; choose a folder that can be written with --output"
            ) from error
        return cls(folder)

    @classmethod
    def open(cls, folder: Path, *required: str) -> "Run":
        """An existing run, after checking that the required files (named by attributes of Run) exist.

        Raises DataError, which names the first missing one.
        """
        run = cls(folder)
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder; expected a run: `digits train` makes one")
        for name in required:
            path: Path = getattr(run, name)
            if not path.exists():
                raise DataError(
                    f"{folder}: has no {path.name}; expected a finished run: train again, or continue it with --resume"
                )
        return run

    def remove_leftovers(self) -> None:
        """Remove the temporary files of killed processes: see `atomic_write`."""
        for path in self.folder.rglob(".*-*"):
            if path.name[1:].split("-")[0].isdigit():
                path.unlink(missing_ok=True)

    def discard_checkpoint(self) -> None:
        """Remove the checkpoint, which a finished run does not need."""
        shutil.rmtree(self.checkpoint.parent, ignore_errors=True)

    def link_as_latest(self) -> None:
        """Make `runs/latest` a link to this run, if the run lies in `runs`."""
        if self.folder.parent.resolve() != RUNS.resolve():
            return
        temporary = RUNS / f".{os.getpid()}-latest"
        # The link is a convenience: some systems have none, and a file or folder of this name is left alone.
        with suppress(OSError):
            temporary.symlink_to(self.folder.resolve().name, target_is_directory=True)
            temporary.replace(RUNS / "latest")
        temporary.unlink(missing_ok=True)


def _make_numbered(folder: Path) -> Path:
    """Make the first of `folder`, `folder-2`, `folder-3`, … that does not exist."""
    candidate, number = folder, 1
    folder.parent.mkdir(parents=True, exist_ok=True)
    while True:
        try:
            candidate.mkdir()
            return candidate
        except FileExistsError:
            number += 1
            candidate = folder.with_name(f"{folder.name}-{number}")
