import json
from pathlib import Path

import pytest

pytest.importorskip("pillow_heif", reason="one of the pictures is a HEIC file")

from benchmarks.serving import soak


def test_tiny_mode_asks_everything_and_gets_nothing_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    output = tmp_path / "soak.json"
    soak.BENCHMARK.main(["--tiny", "--output", str(output)])
    result = json.loads(output.read_text())
    assert {row["kind"] for row in result["kinds"]} >= {"HEIC", "WebP"}
    assert {row["refused"] for row in result["kinds"]} == {None}
    assert all(50 < row["memory_mb"] < 1_000 for row in result["kinds"])
    assert set(result["beside"]["large_statuses"]) <= {200, 503}
    assert result["beside"]["beside"]["max_ms"] < 30_000
    assert len(result["deaths"]["one_seconds"]) == len(result["deaths"]["all_seconds"]) == result["deaths"]["kills"]
    kept = result["soak"]
    assert (kept["wrong"], kept["first_wrong"]) == (0, [])
    assert {name.split()[0] for name in kept["answers"]} == {"good", "bad", "slow", "large"}
    assert (kept["log_lines"], kept["temporary_files_left"]) == (0, 0)
    assert len(kept["samples"]) >= 2
    assert capsys.readouterr().out.strip() == soak.as_table(result)
