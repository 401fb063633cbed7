# The commands of this repository; each needs nothing but Python 3.11+ and make.

PYTHON ?= python3
BIN := .venv/bin

# Each process that a test starts would compile some thousand modules again: half of its time.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup pins services serve test test-large bench bench-registry check reference format wheels clean

help:  ## print this list
	@sed -n 's/^\([a-z-]*\):.*##/\1\t/p' Makefile | expand -t 16

setup:  ## make .venv with every member and the development tools
	@$(PYTHON) scripts/setup.py

pins:  ## write the newest versions that work together to constraints.txt
	$(PYTHON) scripts/setup.py --pins

services:  ## fetch the programs that tests start (skopeo, weed, ...) into .services
	@$(PYTHON) scripts/services.py fetch

serve: setup  ## run a registry on 127.0.0.1:5000 that stores in registry-data
	$(BIN)/registry serve

# Two at once: half of the time a test waits for a server. A class of tests stays in one process.
test: setup services  ## run every member's tests
	$(BIN)/python -m pytest --numprocesses=2 --dist=loadscope $(ARGS)

test-large: setup services  ## run the tests at full size
	$(BIN)/python -m pytest -m large $(ARGS)

bench: setup services  ## measure side by side with peers
	$(BIN)/python -m benchmarks $(ARGS)

bench-registry: setup services  ## load the registry and docker-registry by turns
	$(BIN)/python -m benchmarks.registry_load --against docker-registry $(ARGS)

check: setup  ## check format, rules, types, architecture and docs
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy .
	$(BIN)/python -m pytest --quiet storagedriver_core/tests/test_architecture.py
	$(BIN)/python scripts/reference.py --check
	$(BIN)/sphinx-build -W -E --keep-going --quiet docs docs/_build

reference: setup  ## write the pages and pictures of docs/ that come from the code
	$(BIN)/python scripts/reference.py

format: setup  ## format, and fix what ruff can fix
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

wheels: setup  ## build every wheel and import each in an environment of its own
	$(BIN)/python scripts/wheels.py

clean:  ## remove what the other commands made, but not the registry's data
	rm -rf .venv .services dist docs/_build .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
