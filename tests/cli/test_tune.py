"""Tuning as a user meets it: studies that are stopped and go on, what is found, and what it refuses."""

import io
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from optuna.trial import TrialState
from rich.console import Console

from helpers.command import Digits, command_line
from helpers.studies import TINY, finish, plan, sqlite_in, trials
from mnist_digits.cli.tuning import studies
from mnist_digits.errors import install_command
from mnist_digits.training.tuning.storage import open_storage
from mnist_digits.training.tuning.study import Study


@pytest.mark.usefixtures("no_report")
def test_a_study_is_stopped_continued_compared_and_described(digits: Digits, small_folder: Path, tmp_path: Path):
    storage = sqlite_in(tmp_path / "runs")
    tune = ("tune", "dense", "--data", small_folder, *TINY, "--trials", "3")
    pipe = subprocess.PIPE
    begun = subprocess.Popen(command_line(*tune), cwd=tmp_path, stdout=pipe, stderr=pipe, text=True)
    assert begun.stderr is not None
    first_line = begun.stderr.readline()
    assert re.fullmatch(r"trial 0  1/3  validation .* s  best .* %\n", first_line), first_line
    begun.send_signal(signal.SIGINT)
    stdout, stderr = begun.communicate()
    assert begun.returncode == 130
    assert stdout == ""
    going_on = re.search(r"^interrupted; to continue: digits (tune dense .*)$", stderr, re.MULTILINE)
    assert going_on
    assert f"--data {small_folder}" in going_on[1]
    before = trials(storage)
    assert TrialState.RUNNING not in {trial.state for trial in before}

    result = digits(*tune, "--seeds", "1", "--json")
    assert result.returncode == 0, result.stderr
    assert re.match(r"[12] of 3 trials are finished; going on\n", result.stderr)
    found = json.loads(result.stdout)
    after = trials(storage)
    kept = [trial for trial in before if trial.state.is_finished()]
    assert [(trial.state, trial.value) for trial in after[: len(kept)]] == [(t.state, t.value) for t in kept]
    assert found["finished"] == sum(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in after) == 3
    best = max((trial for trial in after if trial.state == TrialState.COMPLETE), key=lambda trial: trial.value or 0)
    assert found["best"]["validation_accuracy"] == best.value
    page = (tmp_path / found["report"]).read_text()
    assert page.count("data:image/png;base64,") >= 2
    assert not re.search(r'(src|href)="(?!data:)', page)
    shown = digits("tune", "--show", "dense")
    assert f"{100 * best.value:.2f} %" in shown.stdout  # type: ignore[operator]
    assert digits("tune", "--list").stdout.splitlines()[1].split()[:3] == ["dense", "dense", "3"]

    # The winner as any other recipe.
    recipe = json.loads((tmp_path / found["best_recipe"]).read_text())["recipe"]
    assert {name: recipe[name] for name in best.params} == best.params
    trained = digits(
        "train", "--recipe", found["best_recipe"], "--data", small_folder, "--output", "run", "--seed", "0"
    )
    assert trained.returncode == 0, trained.stderr
    assert json.loads((tmp_path / "run/recipe.json").read_text())["recipe"] == recipe
    # Same recipe, same seed, same images: the same accuracy as in the study.
    accuracy = json.loads((tmp_path / "run/metrics.json").read_text())["validation"]["accuracy"]
    assert accuracy == pytest.approx(best.value)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("dense", "--workers", "0"), 2, "Invalid value for '--workers'"),
        (("dense", "--trials", "0"), 2, "Invalid value for '--trials'"),
        (("dense", "--timeout", "soon"), 2, "--timeout soon: expected a number and s, m or h, such as 10m"),
        (("densest",), 2, "densest: no such recipe; did you mean dense?"),
        (("ensemble",), 2, "3 networks as one; tune one of them"),
        ((), 2, "expected a RECIPE to tune, --list or --show STUDY"),
        (("dense", "--list"), 2, "expected a RECIPE to tune, --list or --show STUDY"),
        (("--list",), 3, "runs/tuning.db: no such file; expected the studies"),
        (("dense", "--name", "../x"), 2, "--name ../x: expected letters"),
    ],
)
def test_what_it_cannot_do_is_said_in_one_line(
    digits: Digits, tmp_path: Path, arguments: tuple[str, ...], status: int, message: str
):
    result = digits("tune", *arguments)
    assert result.returncode == status
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.glob("runs/tune-*"))


def test_on_a_terminal_a_bar_shows_the_best_and_the_time_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    terminal = Console(file=io.StringIO(), force_terminal=True, width=80)
    monkeypatch.setattr(studies, "messages", terminal)
    study = Study.begin(open_storage(sqlite_in(tmp_path)), "dense", plan())
    with studies.progress(study, 3) as watch:
        for value in (0.9, 0.9876):
            finish(study, 3, "me", value)
            watch(study.finished())
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.file.getvalue())  # type: ignore[attr-defined]
    shown = re.split(r"[\r\n]+", plain.strip())[-1]
    for part in ("2/3", "best 98.76 %", "left"):
        assert part in shown
    assert len(shown) <= 80


def test_without_optuna_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    hidden = (
        "import sys; sys.modules['optuna'] = None; sys.argv[0] = 'digits'; from mnist_digits.cli import main; main()"
    )
    result = subprocess.run(
        [sys.executable, "-c", hidden, "tune", "dense"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert result.stderr == f"digits: optuna is not installed; {install_command('tune')}\n"
    assert list(tmp_path.iterdir()) == []
