# Every target sets up what it needs: a virtual environment with pinned versions.
PYTHON ?= python3
BIN := .venv/bin
# uv installs in a fraction of pip's time; where there is no uv for the machine, pip does the same.
INSTALL = $(if $(wildcard $(BIN)/uv),$(BIN)/uv pip install --python .venv --compile-bytecode,$(BIN)/pip install) \
	--quiet --constraint constraints.txt
# Compiled modules halve TensorFlow's start; some machines switch them off globally.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run test check format docs wheel constraints notebook clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' Makefile | sed 's/:.*## /\t/'

run: .venv/train ## train the baseline network, evaluate it, write its report
	@$(BIN)/digits train dense

test: .venv/dev ## run all tests
	@$(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

check: .venv/dev ## format, lint, types, direction of imports
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: .venv/dev ## correct what can be corrected automatically
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

docs: .venv/dev ## build the documentation into docs/_build/html; a broken link is an error
	@$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --nitpicky --fresh-env \
		--doctree-dir docs/_build/doctrees docs docs/_build/html
	@echo docs/_build/html/index.html

wheel: .venv/dev ## build a wheel into dist/ and try it in an empty environment
	@.ci/wheel

constraints: .venv/pip ## pin the newest versions that work together
	@$(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --extra all --extra dev --upgrade \
		--quiet --no-header --no-annotate --output-file constraints.txt

notebook: .venv/dev ## run the notebook and store its outputs
	@$(BIN)/python tests/docs/test_notebook.py

clean: ## remove what the other targets installed and built; runs/ stays
	rm -rf .venv dist docs/_build

.venv/pip: constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14) and "TensorFlow needs Python 3.11, 3.12 or 3.13; name one: make PYTHON=python3.12")'
	@$(PYTHON) -m venv .venv || { echo "python3 -m venv failed: on Debian and Ubuntu, apt-get install python3-venv"; exit 1; }
	@$(BIN)/pip install --quiet --constraint constraints.txt uv || echo "No uv here: pip installs, which takes longer" >&2
	@touch $@

.venv/train: .venv/pip pyproject.toml
	@echo "Installing into .venv (a minute or two, once)" >&2
	@$(INSTALL) --editable '.[train]'
	@touch $@

.venv/dev: .venv/train
	@$(INSTALL) --editable '.[all,dev]'
	@touch $@
