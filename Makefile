# Adaptory: `make help` lists what there is.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
# cpu or gpu: which pinned list to install.
DEVICE ?= cpu
INSTALLED := .venv/installed
LISTS := requirements/$(DEVICE).txt requirements/dev.txt requirements/demo.txt
# The CPU's list is complete and must stay alone (see its head); on a GPU torch brings its CUDA packages itself.
NO_DEPS_cpu := --no-deps
# llama.cpp without its picture models, which nothing here uses: they take long to build.
LLAMA_CPP := CMAKE_ARGS=-DLLAVA_BUILD=OFF
STARTED := $(shell date +%s)

.DEFAULT_GOAL := help
.PHONY: help install demo check format test unit integration bench bench-peers clean

help:  ## List the targets.
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

install: $(INSTALLED)  ## Make .venv and install everything, pinned.

$(INSTALLED): $(LISTS) pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet pip==26.3 setuptools==78.1.1 wheel==0.48.0
	$(LLAMA_CPP) $(BIN)/python -m pip install --progress-bar off $(NO_DEPS_$(DEVICE)) -r requirements/$(DEVICE).txt
	$(BIN)/python -m pip install --progress-bar off --no-deps -r requirements/dev.txt -r requirements/demo.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@echo $$(( $$(date +%s) - $(STARTED) )) > $@
	@echo "Installed in $$(cat $@) s."

demo: $(INSTALLED)  ## The whole path on real parts: train, push, serve, evaluate, promote, export.
	$(BIN)/python examples/address/demo.py --started $(STARTED) --install-seconds $$(cat $(INSTALLED))

check: $(INSTALLED)  ## ruff, mypy --strict and import-linter.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(INSTALLED)  ## Let ruff mend what it can.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: unit integration  ## Every test: unit, then integration on the real engines.

unit: $(INSTALLED)  ## Fast tests without engines.
	$(BIN)/python -m pytest tests/unit -n 3

integration: $(INSTALLED)  ## Tests on real servers (PostgreSQL, S3, OCI), then on real vLLM, llama.cpp and a real model.
	$(BIN)/python -m pytest tests/integration/registry -n 2 --dist loadfile --durations=5
	$(BIN)/python -m pytest tests/integration --ignore=tests/integration/registry --durations=25

bench: $(INSTALLED)  ## Measure what docs/performance.md says.
	$(BIN)/python bench/startup.py
	$(BIN)/python bench/registry.py --json build/bench-registry.json
	$(BIN)/python bench/serve.py --json build/bench.json

bench-peers:  ## Install LiteLLM's proxy and MLflow, each in an environment of its own, for make bench to measure beside ours.
	$(PYTHON) -m venv bench/.venv-litellm
	bench/.venv-litellm/bin/python -m pip install --progress-bar off --no-deps -r requirements/peers.txt
	$(PYTHON) -m venv bench/.venv-mlflow
	bench/.venv-mlflow/bin/python -m pip install --progress-bar off --no-deps -r requirements/peers-registry.txt

clean:  ## Remove what was installed and built.
	rm -rf .venv bench/.venv-litellm bench/.venv-mlflow build runs dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
