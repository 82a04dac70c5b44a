# Everything a developer does. `make` alone lists it. Each target sets up what it needs.
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
LOWEST ?= .venv-lowest
ARGS ?=
export NO_ALBUMENTATIONS_UPDATE = 1
# Some environments forbid Python to keep compiled modules: each process would compile torch and lightning again, 20 s.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*?## ' $(MAKEFILE_LIST) | awk -F':.*?## ' '{printf "  make %-11s %s\n", $$1, $$2}'

# Torch and torchvision must be a matching pair, so the tested versions are installed (constraints.txt). For a GPU,
# install your own build first and then `pip install -e .`. A current pip needs half of the time that the one of Python 3.11
# needs. --no-compile: Python compiles modules when they are imported; compiling all of them took 44 s.
$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[dev]'
	@touch $@

.PHONY: setup
setup: $(STAMP) ## make .venv and install the package with its development tools

.PHONY: run
run: $(STAMP) ## train MFER on the embedded synthetic faces (ARGS="loss=lgm seed=1" for options)
	$(BIN)/python -m mfer_lightning $(ARGS)

# mypy runs beside the tests and fills the gaps that two workers leave; what it says is shown at the end. Either failure
# is one of `make test`.
.PHONY: test
test: $(STAMP) lint ## the quick tests, linting and types (minutes)
	@$(info $(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)) \
	said=$$(mktemp); trap 'rm -f "$$said"' EXIT; \
	$(BIN)/mypy > "$$said" 2>&1 & types=$$!; trap 'kill $$types; exit 130' INT TERM; \
	$(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS); tests=$$?; \
	echo $(BIN)/mypy; wait $$types; types=$$?; cat "$$said"; \
	exit $$((tests ? tests : types))

.PHONY: test-all
test-all: $(STAMP) ## every test, the slow ones too
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	$(BIN)/python -m pytest -m "slow or not slow" $(ARGS)

# uv, because pip has no way to ask for the lowest versions. Its own environment: torch of those days is another build.
# Left out are the extras that need newer releases of what the package itself needs (dashboard: wandb; demo: markupsafe;
# comet: rich; mlflow: packaging); their tests are skipped.
.PHONY: test-lowest
test-lowest: ## the quick tests with the lowest versions that pyproject.toml allows, in .venv-lowest
	test -x $(LOWEST)/bin/python || $(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --upgrade uv
	$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python --resolution lowest-direct --editable \
		'.[test,metric,tensorboard,align,heic,joblib,slurm,ray,optuna,cam,onnx,cli,lora]'
	$(LOWEST)/bin/python -m pytest -n 2 --dist worksteal --doctest-ignore-import-errors $(ARGS)

.PHONY: docs
docs: $(STAMP) ## build the documentation site in docs/_build/html; warnings are errors
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	$(BIN)/python -m sphinx --builder html --fail-on-warning --keep-going docs docs/_build/html

.PHONY: lint
lint: $(STAMP) ## style and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

.PHONY: typecheck
typecheck: $(STAMP) ## strict types
	$(BIN)/mypy

.PHONY: format
format: $(STAMP) ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: wheel
wheel: $(STAMP) ## build the wheel into dist/
	$(BIN)/python -m build --wheel

.PHONY: clean
clean: ## remove everything that make has made (runs and data stay)
	rm -rf $(VENV) $(LOWEST) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
