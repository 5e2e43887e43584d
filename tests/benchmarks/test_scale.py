import json
from pathlib import Path

import pytest

from benchmarks import scale


def test_tiny_mode_measures_everything_but_the_cluster(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    output = tmp_path / "scale.json"
    scale.BENCHMARK.main(["--tiny", "--output", str(output)])
    result = json.loads(output.read_text())
    for rows in result["workers"].values():
        assert list(rows) == ["loop", "1", "2"]
        for row in rows.values():
            assert row["pictures_per_second"] == pytest.approx(row["pictures"] / row["seconds"])
            assert 0 < row["peak_megabytes"] < 5000
    assert [row["pictures"] for row in result["memory"]] == [8, 24]
    milliseconds = result["stage_milliseconds"]
    assert 0 < milliseconds["decode a digit"] < milliseconds["predict a digit"]
    assert capsys.readouterr().out.strip() == f"{scale.as_table(result)}\n\n{scale.as_estimate(result)}"


def test_an_estimate_follows_from_the_figures():
    side = {"1": {"bytes_a_row": 100}}
    result = {
        "workers": {"digits": side, "pages": side},
        "bytes": {"a digit's picture": 2000, "a page's picture": 1e6},
        "stage_milliseconds": {"decode a digit": 1, "predict a digit": 3.6, "decode a page": 9, "read a page": 36},
    }
    lines = scale.as_estimate(result).splitlines()
    assert lines[2:] == [
        "| core-hours | 1,000 | 10,000 |",
        "| on 1,000 cores | 1.0 h | 10.0 h |",
        "| of which decoding | 28 % | 25 % |",
        "| pictures in all | 2.0 TB | 1,000.0 TB |",
        "| to be fetched by 1,000 cores | 4.4 Gbit/s | 222.2 Gbit/s |",
        "| table in all | 100 GB | 100 GB |",
    ]
