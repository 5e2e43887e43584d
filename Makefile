# Every target sets up what it needs: a virtual environment with pinned versions.
PYTHON ?= python3
BIN := .venv/bin
# Compiled modules halve TensorFlow's start; some machines switch them off globally.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run test check format constraints notebook clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' Makefile | sed 's/:.*## /\t/'

run: .venv/train ## train the baseline network, evaluate it, write its report
	@$(BIN)/digits train dense

test: .venv/dev ## run all tests
	@$(BIN)/python -m pytest --numprocesses auto --dist loadfile

check: .venv/dev ## lint, types, direction of imports
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: .venv/dev ## mend what can be mended by itself
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

constraints: ## pin the newest versions that work together
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet uv
	@$(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --extra all --extra dev --upgrade \
		--quiet --no-header --no-annotate --output-file constraints.txt

notebook: .venv/dev ## run the notebook anew and store its outputs
	@$(BIN)/python tests/test_notebook.py

clean: ## remove the virtual environment
	rm -rf .venv

.venv/pip: constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14) and "TensorFlow needs Python 3.11, 3.12 or 3.13; name one: make PYTHON=python3.12")'
	@$(PYTHON) -m venv .venv || { echo "python3 -m venv failed: on Debian and Ubuntu, apt-get install python3-venv"; exit 1; }
	@touch $@

.venv/train: .venv/pip pyproject.toml
	@echo "Installing into .venv (a minute or two, once)" >&2
	@$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[train]'
	@touch $@

.venv/dev: .venv/train
	@$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[all,dev]'
	@touch $@
