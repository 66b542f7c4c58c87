# make demo | test | check | bench | field | soak | tokens | reference | picture. Each makes .venv and installs when needed, and does nothing twice.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check bench field soak tokens reference picture

.venv/installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

demo: .venv/installed
	@rm -rf out/demo.parquet out/demo.run
	$(BIN)/batchchat run jobs/first.yaml --output out/demo.parquet
	@$(BIN)/python -c "import pandas; rows = pandas.read_parquet('out/demo.parquet'); \
	print('\nout/demo.parquet, its first rows:'); \
	print(rows[['id', 'category', 'response', 'completion_tokens', 'cost_usd', 'latency_s']].head().to_string(max_colwidth=44))"

test: .venv/installed
	$(BIN)/python -m pytest -n 4

check: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/installed
	$(BIN)/python tests/benchmarks/bench.py

field: .venv/installed
	$(BIN)/python -m pytest -n 4 tests/field
	$(BIN)/python -m pytest -n 4 tests -m field

soak: .venv/installed
	$(BIN)/python -m pytest -m soak

tokens: .venv/installed
	$(BIN)/python -m tests.benchmarks.tokens

reference: .venv/installed
	$(BIN)/python -m tests.reference

picture: .venv/installed
	$(BIN)/python -m tests.benchmarks.picture
