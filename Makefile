# One list of commands for people, pre-commit and CI. `make help` prints it.
# Every target sets up what it needs: a virtual environment in .venv with the versions of constraints.txt.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
JOBS ?= 2

# the first Python that is new enough and can make virtual environments; `make PYTHON=/path/to/python3.12` overrides
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3 python; do \
    if $$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then echo $$p; break; fi; done)

.DEFAULT_GOAL := help
.PHONY: help install demo test test-fast browser lint format types layers check

help:  ## print this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

install: $(STAMP)  ## make .venv and install the package with everything it needs

$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || test -n "$(PYTHON)" || { \
	    echo "make: found no Python >= 3.11 with venv and ensurepip; install one, or say make PYTHON=/path/to/python3.11" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch --editable '.[dev]'
	@touch $@

# The networks are small: more than two threads cost more than they bring.
demo: export OMP_NUM_THREADS ?= 2
demo: $(STAMP)  ## fit, evaluate and draw a small network, from nothing to figures
	$(BIN)/connectome-sim fit +experiment=quickstart
	@run=$$(ls -td runs/quickstart/*/ | head -n 1); \
	    echo "metrics: $${run}metrics.json"; \
	    echo "figures: $${run}figures/"

# Tests run in JOBS processes, so each of them gets one thread.
test test-fast: export OMP_NUM_THREADS = 1
test test-fast: export MKL_NUM_THREADS = 1
test test-fast: export OPENBLAS_NUM_THREADS = 1
test: $(STAMP)  ## every test; those on real data where CONNECTOME_SIM_DATA points at it
	$(BIN)/python -m pytest -n $(JOBS)

test-fast: $(STAMP)  ## tests that take no more than a few seconds each
	$(BIN)/python -m pytest -n $(JOBS) -m 'not slow'

browser:  ## find Chromium, in which reports are tested, or install it where that is possible (Debian, as root)
	@for b in "$$CONNECTOME_SIM_BROWSER" chromium chromium-browser google-chrome google-chrome-stable; do \
	    if test -n "$$b" && command -v "$$b" >/dev/null; then echo "browser: $$(command -v "$$b")"; exit 0; fi; done; \
	if test "$$(id -u)" = 0 && command -v apt-get >/dev/null; then \
	    { apt-get install -y --no-install-recommends chromium || { apt-get update && \
	      apt-get install -y --no-install-recommends chromium; }; } >/dev/null && exit 0; fi; \
	echo "make: found no Chromium; install one, or let CONNECTOME_SIM_BROWSER name it" >&2; exit 1

lint: $(STAMP)  ## style, without changing anything
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(STAMP)  ## bring the style in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(STAMP)  ## static types
	$(BIN)/mypy

layers: $(STAMP)  ## imports against the layer table in pyproject.toml
	$(BIN)/lint-imports

check: lint types layers test  ## all of it
