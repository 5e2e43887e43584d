import json
import sys
from pathlib import Path

import pytest

import tuning


def test_tiny_mode_searches_and_compares(
    small_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    output = tmp_path / "tuning.json"
    arguments = ["--tiny", "--data", str(small_folder), "--folder", str(tmp_path), "--output", str(output)]
    monkeypatch.setattr(sys, "argv", ["tuning.py", *arguments])
    tuning.main()
    result = json.loads(output.read_text())
    assert result["finished"] == 3
    assert result["processor_seconds"] > 0
    assert result["validation_accuracy"]["best"] >= result["validation_accuracy"]["default"]
    assert capsys.readouterr().out.strip() == tuning.as_table(result)


def test_tiny_mode_keeps_the_results(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", ["tuning.py", "--tiny"])
    with pytest.raises(SystemExit):
        tuning.main()
