import json
from pathlib import Path

import pytest

from benchmarks import page


@pytest.mark.skipif(page.CHROMIUM is None, reason="no Chromium here: the page is not tested")
def test_tiny_mode_opens_the_page_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    output = tmp_path / "page.json"
    page.BENCHMARK.main(["--tiny", "--output", str(output)])
    result = json.loads(output.read_text())
    assert result["answers"] >= 2
    assert 0 < result["answer_median_milliseconds"] <= result["answer_95_of_100_milliseconds"]
    assert result["opening_median_milliseconds"] > 0
    assert 10_000 < result["bytes_before_network"] <= 150_000
    assert result["answer_processor_milliseconds"] > 0
    assert result["same_answers"] == result["compared"] == 3
    assert result["largest_difference"] < 1e-3
    assert capsys.readouterr().out.strip() == page.as_table(result)
