# `make demo` and `make test` each work as the first command in a bare clone.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test soak bench clean

demo: .venv/installed
	$(BIN)/python -m tuirnn demo

test: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

soak: .venv/installed
	$(BIN)/python -m tests.trust

bench: .venv/installed
	$(BIN)/tuirnn bench train

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
