"""What lies where in a run's folder."""

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mnist_digits.errors import DataError

RUNS = Path("runs")
"""Where runs go unless told otherwise, below the current folder."""


@dataclass(frozen=True)
class Run:
    """One execution of a recipe with one seed: a folder, and the names in it."""

    folder: Path

    @property
    def recipe(self) -> Path:
        """Recipe, seed, and which data: all that decides the result. Also what `--set` changes of the named recipe."""
        return self.folder / "recipe.json"

    @property
    def environment(self) -> Path:
        """Versions, processor and devices: all that may change a result in its last digits, and its time."""
        return self.folder / "environment.json"

    @property
    def checkpoint(self) -> Path:
        """There while training: the state after the last finished epoch."""
        return self.folder / "checkpoint" / "state.npz"

    @property
    def history(self) -> Path:
        """One row an epoch: epoch, loss, accuracy, val_loss, val_accuracy, seconds."""
        return self.folder / "history.csv"

    @property
    def model(self) -> Path:
        """The trained Keras model; takes float32 (n, 28, 28) in [0, 1]."""
        return self.folder / "model.keras"

    @property
    def onnx(self) -> Path:
        """The same model for use without Keras; takes uint8 (n, 28, 28)."""
        return self.folder / "model.onnx"

    @property
    def predictions(self) -> Path:
        """Arrays `<split>_labels` and `<split>_probabilities` for validation and test, in file order."""
        return self.folder / "predictions.npz"

    @property
    def metrics(self) -> Path:
        """Numbers on validation, test and the training itself; written last but for the pictures."""
        return self.folder / "metrics.json"

    @property
    def figures(self) -> Path:
        """The folder of pictures."""
        return self.folder / "figures"

    @property
    def distortions(self) -> Path:
        """The one picture that training itself draws: a digit as the recipe distorts it; none if it does not."""
        return self.figures / "distortions.png"

    @property
    def report(self) -> Path:
        """One page that shows it all."""
        return self.folder / "report.html"

    @property
    def card(self) -> Path:
        """What others should know before they use the model, with the front matter of Hugging Face's hub."""
        return self.folder / "model_card.md"

    @property
    def finished(self) -> bool:
        """Whether the training has come to its end and everything was written."""
        return self.onnx.exists() and not self.checkpoint.exists()

    @classmethod
    def create(cls, name: str, folder: Path | None = None) -> "Run":
        """A new, empty run folder: `folder` itself, or `runs/<name>`, with a number appended when taken.

        Raises DataError when the folder holds something already or cannot be made.
        """
        try:
            if folder is None:
                return cls(_make_numbered(RUNS / name))
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
        """An existing run, after checking that the named files (attributes of Run) are there.

        Raises DataError that names the first one missing.
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
        """Remove what a killed process was writing when it died: see `whole`."""
        for path in self.folder.rglob(".*-*"):
            if path.name[1:].split("-")[0].isdigit():
                path.unlink(missing_ok=True)

    def discard_checkpoint(self) -> None:
        """Remove what only an unfinished training needs."""
        shutil.rmtree(self.checkpoint.parent, ignore_errors=True)

    def link_as_latest(self) -> None:
        """Point `runs/latest` at this run, if it lies in `runs`."""
        if self.folder.parent.resolve() != RUNS.resolve():
            return
        temporary = RUNS / f".{os.getpid()}-latest"
        # Where there are no symbolic links, or something else is called so, only a convenience is lost.
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
