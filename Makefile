# Everything runs in .venv, which is made on first use and installed into again only when pyproject.toml changes.
# `make train` and `make test` are the two commands of the README; `make help` lists the others.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
ARGS ?=

# Installed files are compiled when they are first imported, which is faster than compiling all of them at once.
export PYTHONDONTWRITEBYTECODE :=

# The stamp of an extra says that its packages are installed.
installed = $(VENV)/installed-$(1)

.DEFAULT_GOAL := help
.PHONY: help train test lint format book bench coverage clean

help:  ## list the commands
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1|\2/p' Makefile | awk -F'|' '{ printf "%-14s %s\n", $$1, $$2 }'

train: $(call installed,train)  ## set up, and train LeNet-5 on real digits; options: make train ARGS="--epochs 3"
	$(BIN)/python -m tinygrad_cnn train lenet $(ARGS)

test: $(call installed,test)  ## set up, and run the whole suite on all cores: on the CPU, then on the strict stand-in for a GPU
	$(BIN)/python -m pytest -n auto $(ARGS)
	$(BIN)/python -m pytest -n auto tests --device strict $(ARGS)

lint: $(call installed,lint)  ## style, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(call installed,lint)  ## mend what can be mended without thinking
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

book: $(call installed,docs)  ## build the site into docs/_build/html, executing every chapter, and look over it
	$(BIN)/python -m sphinx -b html -W --keep-going -n -E -j 2 docs docs/_build/html
	$(BIN)/python docs/check_book.py docs/_build/html
	$(BIN)/python docs/check_pages.py docs/_build/html

bench: $(call installed,train)  ## measure speed beside other frameworks; options as in docs/benchmarks.md
	$(BIN)/python benchmarks/compare.py $(ARGS)

coverage: $(call installed,dev)  ## which lines and branches the suite reaches
	$(BIN)/python -m pytest --cov --cov-report=term-missing $(ARGS)

clean:  ## remove the environment and everything that was built; runs/ stays
	rm -rf $(VENV) build dist docs/_build docs/generated docs/tutorials *.egg-info .mypy_cache .pytest_cache .ruff_cache

$(VENV)/created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or later is needed, and '$(PYTHON)' is not. Name another: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2> /dev/null || { \
	  echo "This Python cannot make virtual environments. On Debian and Ubuntu: sudo apt install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/installed-%: $(VENV)/created pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --editable ".[$*]"
	@touch $@
