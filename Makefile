# make demo | test | check | bench | bench-full | field | soak | tokens | reference | picture. Each makes .venv and installs when needed, and does nothing twice.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

.PHONY: demo test check bench bench-full field soak tokens reference picture
.NOTPARALLEL:

# Today's pip resolves in half the time of the one that Python 3.11 has. Where the system's Python has none, that one.
$(BIN)/pip:
	$(PYTHON) -m venv --without-pip .venv
	$(PYTHON) -m pip --python $(BIN)/python --quiet install --no-compile pip 2>/dev/null || $(PYTHON) -m venv .venv

# What `demo` needs. Python compiles what it imports; all there is takes ten seconds, and most of it is never used.
.venv/installed: pyproject.toml | $(BIN)/pip
	$(PIP) install --no-compile --editable .
	touch $@

# What all others need, on top.
.venv/installed-dev: pyproject.toml | $(BIN)/pip
	$(PIP) install --editable '.[dev]'
	touch .venv/installed $@

demo: .venv/installed
	@rm -rf out/demo.parquet out/demo.run
	$(BIN)/batchchat run jobs/first.yaml --output out/demo.parquet
	@$(BIN)/python -c "import pandas; rows = pandas.read_parquet('out/demo.parquet'); \
	print('\nout/demo.parquet, its first rows:'); \
	print(rows[['id', 'category', 'response', 'completion_tokens', 'cost_usd', 'latency_s']].head().to_string(max_colwidth=44))"

test: .venv/installed-dev
	$(BIN)/python -m pytest -n 4 --dist worksteal

check: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/installed-dev
	$(BIN)/python -m tests.benchmarks.bench

bench-full: .venv/installed-dev
	$(BIN)/python -m tests.benchmarks.bench --full

field: .venv/installed-dev
	$(BIN)/python -m pytest -n 4 tests/field
	$(BIN)/python -m pytest -n 4 tests -m field

soak: .venv/installed-dev
	$(BIN)/python -m pytest -m soak

tokens: .venv/installed-dev
	$(BIN)/python -m tests.benchmarks.tokens

reference: .venv/installed-dev
	$(BIN)/python -m tests.reference

picture: .venv/installed-dev
	$(BIN)/python -m tests.benchmarks.picture
