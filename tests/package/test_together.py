"""Commands that begin at the same time on the same thing: one has it, nothing is torn, and the other says so."""

import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas
import pytest

from helpers.command import Digits, command_line
from mnist_digits.runs import Run

ROOT = Path(__file__).parents[2]

FAKE_PYTHON = """#!/bin/sh
# Makes an environment whose programs only write down when they begin and end.
[ "$1" = -m ] || exec {python} "$@"
echo begin venv >> log
mkdir -p .venv/bin
sleep 0.2
for name in pip uv digits; do
    printf '#!/bin/sh\\necho begin %s >> log; sleep 0.2; echo end %s >> log\\n' $name $name > .venv/bin/$name
    chmod +x .venv/bin/$name
done
echo end venv >> log
"""


@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
def test_two_makes_install_once_and_one_after_the_other(tmp_path: Path):
    for name in ("Makefile", "constraints.txt", "pyproject.toml", ".ci/alone"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "python").write_text(FAKE_PYTHON.format(python=sys.executable))
    (tmp_path / "python").chmod(0o755)
    make = ["make", "PYTHON=./python", "run"]
    pipe = subprocess.PIPE
    both = [subprocess.Popen(make, cwd=tmp_path, stdout=pipe, stderr=pipe, text=True) for _ in range(2)]
    said = sorted(process.communicate(timeout=60)[1] for process in both)
    assert [process.returncode for process in both] == [0, 0]
    assert said == ["Installing into .venv (a minute or two, once)\n", "waiting for another make that installs\n"]
    log = (tmp_path / "log").read_text().splitlines()
    assert log[:6] == [f"{what} {name}" for name in ("venv", "pip", "uv") for what in ("begin", "end")]
    assert sorted(log[6:]) == ["begin digits"] * 2 + ["end digits"] * 2


def test_of_two_that_write_one_table_one_has_it(digits: Digits, tmp_path: Path):
    scans = tmp_path / "scans"
    scans.mkdir()
    for number in range(60):
        (scans / f"{number}.jpg").symlink_to(ROOT / "docs" / "digits" / "7.jpg")
    table = ("read", scans, "--output", "t.parquet", "--pictures-per-file", "10", "--workers", "1", "--mode", "predict")
    with subprocess.Popen(command_line(*table), cwd=tmp_path, stderr=subprocess.PIPE, text=True) as first:
        end = time.monotonic() + 120
        while not (tmp_path / "t.parquet").exists():
            assert time.monotonic() < end
            time.sleep(0.02)
        for others in ((), ("--overwrite",), ("--pictures-per-file", "7", "--overwrite")):
            second = digits(*table, *others)
            assert second.returncode == 3
            assert second.stderr == (
                "digits: t.parquet: another command is writing it; wait until it has ended, or name another\n"
            )
        assert "digits:" not in first.communicate(timeout=300)[1]
    assert first.returncode == 0
    assert len(pandas.read_parquet(tmp_path / "t.parquet")) == 60
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scans", "t.parquet"]
    assert digits(*table).returncode == 0


def test_of_runs_that_end_at_once_one_is_the_latest(in_folder: Path):
    program = (
        "import sys; from mnist_digits.runs import Run\n"
        "for _ in range(50):\n"
        "    run = Run.create('dense-0')\n"
        "    run.link_as_latest()\n"
        "    print(run.folder.name)"
    )
    latest = in_folder / "runs" / "latest"

    def end_runs(_: int) -> list[str]:
        return subprocess.check_output([sys.executable, "-c", program], cwd=in_folder, text=True).split()

    with ThreadPoolExecutor(3) as threads:
        ending = threads.map(end_runs, range(3))
        while not latest.is_symlink():
            time.sleep(0.001)
        # It is there at any moment, and whole.
        for _ in range(200):
            assert Run(latest).folder.resolve().parent == in_folder / "runs"
            assert latest.is_dir()
        names = [name for some in ending for name in some]
    assert len(set(names)) == 150
    assert latest.readlink().name in {name.split()[-1] for name in names}
    assert len(list((in_folder / "runs").iterdir())) == 151
