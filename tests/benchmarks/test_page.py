import json
import sys
from pathlib import Path

import pytest

import page


@pytest.mark.skipif(page.CHROMIUM is None, reason="no Chromium here: the page is not tested")
def test_tiny_mode_opens_the_page_and_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    output = tmp_path / "page.json"
    monkeypatch.setattr(sys, "argv", ["page.py", "--tiny", "--output", str(output)])
    page.main()
    result = json.loads(output.read_text())
    assert result["answers"] >= 2
    assert 0 < result["answer_median_milliseconds"] <= result["answer_95_of_100_milliseconds"]
    assert result["opening_median_milliseconds"] > 0
    assert result["bytes"] <= 150_000
    assert capsys.readouterr().out.strip() == page.as_table(result)


def test_tiny_mode_keeps_the_results(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", ["page.py", "--tiny"])
    with pytest.raises(SystemExit):
        page.main()
