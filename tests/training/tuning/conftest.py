import shutil
from pathlib import Path

import pytest

from helpers.studies import Begin, plan, sqlite_in
from mnist_digits.training.tuning.plan import StudyPlan
from mnist_digits.training.tuning.storage import open_storage
from mnist_digits.training.tuning.study import Study


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database without a study: making its tables takes as long as many a test."""
    folder = tmp_path_factory.mktemp("empty")
    open_storage(sqlite_in(folder)).engine.dispose()
    return folder / "tuning.db"


@pytest.fixture
def begin(tmp_path: Path, empty: Path) -> Begin:
    """Begin a study in the test's own database, or go on with it."""
    shutil.copy(empty, tmp_path)

    def begin_study(of: StudyPlan | None = None, name: str = "dense") -> Study:
        return Study.begin(open_storage(sqlite_in(tmp_path)), name, of or plan())

    return begin_study
