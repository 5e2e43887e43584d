"""The package as another program imports it."""

import logging
import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest

import mnist_digits
from mnist_digits import dataset, evaluation, recognition, training

EXPORTED = ["Classifier", "Reader", "__version__", "evaluate", "fit", "load_mnist", "train"]


def test_exported_members():
    assert mnist_digits.__all__ == EXPORTED
    assert set(EXPORTED) <= set(dir(mnist_digits))
    assert mnist_digits.Classifier is recognition.Classifier
    assert mnist_digits.Reader is recognition.Reader
    assert mnist_digits.load_mnist is dataset.load_mnist
    assert mnist_digits.evaluate is evaluation.evaluate
    assert mnist_digits.train is training.train
    with pytest.raises(AttributeError, match="no attribute 'Clasifier'"):
        mnist_digits.Clasifier  # noqa: B018


def loaded(statement: str) -> set[str]:
    """The packages that a statement imports, in a new process."""
    program = f"import sys; before = set(sys.modules); {statement}; print(*(set(sys.modules) - before))"
    output = subprocess.check_output([sys.executable, "-c", program], text=True)
    return {name.split(".")[0] for name in output.split()}


def test_nothing_is_imported_before_it_is_used():
    assert loaded("import logging; import mnist_digits") & {"numpy", "rich", "typer", "pydantic"} == set()
    reading = loaded("from mnist_digits import Classifier, Reader, load_mnist")
    assert "onnxruntime" in reading
    assert reading & {"keras", "tensorflow", "jax", "torch", "matplotlib", "sklearn", "scipy", "fastapi"} == set()


def test_only_the_confusion_matrix_needs_seaborn_and_nothing_pandas():
    source = Path(mnist_digits.__file__).parent
    pattern = re.compile(r"^\s*(?:import|from) (seaborn|pandas)\b", re.MULTILINE)
    found = {(path.name, match[1]) for path in source.rglob("*.py") for match in pattern.finditer(path.read_text())}
    assert found == {("figures.py", "seaborn")}


def test_the_logger_is_silent_until_it_is_asked():
    assert any(isinstance(handler, logging.NullHandler) for handler in logging.getLogger("mnist_digits").handlers)
    program = "import logging, mnist_digits; logging.getLogger('mnist_digits.x').warning('w'); print('done')"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (result.stdout, result.stderr) == ("done\n", "")


USER_PROGRAM = """
from mnist_digits import Classifier, Reader, evaluate, fit, load_mnist, train

run = train("dense", load_mnist("fashion"), seed=1)
print(run.report.name, Reader().read("page.jpg").text, Classifier().classify("7.png").digit, evaluate, fit)
load_mnist(seed="one")
"""


def test_types_reach_a_users_project(tmp_path: Path):
    """Checked with mypy where the package alone is installed: what it imports may be of any type."""
    venv.create(tmp_path / "venv", symlinks=True)
    (packages,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    (packages / "installed.pth").write_text(str(Path(mnist_digits.__file__).parents[1]))
    (tmp_path / "program.py").write_text(USER_PROGRAM)
    mypy = [sys.executable, "-m", "mypy", "--python-executable", str(tmp_path / "venv/bin/python"), "program.py"]
    result = subprocess.run(mypy, cwd=tmp_path, capture_output=True, text=True, check=False)
    (error, summary) = result.stdout.splitlines()
    assert error.startswith('program.py:6: error: Argument "seed" to "load_mnist" has incompatible type "str"')
    assert summary.startswith("Found 1 error")
