# The development commands. `make` without a target lists them. Each target installs what it needs.
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
LOWEST ?= .venv-lowest
ARGS ?=
# One more than the two cores of the machine that CI uses: tests often wait for other processes.
WORKERS ?= 3
export NO_ALBUMENTATIONS_UPDATE = 1
# Some environments set this variable. Without cached bytecode, each process compiles torch and lightning again (20 s).
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*?## ' $(MAKEFILE_LIST) | awk -F':.*?## ' '{printf "  make %-11s %s\n", $$1, $$2}'

# The versions of torch and torchvision must match, so the tested versions are installed (constraints.txt). For a GPU,
# install your own build first and then run `pip install -e .`. A current pip takes half as long as the one shipped with
# Python 3.11. --no-compile: compiling all modules took 44 s; Python compiles them when they are imported.
$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[dev]'
	@touch $@

.PHONY: setup
setup: $(STAMP) ## create .venv and install the package with its development tools

.PHONY: run
run: $(STAMP) ## train MFER on the built-in synthetic faces (ARGS="loss=lgm seed=1" sets options)
	$(BIN)/python -m mfer_lightning $(ARGS)

# mypy runs in parallel with the tests, and its output is shown at the end. `make test` fails if either fails.
.PHONY: test
test: $(STAMP) lint ## run the quick tests, linting and type checks (minutes)
	@$(info $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)) \
	said=$$(mktemp); trap 'rm -f "$$said"' EXIT; \
	$(BIN)/mypy > "$$said" 2>&1 & types=$$!; trap 'kill $$types; exit 130' INT TERM; \
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS); tests=$$?; \
	echo $(BIN)/mypy; wait $$types; types=$$?; cat "$$said"; \
	exit $$((tests ? tests : types))

.PHONY: test-all
test-all: $(STAMP) ## run all tests, including the slow ones
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	$(BIN)/python -m pytest -m "slow or not slow" $(ARGS)

# This uses uv, because pip cannot install the lowest allowed versions, and a separate environment, because it
# installs an older torch. Extras that need newer releases of the package's own dependencies are left out (dashboard: wandb; demo:
# markupsafe; comet: rich; mlflow: packaging); their tests are skipped.
.PHONY: test-lowest
test-lowest: ## run the quick tests with the lowest versions that pyproject.toml allows, in .venv-lowest
	test -x $(LOWEST)/bin/python || $(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --upgrade uv
	$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python --resolution lowest-direct --editable \
		'.[test,metric,tensorboard,align,heic,joblib,slurm,ray,optuna,cam,onnx,cli,lora]'
	$(LOWEST)/bin/python -m pytest -n $(WORKERS) --dist worksteal --doctest-ignore-import-errors $(ARGS)

.PHONY: docs
docs: $(STAMP) ## build the documentation site in docs/_build/html; warnings are errors
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	$(BIN)/python -m sphinx --builder html --fail-on-warning --keep-going docs docs/_build/html

.PHONY: lint
lint: $(STAMP) ## check the style and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

.PHONY: typecheck
typecheck: $(STAMP) ## check types, strictly
	$(BIN)/mypy

.PHONY: format
format: $(STAMP) ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: wheel
wheel: $(STAMP) ## build the wheel into dist/
	$(BIN)/python -m build --wheel

.PHONY: clean
clean: ## remove the environments, the wheel and the caches (runs, data and docs/_build are kept)
	rm -rf $(VENV) $(LOWEST) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
