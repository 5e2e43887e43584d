import json
from pathlib import Path

import pytest

from benchmarks import training


def test_tiny_mode_measures_every_peer(small_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    output = tmp_path / "training.json"
    training.BENCHMARK.main(["--tiny", "--data", str(small_folder), "--output", str(output)])
    content = json.loads(output.read_text())
    assert [row["name"] for row in content["rows"]] == list(training.PEERS)
    for row in content["rows"]:
        assert row["seconds_per_epoch"] > 0
    to_target = content["rows"][0]["to_target"]
    assert to_target["whole_process"] > to_target["training"] > 0
    assert content["rows"][1]["times_faster_than_defaults"] == 1
    assert content["environment"]["cores"] >= 1
    assert capsys.readouterr().out.strip() == training.as_table(content)
