import json
import shutil
import sys
from pathlib import Path

import pytest

import serving

needs_wrk = pytest.mark.skipif(not shutil.which("wrk"), reason="wrk sends the requests")


@needs_wrk
def test_tiny_mode_asks_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    output = tmp_path / "serving.json"
    monkeypatch.setattr(sys, "argv", ["serving.py", "--tiny", "--output", str(output)])
    serving.main()
    result = json.loads(output.read_text())
    assert [row["path"] for row in result["rates"]] == ["/healthz", "/v1/classify", "/v1/predict"]
    for row in result["rates"]:
        assert row["requests_per_second"] > 1
        assert 0 < row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"]
    mixed = result["mixed"]
    assert mixed["right"] > 0
    assert mixed["declined"] > 0
    assert (mixed["wrong"], mixed["socket_errors"]) == (0, 0)
    assert mixed["memory_end_mb"] > 50
    assert capsys.readouterr().out.strip() == serving.as_table(result)


def test_tiny_mode_keeps_the_results(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", ["serving.py", "--tiny"])
    with pytest.raises(SystemExit):
        serving.main()
