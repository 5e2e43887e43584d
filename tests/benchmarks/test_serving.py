import json
import shutil
from pathlib import Path

import pytest

from benchmarks import serving

needs_wrk = pytest.mark.skipif(not shutil.which("wrk"), reason="wrk sends the requests")


@needs_wrk
def test_tiny_mode_asks_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    output = tmp_path / "serving.json"
    serving.BENCHMARK.main(["--tiny", "--output", str(output)])
    result = json.loads(output.read_text())
    assert [row["path"] for row in result["rates"]] == ["/healthz", "/v1/classify", "/v1/predict", "/v1/predict"]
    assert len(result["starts"]) == 1
    # All connections in one worker would be 1.0.
    assert 0.5 <= result["starts"][0]["busiest_worker_share"] < 0.9
    for row in [*result["rates"], *result["starts"]]:
        assert row["requests_per_second"] > 1
        assert 0 < row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"]
    mixed = result["mixed"]
    assert mixed["right"] > 0
    assert mixed["declined"] > 0
    assert (mixed["wrong"], mixed["socket_errors"]) == (0, 0)
    assert mixed["memory_end_mb"] > 50
    assert capsys.readouterr().out.strip() == serving.as_table(result)
