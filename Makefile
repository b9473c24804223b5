# Everything a person runs here. `make demo` and `make test` are the two that matter first.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CLUSTER_NAME ?= openworld

.PHONY: help demo demo-down test unit lint cluster-up cluster-down bench lock generate

help: ## What there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  \1\t\2/' | expand -t 18

$(BIN)/.installed: requirements-dev.lock pyproject.toml operator/openworld/__init__.py
	@echo "== environment: $(VENV)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip --upgrade >/dev/null
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(BIN)/.installed ## Set everything up and run the on-call example on a real cluster
	@$(BIN)/python -m tests.cluster up --name $(CLUSTER_NAME)
	@$(BIN)/python -m tests.support.demo --name $(CLUSTER_NAME)

demo-down: ## Remove the demo's cluster
	@$(PYTHON) -m tests.cluster down --name $(CLUSTER_NAME)

test: lint ## Everything: lint, unit tests, and the tests on a real cluster
	@$(BIN)/python -m pytest

unit: $(BIN)/.installed ## The fast tests: no cluster
	@$(BIN)/python -m pytest -q -n auto tests/unit tests/properties
	@$(BIN)/python -m pytest -q tests/conformance
	@$(BIN)/python -m pytest -q tests/adversarial

lint: $(BIN)/.installed ## Style, types, layers, dependencies
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/deptry .

cluster-up: ## Start the local cluster
	@$(PYTHON) -m tests.cluster up --name $(CLUSTER_NAME)

cluster-down: ## Stop it and leave nothing behind
	@$(PYTHON) -m tests.cluster down --name $(CLUSTER_NAME)

bench: $(BIN)/.installed ## Speed and memory, as ratios measured side by side
	@$(BIN)/python -m tests.bench

generate: $(BIN)/.installed ## CRD manifests and reference pages from the models
	@$(BIN)/python -m tests.support.generate

lock: ## Lock the dependencies with hashes
	uv pip compile -q pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -o operator/requirements.lock
	uv pip compile -q pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -o requirements-dev.lock
	uv pip compile -q workers/requirements.in --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -o workers/requirements.lock
