import json
from pathlib import Path

import pytest

from benchmarks import tuning


def test_tiny_mode_searches_and_compares(small_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    output = tmp_path / "tuning.json"
    arguments = ["--tiny", "--data", str(small_folder), "--folder", str(tmp_path), "--output", str(output)]
    tuning.BENCHMARK.main(arguments)
    result = json.loads(output.read_text())
    assert result["finished"] == 2
    assert result["processor_seconds"] > 0
    assert result["validation_accuracy"]["best"] >= result["validation_accuracy"]["default"]
    assert capsys.readouterr().out.strip() == tuning.as_table(result)
