"""The program that teaches, but for what takes minutes: `taught_at_once.py teach|refuse|crash|wait FOLDER MODEL`."""

import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from mnist_digits.dataset import Split
from mnist_digits.errors import QualityError
from mnist_digits.recognition.classifier import CLASSIFIER_PATH
from mnist_digits.runs import Run
from mnist_digits.serving.page.own import teaching_process
from mnist_digits.training import teaching

MODE = sys.argv.pop(1)


def teach(
    pictures: Split, run: Run | None, folder: Path, *, report: bool, origin: Path, progress: Callable[[str], None]
) -> Run:
    assert run is None
    assert not report
    assert len(pictures) == 20
    progress("starting")
    if MODE == "refuse":
        raise QualityError("your pictures: 90.0 → 90.0 %: no gain beyond chance, so no model; label more of them")
    if MODE == "crash":
        raise RuntimeError("a bug")
    while MODE == "wait":
        time.sleep(0.1)
    folder.mkdir(parents=True)
    shutil.copy(CLASSIFIER_PATH, folder / "model.onnx")
    gain = {"before": 0.5, "after": 0.75}
    (folder / "metrics.json").write_text(json.dumps({"teaching": {"own": gain, "mnist": gain}}))
    return Run(folder)


if __name__ == "__main__":
    teaching.teach = teach  # type: ignore[assignment]
    teaching_process.main()
