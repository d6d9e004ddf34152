# `make demo`, `make test` and `make conformance` each work as the first command in a bare clone.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test conformance dist docs pictures soak bench bench-gpu clean

demo: .venv/program
	$(BIN)/python -m tuirnn demo

test: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal

# Builds wheel and source distribution in dist/, then installs the wheel in clean environments and uses it.
dist: .venv/installed
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/python tests/package.py dist

# The documents as a site, in build/site; every link is checked.
docs: .venv/documents
	$(BIN)/python docs/pages.py

# The pictures of docs/pictures, from the dashboard itself; trains small networks for some minutes.
pictures: .venv/installed
	$(BIN)/python docs/pictures.py

.venv/documents: .venv/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	touch $@

soak: .venv/installed
	TUIRNN_LONG=1 $(BIN)/python -m pytest
	$(BIN)/python -m tests.trust

conformance: .venv/installed
	$(BIN)/python export/conformance/conformance.py
	$(BIN)/python export/conformance/precisions.py
	$(BIN)/python export/conformance/replay.py
	TUIRNN_LONG=1 $(BIN)/python -m pytest -m 'hosts or not hosts' -rs tests/test_hosts.py tests/test_webpage.py \
		tests/test_c_tasks.py tests/test_c_reading.py tests/test_block.py tests/test_priming.py

bench: .venv/installed
	$(BIN)/tuirnn bench train

# DATA=FILE: a copy of tiny Shakespeare, where the machine has no network.
bench-gpu: .venv/installed
	$(BIN)/python benchmarks/gpu.py $(if $(DATA),--data $(DATA))

# What runs the program, and what checks it too.
.venv/program: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

.venv/installed: .venv/program
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv dist build .conformance .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
