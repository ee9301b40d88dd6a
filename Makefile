# Needs only Python 3.11 or newer and make. Everything runs in .venv, which is created on first use.

PYTHON  ?= python3
VENV    ?= .venv
WORKERS ?= 2

# The tests start hundreds of processes, and each would compile the modules that it imports.
unexport PYTHONDONTWRITEBYTECODE

BIN := $(VENV)/bin
# All virtual environments; those of test-integration are made by its tests.
ENVIRONMENTS := $(VENV) $(addprefix $(VENV)-,lowest release audit mutation fuzz)
# A stamp file for each set of installed packages.
DEMO     := $(VENV)/.installed-demo
DEV      := $(VENV)/.installed-dev
DOCS     := $(VENV)/.installed-docs
LOW      := $(VENV)-lowest/.installed
MUTATION := $(VENV)-mutation/.installed
FUZZ     := $(VENV)-fuzz/.installed
# What users install, and the tools that examine it from another environment.
USERS    := $(VENV)-release/.installed
TOOLS    := $(VENV)-audit/.installed
# Install into the environment of the stamp that is made.
PIP = $(@D)/bin/python -m pip install --quiet --disable-pip-version-check
# The compiled loop of averages; without a C compiler everything else still works.
FAST := $(wildcard fast/pyproject.toml fast/bsv_store_fast/*)

ROUNDS  ?= 1
SEED    ?= 1
TARGET  ?=
SECONDS ?= 60

ORDINARY := not long and not integration and not repeated
REPEATED := repeated and not long and not integration

# Create an environment again if its interpreter no longer works, for example after an upgrade of Python.
_ := $(shell for each in $(ENVIRONMENTS); do test -x $$each/bin/python || rm -f $$each/.installed*; done)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo picture docs man check format clean
.PHONY: test test-postgres test-long test-integration test-lowest bench bench-full
.PHONY: reliability fuzz mutants mutation
.PHONY: audit sbom release

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

test: $(DEV) ## run all ordinary tests: on SQLite, and on Postgres where the database matters
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -m "$(ORDINARY)" $(ARGS)

test-postgres: $(DEV) ## run on Postgres the ordinary tests that "make test" runs on SQLite only
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -m "$(REPEATED)" $(ARGS)

test-long: $(DEV) ## run all tests on both databases, and those that take minutes
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -m "not integration" $(ARGS)

test-integration: $(DEV) ## run other programs: AllenSDK, Brain Street View, the readers of docs/files.md
	$(BIN)/python -m tests.integration.environments
	@# Not in parallel: Brain Street View reads its experiment list from a fixed path.
	$(BIN)/python -m pytest -m integration $(ARGS)

reliability: $(DEV) ## run the campaigns of docs/reliability.md at full size and write their figures: ROUNDS=0.1 SEED=2
	$(BIN)/python -m tests.reliability --rounds $(ROUNDS) --seed $(SEED) --workers $(WORKERS) $(ARGS)

fuzz: $(FUZZ) ## fuzz the readers with coverage, under atheris: TARGET="nrrd bundle" SECONDS=600 (for each)
	$(VENV)-fuzz/bin/python -m tests.reliability.fuzzing $(TARGET) --seconds $(SECONDS) --seed $(SEED)

mutants: $(DEV) ## break each promise on purpose, and check that a test notices
	$(BIN)/python -m tests.reliability.mutants $(ARGS)

mutation: $(MUTATION) ## change every line of the modules that compute values, and count the changes that no test notices
	$(VENV)-mutation/bin/python -m tests.reliability.mutation $(ARGS)

test-lowest: $(LOW) ## run the ordinary tests with the oldest dependencies that pyproject.toml allows
	$(VENV)-lowest/bin/python -m pytest -n $(WORKERS) --dist loadgroup -m "$(ORDINARY)" $(ARGS)

check: $(DEV) ## run ruff (lint, format) and mypy --strict, on the tests too
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

audit: $(USERS) $(TOOLS) ## look up known vulnerabilities of all dependencies; needs the network
	$(VENV)-audit/bin/python .ci/audit.py $(VENV)-release/bin/python

sbom: $(USERS) $(TOOLS) ## write the list of all dependencies to build/bsv-store.cdx.json (CycloneDX)
	@mkdir -p build
	$(VENV)-audit/bin/python -m cyclonedx_py environment --pyproject pyproject.toml --mc-type library \
	  --output-reproducible --output-file build/bsv-store.cdx.json $(VENV)-release/bin/python

release: check audit sbom $(DEV) ## check, audit, and build the distributions in dist, with the list of dependencies
	rm -rf dist
	$(BIN)/python -m build --outdir dist
	$(BIN)/python -m build --outdir dist fast
	cp build/bsv-store.cdx.json dist

clean: ## remove .venv, caches and builds
	@for old in $(ENVIRONMENTS) $(addprefix .venv-,allensdk peers readers statistics targets heatmap schemathesis); do \
	  $(call discard,$$old); done
	rm -rf build dist fast/build fast/*.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Remove only virtual environments, whatever VENV is set to.
discard = if test -e "$(1)/pyvenv.cfg"; then rm -rf "$(1)"; fi

$(addsuffix /bin/python,$(ENVIRONMENTS)):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "bsv-store needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>/dev/null || echo missing)." >&2; \
	  echo "Name another one, for example: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "'$(PYTHON)' cannot make virtual environments: its modules venv and ensurepip are missing." >&2; \
	  echo "On Debian and Ubuntu: apt install python3-venv (or that version's own, such as python3.12-venv)." >&2; exit 1; }
	@$(call discard,$(@D:/bin=))
	$(PYTHON) -m venv $(@D:/bin=)

$(DEMO): pyproject.toml | $(BIN)/python
	$(PIP) --editable '.[plot,stats,server]'
	@touch $@

$(DEV): pyproject.toml $(FAST) | $(BIN)/python
	$(PIP) --editable '.[dev]'
	@if command -v cc >/dev/null; then $(PIP) --no-build-isolation --no-deps --force-reinstall ./fast; fi || \
	  echo "bsv-store-fast cannot be built; on Debian and Ubuntu: apt install gcc python3-dev" >&2
	@touch $@

$(DOCS): pyproject.toml | $(BIN)/python
	$(PIP) --editable '.[docs]'
	@touch $@

$(LOW): pyproject.toml | $(VENV)-lowest/bin/python
	$(@D)/bin/python .ci/lowest.py pyproject.toml >$(@D)/constraints.txt
	$(PIP) --constraint $(@D)/constraints.txt --editable '.[test]'
	@touch $@

$(USERS): pyproject.toml | $(VENV)-release/bin/python
	$(PIP) --upgrade ./fast '.[postgres,plot,xarray,dask,stats,remote,server,arrow,zarr,fast]'
	@touch $@

$(TOOLS): | $(VENV)-audit/bin/python
	$(PIP) --upgrade 'pip-audit>=2.9' 'cyclonedx-bom>=7.0'
	@touch $@

$(MUTATION): pyproject.toml $(FAST) | $(VENV)-mutation/bin/python
	$(PIP) --editable '.[test]' mutmut==3.8.1 coverage==7.17.5
	$(PIP) --no-deps --force-reinstall ./fast
	@touch $@

$(FUZZ): pyproject.toml | $(VENV)-fuzz/bin/python
	$(PIP) 'atheris>=3.0' --editable '.[test]'
	@touch $@
