"""The guided tour: runs whole, without a word on stderr, and is stored as it runs.

`python tests/docs/test_notebook.py` executes it and stores it with its outputs.
"""

import os
import re
import tempfile
from importlib import util
from pathlib import Path
from typing import Any

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpecManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from traitlets import default

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "MNIST_digit_classification.ipynb"
REMEDY = "store it anew: python tests/docs/test_notebook.py"

MOST_BYTES = 2_500_000
SECONDS_PER_CELL = 300
"""For the slowest cell on a busy machine; the whole tour takes about a minute on two free cores."""

HURRIED = """import sys
from mnist_digits.training.export import calibration

sys.path.append("tests")
from helpers.small_set import plain_lesson

plain_lesson().start()
teaching.FOLDS, teaching.IMAGES_PER_EPOCH, calibration.PICTURES_PER_KIND = 2, 320, 5"""
SHORTER = {
    "epochs=10,": "epochs=3,",
    "epochs=15,": "epochs=2,",
    "range(1, 16)": "range(1, 3)",
    "n_trials=12": "n_trials=2",
    "teaching.IMAGES_PER_EPOCH = 1600": HURRIED,
}
"""How the tests train less in the same cells: that they work. How well their networks read is stored with the tour."""


class OwnKernelManager(AsyncKernelManager):
    """Starts the kernel of this very interpreter, whatever the user has registered under its name."""

    @default("kernel_spec_manager")
    def _without_folders_of_kernels(self) -> KernelSpecManager:
        return KernelSpecManager(parent=self, kernel_dirs=[])


def read_notebook() -> NotebookNode:
    return nbformat.read(NOTEBOOK, as_version=4)


def execute(notebook: NotebookNode, folder: Path = ROOT) -> NotebookNode:
    """Run all cells in a fresh kernel of this very interpreter, in the folder; fills in the outputs."""
    client = NotebookClient(
        notebook,
        kernel_manager_class=OwnKernelManager,
        kernel_name="python3",
        timeout=SECONDS_PER_CELL,
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
    )
    with tempfile.TemporaryDirectory() as settings:
        # Neither the user's start-up files nor their history.
        client.execute(env={**os.environ, "IPYTHONDIR": settings})
    return notebook


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def kinds_of_output(notebook: NotebookNode) -> dict[str, list[Any]]:
    """Cell id → what its outputs are: a stream's name, or the media types of what is shown."""
    return {
        cell.id: [output.get("name") or sorted(output.get("data", {"error": None})) for output in cell.outputs]
        for cell in code_cells(notebook)
    }


def words(notebook: NotebookNode) -> str:
    """All that a reader reads in the outputs; no pictures."""
    pieces = []
    for cell in code_cells(notebook):
        for output in cell.outputs:
            pieces.append(output.get("text", ""))
            pieces += [text for kind, text in output.get("data", {}).items() if kind.startswith("text/")]
    return "\n".join(pieces)


@pytest.fixture(scope="module")
def stored() -> NotebookNode:
    return read_notebook()


@pytest.fixture(scope="module")
def fresh() -> NotebookNode:
    """As the tour is now, with SHORTER trainings."""
    notebook = read_notebook()
    for long, short in SHORTER.items():
        assert any(long in cell.source for cell in code_cells(notebook)), long
        for cell in code_cells(notebook):
            cell.source = cell.source.replace(long, short)
    return execute(notebook)


def test_runs_whole_without_a_word_on_stderr(fresh: NotebookNode) -> None:
    noise = [output for cell in code_cells(fresh) for output in cell.outputs if output.get("name") == "stderr"]

    assert not noise
    assert [cell.execution_count for cell in code_cells(fresh)] == list(range(1, len(code_cells(fresh)) + 1))


def test_installs_nothing_when_the_package_is_there(fresh: NotebookNode) -> None:
    assert code_cells(fresh)[0].id == "install"
    assert code_cells(fresh)[0].outputs == []


def test_every_figure_is_shown_once(fresh: NotebookNode) -> None:
    drawing = {cell.id for cell in code_cells(fresh) if re.search(r"figures\.\w|show_readings\(|imshow\(", cell.source)}
    pictures = {
        cell.id: sum("image/png" in output.get("data", {}) for output in cell.outputs) for cell in code_cells(fresh)
    }

    assert len(drawing) >= 11
    assert pictures == {name: int(name in drawing) for name in pictures}


