# Needs only Python 3.11 or newer and make. Everything runs in .venv, which is created on first use.

PYTHON  ?= python3
VENV    ?= .venv
WORKERS ?= 2

BIN  := $(VENV)/bin
# A stamp file for each set of installed packages.
DEMO := $(VENV)/.installed-demo
DEV  := $(VENV)/.installed-dev
DOCS := $(VENV)/.installed-docs
LOW  := $(VENV)-lowest/.installed
PIP  := $(BIN)/python -m pip install --quiet --disable-pip-version-check

ROUNDS ?= 1
SEED   ?= 1

ORDINARY := not long and not integration

# Create the environment again if its interpreter no longer works, for example after an upgrade of Python.
_ := $(shell test -x $(BIN)/python || rm -f $(DEMO) $(DEV) $(DOCS); test -x $(VENV)-lowest/bin/python || rm -f $(LOW))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo picture test test-long test-integration test-lowest reliability mutants check format docs man bench bench-full clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(DEMO) ## run a complete example on synthetic data, from an empty store to figures and a report
	$(BIN)/bsv-store demo $(ARGS)

picture: $(DEMO) ## draw the picture of the README from the synthetic atlas
	rm -rf build/picture
	$(BIN)/bsv-store demo --keep build/picture
	BSV_STORE=build/picture/store $(BIN)/bsv-store aggregate --injected-in VISp --injected-in VISl --line wild-type \
	  --normalize injection-volume --hemisphere-rule fold-ipsilateral --name visual
	BSV_STORE=build/picture/store $(BIN)/bsv-store plot slices visual docs/static/visual-cortex.png --overwrite \
	  --at-mm 5.4,6.3,7.3,7.9,8.4,9.2 --emphasize VISp --emphasize CP --emphasize LGd --emphasize SCs \
	  --smooth-um 50 --theme dark --title '' --no-footer --width-mm 140 --dpi 190

test: $(DEV) ## run all ordinary tests, on SQLite and Postgres
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -m "$(ORDINARY)" $(ARGS)

test-long: $(DEV) ## run the ordinary tests and those that take minutes
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -m "not integration" $(ARGS)

test-integration: $(DEV) ## run other programs: AllenSDK, Brain Street View, the readers of docs/files.md
	$(BIN)/python -m tests.integration.environments
	@# Not in parallel: Brain Street View reads its experiment list from a fixed path.
	$(BIN)/python -m pytest -m integration $(ARGS)

reliability: $(DEV) ## run the campaigns of docs/reliability.md at length and write their figures: ROUNDS=0.1, SEED=2
	$(BIN)/python -m tests.reliability --rounds $(ROUNDS) --seed $(SEED) --workers $(WORKERS) $(ARGS)

mutants: $(DEV) ## break each promise on purpose, and see that a test notices
	$(BIN)/python -m tests.reliability.mutants $(ARGS)

test-lowest: $(LOW) ## run the ordinary tests with the oldest dependencies that pyproject.toml allows
	$(VENV)-lowest/bin/python -m pytest -n $(WORKERS) --dist loadgroup -m "$(ORDINARY)" $(ARGS)

check: $(DEV) ## run ruff (lint, format) and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(DEV) ## reformat the sources with ruff
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(DOCS) ## build the documentation as HTML in build/docs; warnings are errors
	$(BIN)/python -m sphinx -b html -W --keep-going --quiet $(ARGS) docs build/docs

man: $(DEV) ## generate the manual page from the help of the commands
	$(BIN)/python -m bsv_store_cli.man >docs/man/bsv-store.1

bench: $(DEV) ## run the benchmarks on small inputs
	$(BIN)/python -m benchmarks $(ARGS)

bench-full: $(DEV) ## run the benchmarks at the size of the atlas
	$(BIN)/python -m benchmarks --full $(ARGS)

clean: ## remove .venv, caches and builds
	@for old in $(VENV) $(VENV)-lowest .venv-allensdk .venv-peers .venv-readers .venv-statistics .venv-schemathesis; do $(call discard,$$old); done
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Remove only virtual environments, whatever VENV is set to.
discard = if test -e "$(1)/pyvenv.cfg"; then rm -rf "$(1)"; fi

$(BIN)/python $(VENV)-lowest/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "bsv-store needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>/dev/null || echo missing)." >&2; \
	  echo "Name another one, for example: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "'$(PYTHON)' cannot make virtual environments: its modules venv and ensurepip are missing." >&2; \
	  echo "On Debian and Ubuntu: apt install python3-venv (or that version's own, such as python3.12-venv)." >&2; exit 1; }
	@$(call discard,$(@D:/bin=))
	$(PYTHON) -m venv $(@D:/bin=)

$(DEMO): pyproject.toml | $(BIN)/python
	$(PIP) --editable '.[plot,server]'
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
