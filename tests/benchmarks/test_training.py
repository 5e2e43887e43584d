import json
import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "training.py"


def test_tiny_mode_measures_every_peer(small_folder: Path, tmp_path: Path):
    output = tmp_path / "training.json"
    command = [sys.executable, str(BENCHMARK), "--tiny", "--data", str(small_folder), "--output", str(output)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    content = json.loads(output.read_text())
    assert [row["name"] for row in content["rows"]] == [
        "mnist-digits engine",
        "model.fit, defaults",
        "model.fit, steps_per_execution=100",
        "scikit-learn MLPClassifier",
    ]
    for row in content["rows"]:
        assert row["seconds_per_epoch"] > 0
        assert row["name"] in result.stdout
        assert row["to_target"]["whole_process"] > row["to_target"]["training"] > 0
    assert content["rows"][1]["times_faster_than_defaults"] == 1
    assert content["environment"]["cores"] >= 1


def test_tiny_mode_never_overwrites_the_results():
    result = subprocess.run([sys.executable, str(BENCHMARK), "--tiny"], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "name a small set" in result.stderr
