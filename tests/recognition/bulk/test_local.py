import logging
from pathlib import Path

import pyarrow.dataset
import pytest

from mnist_digits.recognition.bulk import Output, Settings, read_here
from mnist_digits.recognition.bulk.table import PictureReader


def test_what_is_missing_is_written_and_logged(folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    paths = [str(folder / f"{number:02d}.png") for number in range(12)]
    output = Output.create(tmp_path / "out.parquet", Settings.of("predict", ["any"], False, 5, None), paths, None)
    reader = PictureReader("predict", output.model)
    output.write(1, reader.read(output.paths(1)))
    before = output.path(1).stat().st_mtime_ns
    done: list[int] = []
    with caplog.at_level(logging.DEBUG, "mnist_digits.recognition.bulk"):
        read_here(output, 1, done.append)
    assert done == [10, 12]
    assert output.path(1).stat().st_mtime_ns == before
    table = pyarrow.dataset.dataset(output.folder).to_table().sort_by("path")
    assert table.equals(reader.read(paths))
    first, *files = (record.getMessage().removeprefix(f"{output.folder}: ") for record in caplog.records)
    assert first == "5 of 12 rows are written; 1 processes"
    assert files == ["wrote file 0, 10 rows in all", "wrote file 2, 12 rows in all"]
