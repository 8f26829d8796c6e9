# The verbs of this project. `make` alone lists them.
CONFIG ?= pipeline/configs/tatoeba.yaml
PYTEST_FLAGS ?=
WORKERS ?= 2
LOCK_FLAGS ?=
UV ?= $(if $(wildcard .venv/bin/uv),.venv/bin/uv,uv)
BIN := .venv/bin
CODE := pipeline components schemas benchmarks examples

.DEFAULT_GOAL := help
.PHONY: help setup run test test-slow test-java lint format lock bench clean

help: ## list the verbs
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: ## make .venv with the exact lock (PYTHON=... names the interpreter)
	@PYTHON='$(PYTHON)' sh requirements/install.sh

run: setup ## fetch the corpus and run the whole pipeline (CONFIG=... names another configuration)
	@case '$(notdir $(CONFIG))' in \
	  tatoeba-uk*) test -e data/ukr.tsv || $(BIN)/bitext fetch tatoeba-uk ;; \
	  tatoeba*) test -e data/spa.tsv || $(BIN)/bitext fetch tatoeba-es ;; \
	esac
	@$(BIN)/bitext run $(CONFIG)

test: setup ## the tests that need minutes, and no network (WORKERS=... processes, two unless told)
	$(BIN)/python -m pytest -m 'not slow and not network' -n $(WORKERS) --dist loadgroup $(PYTEST_FLAGS)

test-slow: setup ## the tests that need longer
	$(BIN)/python -m pytest -m 'slow and not network' --timeout=3600 $(PYTEST_FLAGS)

test-java: setup ## the export in TensorFlow Java (needs Maven Central, mvn and a JDK)
	$(BIN)/python -m pytest tests/clients/test_java.py -s $(PYTEST_FLAGS)

lint: setup ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(CODE)

format: setup ## let ruff lay the code out
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# setup.py holds the ranges; this writes the exact versions. LOCK_FLAGS=--upgrade takes newer ones.
LOCK = $(UV) pip compile setup.py --extra dev --generate-hashes --annotation-style line \
  --custom-compile-command 'make lock' --no-emit-index-url --quiet $(LOCK_FLAGS)
lock: ## write requirements/py3*.txt from setup.py (needs uv)
	$(LOCK) --python-version 3.11 --python-platform x86_64-manylinux_2_17 -o requirements/py311.txt
	$(LOCK) --python-version 3.12 --python-platform x86_64-manylinux_2_39 -o requirements/py312.txt
	$(LOCK) --python-version 3.13 --python-platform x86_64-manylinux_2_39 -o requirements/py313.txt

bench: setup ## measure what the README claims
	$(BIN)/python -m benchmarks

clean: ## remove the environment and caches (data/, runs/ and serving/ stay)
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
