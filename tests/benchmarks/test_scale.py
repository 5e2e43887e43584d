import json
import sys
from pathlib import Path

import pytest

import scale


def test_tiny_mode_measures_everything_but_the_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    output = tmp_path / "scale.json"
    monkeypatch.setattr(sys, "argv", ["scale.py", "--tiny", "--output", str(output)])
    scale.main()
    result = json.loads(output.read_text())
    for rows in result["workers"].values():
        assert list(rows) == ["loop", "1", "2"]
        for row in rows.values():
            assert row["pictures_per_second"] == pytest.approx(row["pictures"] / row["seconds"])
            assert 10 < row["peak_megabytes"] < 5000
    assert [row["pictures"] for row in result["memory"]] == [8, 24]
    milliseconds = result["stage_milliseconds"]
    assert 0 < milliseconds["decode a digit"] < milliseconds["predict a digit"]
    assert capsys.readouterr().out.strip() == scale.as_table(result)


def test_tiny_mode_keeps_the_results(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", ["scale.py", "--tiny"])
    with pytest.raises(SystemExit):
        scale.main()
