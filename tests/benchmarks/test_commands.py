import json
import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "commands.py"


def test_every_command_is_timed(small_folder: Path, tmp_path: Path):
    output = tmp_path / "commands.json"
    command = [sys.executable, str(BENCHMARK), "--runs", "1", "--data", str(small_folder), "--output", str(output)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    rows = json.loads(output.read_text())["commands"]
    assert list(rows) == ["digits --help", "load_mnist", "digits train dense"]
    assert 0 < rows["digits --help"]["median_seconds"] < rows["digits train dense"]["median_seconds"]
