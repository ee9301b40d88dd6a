# Needs Python 3.11 or newer and make, nothing else: everything here runs in .venv, which is made on first use.

PYTHON  ?= python3
VENV    ?= .venv
WORKERS ?= 2

BIN  := $(VENV)/bin
# A stamp for each set of packages.
DEMO := $(VENV)/.installed-demo
DEV  := $(VENV)/.installed-dev
DOCS := $(VENV)/.installed-docs
LOW  := $(VENV)-lowest/.installed
PIP  := $(BIN)/python -m pip install --quiet --disable-pip-version-check

ORDINARY := not long and not integration

# An environment whose interpreter has gone is made anew, and so are its packages.
_ := $(shell test -x $(BIN)/python || rm -f $(DEMO) $(DEV) $(DOCS); test -x $(VENV)-lowest/bin/python || rm -f $(LOW))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test test-long test-integration test-lowest check format docs bench bench-full clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(DEMO) ## the main job from an empty store to a versioned average, on synthetic data
	$(BIN)/bsv-store demo $(ARGS)

test: $(DEV) ## all ordinary tests, on SQLite and Postgres
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -m "$(ORDINARY)" $(ARGS)

test-long: $(DEV) ## the ordinary tests and those that take minutes
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -m "not integration" $(ARGS)

test-integration: $(DEV) ## clients that we did not write (AllenSDK, Brain Street View) against our server
	$(BIN)/python -m tests.integration.environments
	@# One after the other: Brain Street View looks for its list of experiments in one place.
	$(BIN)/python -m pytest -m integration $(ARGS)

test-lowest: $(LOW) ## the ordinary tests with the oldest versions that pyproject.toml admits
	$(VENV)-lowest/bin/python -m pytest -n $(WORKERS) --dist loadgroup -m "$(ORDINARY)" $(ARGS)

check: $(DEV) ## ruff (lint, format) and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(DEV) ## let ruff rewrite the sources
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(DOCS) ## the documentation as HTML, in build/docs; a warning is an error
	$(BIN)/python -m sphinx -b html -W --keep-going --quiet $(ARGS) docs build/docs

bench: $(DEV) ## the benchmarks, on small inputs
	$(BIN)/python -m benchmarks $(ARGS)

bench-full: $(DEV) ## the benchmarks at the size of the atlas
	$(BIN)/python -m benchmarks --full $(ARGS)

clean: ## remove .venv, caches and builds
	@for old in $(VENV) $(VENV)-lowest .venv-allensdk .venv-peers; do $(call discard,$$old); done
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Only what is a virtual environment is ever removed, whatever VENV was set to.
discard = if test -e "$(1)/pyvenv.cfg"; then rm -rf "$(1)"; fi

$(BIN)/python $(VENV)-lowest/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "bsv-store needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>/dev/null || echo not there)." >&2; \
	  echo "Name another one, for example: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "'$(PYTHON)' cannot make virtual environments: its modules venv and ensurepip are missing." >&2; \
	  echo "On Debian and Ubuntu: apt install python3-venv (or that version's own, such as python3.12-venv)." >&2; exit 1; }
	@$(call discard,$(@D:/bin=))
	$(PYTHON) -m venv $(@D:/bin=)

$(DEMO): pyproject.toml | $(BIN)/python
	$(PIP) --editable '.[plot]'
	@touch $@

$(DEV): pyproject.toml | $(BIN)/python
	$(PIP) --editable '.[dev]'
	@touch $@

$(DOCS): pyproject.toml | $(BIN)/python
	$(PIP) --editable '.[docs]'
	@touch $@

$(LOW): pyproject.toml | $(VENV)-lowest/bin/python
	$(VENV)-lowest/bin/python .ci/lowest.py pyproject.toml >$(VENV)-lowest/constraints.txt
	$(VENV)-lowest/bin/python -m pip install --quiet --disable-pip-version-check \
	  --constraint $(VENV)-lowest/constraints.txt --editable '.[test]'
	@touch $@
