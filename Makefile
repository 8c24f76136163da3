# make demo: everything from nothing but the repository; make test: all tests.
# make test-runtime: the tests of what runs on a board, without TensorFlow, in under a minute.
# Each sets up its own environment and may be run again.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-runtime lint typing clean

PIP_INSTALL = -m pip --quiet --quiet --disable-pip-version-check install
CHECK_PYTHON = $(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] <= (3, 13) else f"Python {sys.version.split()[0]} found; kwspot needs 3.11 to 3.13: make PYTHON=python3.12 ...")'

.venv/.ready: pyproject.toml constraints.txt
	@$(CHECK_PYTHON)
	@echo 'setting up .venv with TensorFlow and all tools: one to three minutes' >&2
	@$(PYTHON) -m venv .venv
	@$(BIN)/python $(PIP_INSTALL) --upgrade pip setuptools wheel
	@$(BIN)/python $(PIP_INSTALL) --constraint constraints.txt --editable '.[dev]'
	@touch $@

# What a board installs, and what runs its tests.
.venv-runtime/.ready: pyproject.toml constraints.txt
	@$(CHECK_PYTHON)
	@echo 'setting up .venv-runtime, without TensorFlow: about half a minute' >&2
	@$(PYTHON) -m venv .venv-runtime
	@.venv-runtime/bin/python $(PIP_INSTALL) --upgrade pip setuptools wheel
	@.venv-runtime/bin/python $(PIP_INSTALL) --constraint constraints.txt --editable '.[litert,onnx,mic,files,mqtt,wyoming]' hypothesis pytest pytest-xdist
	@touch $@

# tflite-runtime has wheels for Python 3.11 at most and needs numpy 1, so its tests have an
# environment of their own. Where there is no Python 3.11 they are skipped, and say so.
.venv-tflite/.ready: pyproject.toml
	@if python3.11 -c '' 2>/dev/null; then \
	  set -e; echo 'setting up .venv-tflite: a few seconds' >&2; python3.11 -m venv .venv-tflite; \
	  .venv-tflite/bin/python $(PIP_INSTALL) --upgrade pip setuptools wheel; \
	  .venv-tflite/bin/python $(PIP_INSTALL) --editable '.[tflite]'; \
	  touch $@; \
	else echo 'no python3.11: the tests of tflite-runtime are skipped' >&2; fi

demo: .venv/.ready
	@$(BIN)/python examples/demo.py build/demo

typing: .venv/.ready
	@mkdir -p build/typing/kwspot
	@for room in runtime train export benchmarks; do ln -sfn ../../../$$room build/typing/kwspot/$$room; done
	$(BIN)/mypy -p kwspot.runtime -p kwspot.train -p kwspot.export -p kwspot.benchmarks

lint: typing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# A file of tests stays in one process: what a file sets up is set up once.
test: .venv/.ready .venv-tflite/.ready lint
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --durations 25

test-runtime: .venv-runtime/.ready
	.venv-runtime/bin/python -m pytest tests/runtime -m "not slow" --numprocesses auto --maxprocesses 4 --dist loadfile

clean:
	rm -rf .venv .venv-runtime .venv-tflite build .pytest_cache .mypy_cache .ruff_cache
