# Each target makes its own virtual environment when there is none.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RUN_STAMP := $(VENV)/.run-installed
DEV_STAMP := $(VENV)/.dev-installed
CORE := $(wildcard edge/core/*.cpp edge/core/*.hpp) setup.py pyproject.toml

.PHONY: systemd-check faults run test check bench lint native schemas clean

run: $(RUN_STAMP)
	$(BIN)/edge demo $(ARGS)

test: $(DEV_STAMP)
	$(BIN)/python -m pytest -q $(ARGS)

check: lint native test

lint: $(DEV_STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror edge/core/*.cpp edge/core/*.hpp tests/native/*.cpp tests/native/*.hpp tests/peers/*.c

# The core without Python, under the address, undefined-behaviour and thread sanitizers.
native:
	$(MAKE) -C tests/native run-asan run-tsan

bench: $(DEV_STAMP)
	$(BIN)/python -m benchmarks.all $(ARGS)

$(VENV)/bin/python:
	@command -v $(PYTHON) >/dev/null || { echo "edge: no $(PYTHON) here: install python3 (Debian: apt-get install python3 python3-venv python3-dev)"; exit 1; }
	@command -v $${CXX:-g++} >/dev/null || { echo "edge: no C++ compiler here: install it (Debian: apt-get install g++)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "edge: this Python has no venv: install it (Debian: apt-get install python3-venv)"; exit 1; }
	@$(PYTHON) -c 'import os, sysconfig, sys; sys.exit(not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")))' || { echo "edge: Python.h is missing: install the Python headers (Debian: apt-get install python3-dev)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(RUN_STAMP): $(VENV)/bin/python $(CORE)
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(DEV_STAMP): $(VENV)/bin/python $(CORE)
	$(BIN)/python -m pip install --quiet --editable '.[dev,train]'
	@touch $@ $(RUN_STAMP)

clean:
	rm -rf build $(VENV) *.egg-info edge/_core*.so

schemas: $(DEV_STAMP)
	$(BIN)/python -m tools.schemas

# The fault matrix: make faults REPORT=r.json
faults: $(DEV_STAMP)
	EDGE_FAULTS_REPORT=$(REPORT) $(BIN)/python -m pytest -q tests/faults $(ARGS)

# Scores of the units, then the real ones started, killed and counted: make systemd-check ARGS="--json r.json"
systemd-check: $(DEV_STAMP)
	$(BIN)/python -m tools.systemd_check $(ARGS)
