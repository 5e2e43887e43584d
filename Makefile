# Every target sets up what it needs: a virtual environment with pinned versions.
PYTHON ?= python3
MINUTES ?= 30
PORT ?= 8000
BIN := .venv/bin
# uv, not pip, which cannot check constraints' hashes: of all that comes from elsewhere, the tools that build included.
INSTALL = $(BIN)/uv pip install --quiet --constraint constraints.txt --build-constraints constraints.txt
# Compiled modules halve TensorFlow's start; some machines switch them off globally.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run page models test fuzz check format docs wheel sbom licences constraints notebook lesson pictures clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' Makefile | sed 's/:.*## /\t/'

run: for-train ## train the baseline network, evaluate it, write its report
	@$(BIN)/digits train dense

page: for-train ## open the page to draw on, and to train networks on; PORT=8000
	@$(BIN)/digits serve --playground --open --port $(PORT)

models: for-dev ## make the models that come with the package anew, in runs/models; MINUTES=12: no longer than that
	@$(BIN)/digits models $(if $(filter-out file,$(origin MINUTES)),--minutes $(MINUTES))

test: for-dev ## run all tests
	@$(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

fuzz: for-dev ## MINUTES=30: try ever other hostile files; what is not survived is kept in tests/fuzzing/cases
	@end=$$(($$(date +%s) + 60 * $(MINUTES))); while [ $$(date +%s) -lt $$end ]; do \
		FUZZ_EXAMPLES=500 $(BIN)/python -m pytest --quiet --numprocesses auto tests/fuzzing || exit; done

check: for-dev ## format, lint, types, direction of imports
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: for-dev ## correct what can be corrected automatically
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

docs: for-dev ## build the documentation into docs/_build/html; a broken link is an error
	@$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --nitpicky --fresh-env \
		--doctree-dir docs/_build/doctrees docs docs/_build/html
	@echo docs/_build/html/index.html

wheel: for-dev ## build a wheel into dist/ and try it in an empty environment
	@.ci/wheel

sbom: for-dev ## list what an installation with all extras consists of: CycloneDX, in dist/sbom.json
	@.ci/sbom

licences: for-dev ## write the licences of what is installed into docs/reference/licences.md
	@$(BIN)/python tests/package/test_licences.py

constraints: for-pip ## pin the newest versions that work together, with the hashes of their files
	@$(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --extra all --extra dev --extra lesson --upgrade \
		--generate-hashes --quiet --no-header --no-annotate --output-file constraints.txt

notebook: for-dev ## run the notebook and store its outputs
	@$(BIN)/python tests/docs/test_notebook.py

# Jupyter would ask for news, newer versions and extensions.
lesson: for-lesson ## open the notebook in Jupyter
	@$(BIN)/jupyter lab --LabApp.news_url=None --LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate \
		--LabApp.extension_manager=readonly MNIST_digit_classification.ipynb

pictures: for-dev ## take the pictures of the page in docs/ anew; needs Chromium
	@PYTHONPATH=tests $(BIN)/python tests/docs/page_pictures.py

clean: ## remove what the other targets installed and built; runs/ stays
	rm -rf .venv dist docs/_build

# Two makes in one folder: the second waits until the first has installed.
for-%:
	@$(PYTHON) .ci/alone $(MAKE) --silent .venv/$*

.venv/pip: constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14) and "TensorFlow needs Python 3.11, 3.12 or 3.13; name one: make PYTHON=python3.12")'
	@$(PYTHON) -m venv .venv || { echo "python3 -m venv failed: on Debian and Ubuntu, apt-get install python3-venv"; exit 1; }
	@sed -n '/^uv==/,/[^\\]$$/p' constraints.txt > .venv/uv.txt
	@$(BIN)/pip install --quiet --require-hashes --requirement .venv/uv.txt
	@touch $@

.venv/train: .venv/pip pyproject.toml
	@echo "Installing into .venv (a minute or two, once)" >&2
	@$(INSTALL) --python .venv --compile-bytecode --editable '.[train]'
	@touch $@

.venv/lesson: .venv/train
	@$(INSTALL) --python .venv --compile-bytecode --editable '.[train,tune,lesson]'
	@touch $@

.venv/dev: .venv/train
	@$(INSTALL) --python .venv --compile-bytecode --editable '.[all,dev]'
	@touch $@
