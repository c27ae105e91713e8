# Everything one types here. `make help` prints each target with its line.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PROFILE ?= release
# Of the workspace, and so of the images.
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
# Wheels of onnxruntime from 1.30 on write a telemetry database into the home folder unless told not to before they load.
export ORT_DISABLE_TELEMETRY := 1
export VIRTUAL_ENV := $(CURDIR)/$(VENV)

.DEFAULT_GOAL := help
.PHONY: help setup develop demo demo-cluster test test-rust test-python test-kube check fmt crds charts docs images lock bench bench-kube bench-sidecar evaluate train train-teacher clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

# The environment is rebuilt when the lock changes, the extension when a Rust or packaging file does.
RUST_FILES := $(shell find rust -name '*.rs' -o -name '*.toml' -o -name 'vocab.txt' | sort) Cargo.toml Cargo.lock pyproject.toml

$(VENV)/.installed: requirements/lock.txt requirements/build.txt
	@command -v cargo >/dev/null || { echo "cargo is missing: install Rust 1.95 or later, https://rustup.rs" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed; set PYTHON=…" >&2; exit 1; }
	@echo "setup: Python packages into $(VENV)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/build.txt
	@$(BIN)/uv pip install --quiet -r requirements/lock.txt
	@touch $@

$(VENV)/.extension: $(VENV)/.installed $(RUST_FILES)
	@echo "setup: Rust extension ($(PROFILE) build; minutes when nothing is cached)"
	@$(BIN)/maturin develop --uv --profile $(PROFILE)
	@touch $@

setup: $(VENV)/.extension ## everything into .venv/: packages, the extension, the `tradewind` command

develop: $(VENV)/.installed ## rebuild the extension without LTO, for quick turns
	@$(BIN)/maturin develop --uv --profile quick
	@touch $(VENV)/.extension

demo: setup ## watch prompts being routed: simulated models, real decisions
	@$(BIN)/python -m tradewind.examples.demo

demo-cluster: setup ## watch Tradewind in a real Kubernetes: two nodes on this machine, then none (Debian 12, root, Go; minutes); WRITE=1 writes docs/cluster.md
	@$(BIN)/python tests/node/demo.py --profile $(PROFILE) $(if $(WRITE),--write)

test: setup test-rust test-python ## all fast tests, Rust and Python

test-rust:
	@cargo test --quiet --locked

test-python: setup
	@cargo build --quiet --locked -p tradewind-gateway
	@$(BIN)/python -m pytest -m "not slow and not kube"

test-kube: setup ## against a real API server; needs Go, builds it once (minutes, gigabytes of cache)
	@cargo build --quiet --locked -p tradewind-gateway
	@$(BIN)/python tests/kube/binaries.py
	@$(BIN)/python -m pytest tests/kube tests/charts -m kube

check: setup ## formatting, lints, types, stub, import contracts
	@cargo fmt --all --check
	@cargo clippy --quiet --locked --workspace --all-targets -- -D warnings
	@$(BIN)/ruff format --check python tests bench charts images
	@$(BIN)/ruff check python tests bench charts images
	@$(BIN)/shellcheck tests/node/*.sh
	@$(BIN)/mypy
	@$(BIN)/python -m mypy.stubtest tradewind._core --mypy-config-file pyproject.toml
	@$(BIN)/lint-imports

fmt: setup ## format everything
	@cargo fmt --all
	@$(BIN)/ruff format python tests bench charts images
	@$(BIN)/ruff check --fix --quiet python tests bench charts images

crds: setup ## write crds/ from the shapes and rules of python/tradewind/resources
	@$(BIN)/python -m tradewind.resources.crds crds

charts: setup ## write what is made in charts/: definitions, names of settings, tables of values
	@$(BIN)/python charts/generate.py

docs: setup ## write docs/conditions.md from the controller's table of reasons, docs/fields.md from the table of effects, the tables of docs/migration.md, docs/metrics.md
	@$(BIN)/python -c 'from tradewind.controller import conditions; print(conditions.page(), end="")' >docs/conditions.md
	@PYTHONPATH=tests $(BIN)/python tests/effects/page.py docs/fields.md
	@$(BIN)/python -m tradewind.migration.page docs/migration.md
	@$(BIN)/python -m tradewind.training.scores.page docs/metrics.md

# The tag of the images is the version of the chart; the bases may be given with digests: DOCKER_ARGUMENTS="--build-arg RUST_IMAGE=…@sha256:…".
DOCKER_ARGUMENTS ?=
images: ## both images: `docker build` where a Docker daemon answers, else archives and root file systems in dist/images (Debian 12, root)
	@if docker info >/dev/null 2>&1; then for name in gateway controller; do \
		docker build --file images/$$name.Dockerfile --tag ghcr.io/tradewind/tradewind-$$name:$(VERSION) \
		--build-arg VERSION=$(VERSION) --build-arg REVISION="$$(git rev-parse HEAD)" --build-arg PROFILE=$(PROFILE) $(DOCKER_ARGUMENTS) .; done; \
	else $(PYTHON) images/assemble.py --profile $(PROFILE); fi

lock: $(VENV)/.installed ## pin the newest versions that pyproject.toml allows
	@$(BIN)/uv pip compile --quiet --all-extras --python-version 3.11 --no-header --upgrade pyproject.toml -o requirements/lock.txt
	@$(BIN)/uv pip compile --quiet --extra controller --python-version 3.11 --no-header --generate-hashes --constraint requirements/lock.txt pyproject.toml -o requirements/controller.txt

bench: setup ## measure decisions and the gateway; figures for bench/README.md
	@$(BIN)/python bench/run.py

bench-kube: setup ## measure edits and a thousand pools against a real API server; needs Go, as `make test-kube` does
	@$(BIN)/python bench/kube.py

bench-sidecar: setup ## measure memory and start of a sidecar, the binary without Python; figures for bench/README.md
	@cargo build --quiet --locked --release -p tradewind-gateway
	@$(BIN)/python bench/sidecar.py

DATA ?= ../shared/data
# Sets that the shipped predictor was not trained on: what is measured is transfer.
SETS ?= routerbench,alpaca_eval

train: setup ## train the default predictor from the outcome tables in DATA, by the teacher in TEACHER where it is named; writes nothing where a gate fails
	@$(BIN)/tradewind train --data $(DATA) --out python/tradewind/predictors/default $(if $(TEACHER),--teacher $(TEACHER)) --json

train-teacher: setup ## fine-tune the teacher on the outcome tables in DATA, into .work/teacher (long: its two folds take half an hour); goes on where it was cut off
	@$(BIN)/tradewind train-teacher --data $(DATA) --out .work/teacher --json

evaluate: setup ## evaluate the shipped predictor on the outcome tables SETS in DATA; report in .work/evaluate
	@if test -d $(DATA); then mkdir -p .work/evaluate; $(BIN)/tradewind evaluate --data $(DATA) --sets $(SETS) --predictor python/tradewind/predictors/default --split question:0 --report .work/evaluate --json >.work/evaluate/figures.json; cat .work/evaluate/*.md; \
	else echo "no outcome tables at $(DATA): nothing to evaluate"; fi

clean: ## remove what was built
	@rm -rf $(VENV) target dist
