"""The process that teaches: `python -m mnist_digits.serving.page.own.teaching_process FOLDER MODEL`.

FOLDER: of labelled pictures. MODEL: of the classifier that is taught. What it does is in the file STATE in the folder,
as JSON: `pid`; `stage`: `running`, `done`, `refused` (no gain, or it would forget), `failed` or `stopped`; `step`, and
how many there are, `steps`; what it `says`; and the newest `run` that was made, with `own` and `mnist`, what it gained.
It ends when its stdin is closed, so also when the service is killed.
"""

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any, NoReturn

from mnist_digits.errors import DigitsError, QualityError
from mnist_digits.files import read_json, sole_use, write_json

STATE = ".teaching.json"
"""Name of the file with the state; one that begins so is not taken for a picture."""

RUNS = "taught"
"""Name of the folder of the runs, in that of the pictures."""

STEPS = 8
"""How often `teach` says what it does now."""

NICENESS = 2
"""Added to the process's own, so that the service stays responsive."""


def main() -> None:
    """Teach, and say so in the file."""
    folder, model = Path(sys.argv[1]), Path(sys.argv[2])
    try:
        with sole_use(folder / RUNS):
            _begin(folder, model)
    except DigitsError as error:
        sys.exit(str(error))


def _begin(folder: Path, model: Path) -> None:
    state = _State(folder / STATE)
    signal.signal(signal.SIGTERM, lambda *_: state.end("stopped", ""))
    print("begun", flush=True)
    threading.Thread(target=_watch_stdin, daemon=True).start()
    # What libraries print goes to stderr.
    os.dup2(2, 1)
    if hasattr(os, "nice"):  # Windows has none.
        os.nice(NICENESS)
    try:
        _teach(folder, model, state)
    except QualityError as error:
        state.end("refused", str(error))
    except DigitsError as error:
        state.end("failed", str(error))


class _State:
    """The state, which others read from the file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # What was taught before stays until something better is.
        before = read_json(path) if path.exists() else {}
        self._content: dict[str, Any] = {name: before[name] for name in ("run", "own", "mnist") if name in before}
        self._content |= {"pid": os.getpid(), "stage": "running", "step": 0, "steps": STEPS, "says": ""}
        self._write()

    def advance(self, words: str) -> None:
        """Say what is done now."""
        self._write(step=self._content["step"] + 1, says=words)

    def finish(self, run: Path, gains: dict[str, Any]) -> None:
        """Say what was gained."""
        self._write(stage="done", step=STEPS, run=str(run), own=gains["own"], mnist=gains["mnist"])

    def end(self, stage: str, words: str) -> NoReturn:
        """End the process, from any thread."""
        self._write(stage=stage, says=words)
        os._exit(0)

    def _write(self, **changes: Any) -> None:
        self._content |= changes
        write_json(self._path, self._content)


def _teach(folder: Path, model: Path, state: _State) -> None:
    from mnist_digits.dataset import Found
    from mnist_digits.dataset.pictures import as_splits
    from mnist_digits.dataset.sources import labelled_pictures
    from mnist_digits.errors import DataError
    from mnist_digits.recognition import prepare_digit
    from mnist_digits.recognition.classifier import CLASSIFIER_PATH
    from mnist_digits.runs import Run
    from mnist_digits.training.teaching import teach

    found = Found()
    splits = as_splits(labelled_pictures(folder, found), found, prepare=lambda pixels: prepare_digit(pixels).image)
    if not splits:
        raise DataError(f"{folder}: none of the drawings can be read: {(found.unreadable or ['there are none'])[0]}")
    start = None if model == CLASSIFIER_PATH else Run.open(model.parent, "recipe", "model", "onnx")
    target = folder / RUNS / f"{len(list((folder / RUNS).glob('[0-9]*'))) + 1:03}"
    run = teach(splits["train"], start, target, report=False, origin=folder.resolve(), progress=state.advance)
    state.finish(run.folder, read_json(run.metrics)["teaching"])


def _watch_stdin() -> None:
    """End when the service does."""
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
