import threading
from pathlib import Path

import pytest
from prometheus_client.mmap_dict import MmapedDict

from mnist_digits.serving.metrics import FOLDER_VARIABLE, Metrics


def test_counts_are_read_while_a_worker_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A worker that starts makes an empty file first, which cannot be read yet."""
    metrics = Metrics()
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    file = tmp_path / "counter_1.db"
    file.touch()

    def begin() -> None:
        counts = MmapedDict(str(file))
        counts.write_value('["digits_images", "digits_images_total", {}, "Images."]', 7.0, 0.0)
        counts.close()

    timer = threading.Timer(0.1, begin)
    timer.start()
    assert b"digits_images_total 7.0" in metrics.text()
    timer.join()
