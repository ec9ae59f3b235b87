# Every target makes the virtual environment it needs; it is made anew only when the lock changes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 3000
# What builds the container image, what it is built on, and what it is called.
BUILDER ?= $(firstword $(foreach name,docker podman buildah,$(if $(shell command -v $(name)),$(name))))
BASE ?= docker.io/library/python:3.11-slim-bookworm
VERSION := $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' blsync/__init__.py)
IMAGE ?= blsync:$(VERSION)
# Twice what two cores have: many tests wait for a server, a lock or the first compilation of the models.
WORKERS ?= 4
# The tests start hundreds of programs: each would compile the house anew where nothing is kept.
export PYTHONDONTWRITEBYTECODE :=
PYTEST := $(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help install demo test test-deep test-scale test-models ui ui-demo check format reference bench lock wheel image image-files clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(VENV)/installed: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "blsync needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1)."; \
	  echo "Install a newer Python, or name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	@echo "Preparing $(VENV) (about two minutes, once)"
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

install: $(VENV)/installed ## build .venv; the command is .venv/bin/blsync

demo: install ## the whole job against a local BigLedger, about two minutes
	$(BIN)/blsync demo

test: install ## the tests of every change, against the sandbox over real sockets
	$(PYTEST) -m "not deep and not scale"

test-deep: install ## what takes longer: every fault at every step, browsers, many drawn books and nights
	$(PYTEST) -m "(deep or drawn) and not scale" --hypothesis-profile deep

$(VENV)/scale: $(VENV)/installed requirements-scale.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-scale.lock
	@touch $@

test-scale: $(VENV)/scale ## many machines: Spark, a Celery worker, manifests, the image; needs Java, Redis, buildah
	$(BIN)/pytest -n 2 --dist loadfile -m scale

test-models: install ## the models by dbt itself: laws, contracts, unit tests, freshness, on small books
	$(PYTEST) -m deep blsync_tests/test_news_of_a_build.py -k dbt_by_itself

ui: install ## Dagster's UI on loopback (PORT=3000); prints the address
	$(BIN)/python -m blsync.cli ui --port $(PORT)

ui-demo: install ## Dagster's UI on the demo's data, with its sandbox running
	$(BIN)/python -m blsync.cli ui --demo --port $(PORT)

check: install ## ruff, mypy, import contracts, formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

reference: install ## write the tables of docs/reference anew from the code
	$(BIN)/python docs/reference/tables.py

bench: install ## the benchmarks in bench/
	@for file in bench/*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

lock: install ## write requirements.lock anew from pyproject.toml
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 \
	  --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
	  --quiet --output-file requirements.lock
	$(BIN)/uv pip compile pyproject.toml --extra dev --extra scale --universal --python-version 3.11 \
	  --constraint requirements.lock --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
	  --quiet --output-file requirements-scale.lock
	$(BIN)/uv pip compile pyproject.toml --extra celery --extra k8s --extra openlineage --extra s3 --python-platform linux \
	  --python-version 3.11 --constraint requirements-scale.lock --generate-hashes --no-header --no-annotate \
	  --no-emit-index-url --no-emit-find-links --quiet --output-file requirements-image.lock

wheel: install ## build the package into dist/, for machines without a checkout
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist .
	rm -rf build

image-files: install
	rm -rf dist/image && mkdir -p dist/image
	cp requirements-image.lock dist/image
	$(BIN)/python -m pip download --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all: \
	  --python-version 3.11 --dest dist/image -r requirements-image.lock
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist/image .
	rm -rf build

image: image-files ## build the container image by docker, podman or buildah (BUILDER=, BASE=, IMAGE=)
	$(BUILDER) build $(BUILD_OPTIONS) --build-arg BASE=$(BASE) --label org.opencontainers.image.version=$(VERSION) \
	  --file deploy/image/Containerfile --tag $(IMAGE) dist/image

clean: ## remove the environment and what the tools cached; data stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis warehouse/target warehouse/logs
