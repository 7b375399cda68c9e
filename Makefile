# Every target makes the virtual environment it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PEERS := $(VENV)/.peers
BENCH_PEERS := $(VENV)/.bench-peers
DEMO := demo-data
SCALE ?= 10
SIZE ?= short
PORT ?= 3001

.PHONY: setup run test check bench campaign demo-data clean

setup: $(READY)

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Crow needs Python 3.11 or newer; try: make setup PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	@touch $(READY)

run: $(READY)
	@$(BIN)/crow serve --port $(PORT)

$(PEERS): tests/peers.sh tests/interop/package-lock.json tests/nest/package-lock.json $(READY)
	@tests/peers.sh
	@touch $(PEERS)

test: $(READY) $(PEERS)
	$(BIN)/python -m pytest -n 2 --dist loadfile

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_floors.py tests/test_docs.py tests/docs

campaign: $(READY) $(PEERS)
	$(BIN)/python -m tests.campaign $(SCALE)

$(BENCH_PEERS): bench/peers.sh bench/peers/package-lock.json $(READY)
	@bench/peers.sh
	@touch $(BENCH_PEERS)

bench: $(READY) $(PEERS) $(BENCH_PEERS)
	$(BIN)/python -m bench --size $(SIZE) $(NAMES)

demo-data: $(READY)
	$(BIN)/python -m bench.demo_data $(DEMO)
	@[ -e $(DEMO)/home/identity.json ] || $(BIN)/crow init --home $(DEMO)/home --name demo > /dev/null
	$(BIN)/crow import $(DEMO)/memories.jsonl --home $(DEMO)/home
	@echo "Try: $(BIN)/crow search --home $(DEMO)/home text editor"

clean:
	rm -rf $(VENV) $(DEMO) tests/interop/node_modules tests/nest/node_modules bench/peers/node_modules tests/nest/shots .pytest_cache .mypy_cache .ruff_cache .hypothesis
