import json
import sys
from pathlib import Path

import pytest

import page_speed


def test_tiny_mode_reads_both_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    output = tmp_path / "speed.json"
    monkeypatch.setattr(sys, "argv", ["page_speed.py", "--tiny", "--output", str(output)])
    page_speed.main()
    result = json.loads(output.read_text())
    assert set(result["pages"]) == set(page_speed.PIXELS)
    for row in result["pages"].values():
        assert row["digits_read"] >= 38
        assert row["median_milliseconds"] > 0
    assert capsys.readouterr().out.strip() == page_speed.as_table(result)


def test_tiny_mode_keeps_the_results(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", ["page_speed.py", "--tiny"])
    with pytest.raises(SystemExit):
        page_speed.main()