def test_says_what_the_tour_promises(stored: NotebookNode) -> None:
    said = words(stored)
    before, after = re.search(r"Held out: (\d+) % read before, \*\*(\d+) %\*\* after", said).groups()  # type: ignore[union-attr]
    assert int(after) >= int(before) + 5, "the hand was not learned"
    accuracy = re.search(r"Test accuracy \*\*([\d.]+) %\*\*", said)

    assert "= 101,770 parameters" in said
    assert accuracy
    assert 97 <= float(accuracy[1]) < 99


def test_stored_outputs_are_those_of_a_run(stored: NotebookNode, fresh: NotebookNode) -> None:
    counts = [cell.execution_count for cell in code_cells(stored)]

    assert counts == list(range(1, len(counts) + 1)), REMEDY
    assert kinds_of_output(stored) == kinds_of_output(fresh), REMEDY


def test_stored_file_is_valid_small_and_knows_no_machine(stored: NotebookNode) -> None:
    nbformat.validate(stored)
    here = [str(ROOT), str(Path.home()), tempfile.gettempdir()]
    folders = [*here, "/home/", "/root/", "/Users/", "/usr/", "/content/", ":\\"]
    readable = words(stored) + "".join(cell.source for cell in stored.cells)

    assert NOTEBOOK.stat().st_size < MOST_BYTES
    assert stored.metadata.kernelspec.name == "python3"
    assert stored.metadata.language_info.name == "python"
    assert all(cell.metadata == {} for cell in stored.cells), REMEDY
    assert [folder for folder in folders if folder in readable] == []


def test_cells_have_names_for_ids(stored: NotebookNode) -> None:
    names = [cell.id for cell in stored.cells]

    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", name) for name in names)


class Recorder:
    """Stands in for IPython: keeps what `%pip` is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def run_line_magic(self, name: str, line: str) -> None:
        self.asked.append(f"%{name} {line}")


def first_cell(stored: NotebookNode, monkeypatch: pytest.MonkeyPatch, present: tuple[str, ...]) -> list[str]:
    """Run it where these modules are installed; returns what it asked of IPython."""
    monkeypatch.setattr(util, "find_spec", lambda name: name in present or None)
    recorder = Recorder()
    names: dict[str, Any] = {"get_ipython": lambda: recorder}
    exec(TransformerManager().transform_cell(code_cells(stored)[0].source), names)
    return [line.format(**names) for line in recorder.asked]


TRAINING = ("tensorflow", "seaborn", "sklearn")
WHEEL = "mnist_digits-0.1.0-py3-none-any.whl"


@pytest.mark.parametrize(
    ("present", "files", "expected"),
    [
        ((), ["pyproject.toml"], '%pip install -q ".[train,tune]"'),
        (("mnist_digits", *TRAINING), ["pyproject.toml"], '%pip install -q ".[tune]"'),
        ((), [WHEEL], f'%pip install -q "{WHEEL}[train,tune]"'),
        (TRAINING, [WHEEL], f'%pip install -q "{WHEEL}[tune]"'),
        (("mnist_digits", *TRAINING), [], '%pip install -q "mnist-digits[tune]"'),
    ],
)
def test_first_cell_installs_what_is_missing(
    stored: NotebookNode,
    present: tuple[str, ...],
    files: list[str],
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in files:
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    assert first_cell(stored, monkeypatch, present) == [expected]


def test_first_cell_opened_alone_asks_once_for_an_address(
    stored: NotebookNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked: list[str] = []

    def answer(question: str) -> str:
        asked.append(question)
        return " git+https://forge.example/mnist-digits "

    monkeypatch.setattr("builtins.input", answer)
    expected = '%pip install -q "mnist-digits[tune] @ git+https://forge.example/mnist-digits"'
    assert first_cell(stored, monkeypatch, TRAINING) == [expected]
    assert len(asked) == 1


def test_first_cell_without_anybody_to_ask_ends_with_one_line(
    stored: NotebookNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a kernel that nobody sits at, as in CI: it does not wait for an answer."""
    hidden = "import importlib.util as u; u.find_spec = lambda name: None"
    alone = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(hidden), code_cells(stored)[0]])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CellExecutionError) as ended:
        execute(alone, tmp_path)
    assert ended.value.ename == "SystemExit"
    assert ended.value.evalue.startswith("put the wheel of mnist-digits beside this notebook, or run this cell again")
    assert "\n" not in ended.value.evalue


def store() -> None:
    """Execute the notebook and write it back with its outputs."""
    nbformat.write(execute(read_notebook()), NOTEBOOK)


if __name__ == "__main__":
    store()
