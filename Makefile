# `make` or `make help` lists the targets.
CONFIG ?= pipeline/configs/tatoeba.yaml
PYTEST_FLAGS ?=
WORKERS ?= 2
LOCK_FLAGS ?=
AIRFLOW ?= 2 3
UV ?= $(if $(wildcard .venv/bin/uv),.venv/bin/uv,uv)
BIN := .venv/bin

.DEFAULT_GOAL := help

.PHONY: help setup run test coverage test-slow test-browser test-java test-rust test-oldest test-airflow test-onnx \
  test-openvino test-tfjs lint format docs docs-screens wheel hooks lock bench peers clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: ## create .venv from the exact lock (PYTHON=... names the interpreter)
	@PYTHON='$(PYTHON)' sh requirements/install.sh

run: setup ## download the corpus and run the whole pipeline (CONFIG=... names another configuration)
	@case '$(notdir $(CONFIG))' in \
	  tatoeba-uk*) test -e data/ukr.tsv || $(BIN)/bitext fetch tatoeba-uk ;; \
	  tatoeba*) test -e data/spa.tsv || $(BIN)/bitext fetch tatoeba-es ;; \
	esac
	@$(BIN)/bitext run $(CONFIG)

test: setup ## run the test suite: 15 minutes, no network (WORKERS=... processes, default 2)
	$(BIN)/python -m pytest -m 'not slow and not network and not browser and not runtime' -n $(WORKERS) $(PYTEST_FLAGS)

coverage: ## run the test suite and fail below 90 % of lines and branches: 25 minutes
	@$(MAKE) test PYTEST_FLAGS='--cov --cov-report=term --cov-fail-under=90 $(PYTEST_FLAGS)'

test-slow: setup ## run the tests marked slow (about 15 minutes)
	$(BIN)/python -m pytest -m 'slow and not network and not browser and not runtime' --timeout=3600 $(PYTEST_FLAGS)

test-browser: setup ## test the pages in Chromium (BROWSER=... names another executable)
	@command -v "$${BROWSER:-chromium}" > /dev/null || \
	  { echo 'make test-browser: no Chromium; install it (apt-get install chromium) or name one: BROWSER=...' >&2; exit 2; }
	$(BIN)/python -m pytest -m 'browser and not runtime' tests/browser $(PYTEST_FLAGS)

test-java: setup ## test the exported model in TensorFlow Java (needs Maven Central, mvn and a JDK)
	$(BIN)/python -m pytest tests/clients/test_java.py -s $(PYTEST_FLAGS)

test-rust: setup ## test the exported model in Rust (needs crates.io, cargo and pkg-config)
	$(BIN)/python -m pytest tests/clients/test_rust.py -s $(PYTEST_FLAGS)

# Creates .venv-$(1) from requirements/$(1).txt with the interpreter $(2).
SECOND_VENV = environment=.venv-$(1); echo "make $@: requirements/$(1).txt into $$environment"; \
  [ -x $$environment/bin/python ] || $(UV) venv --quiet --python "$(2)" $$environment; \
  $(UV) pip sync --quiet --python $$environment/bin/python --require-hashes requirements/$(1).txt

test-oldest: setup ## test the exported model in TensorFlow 2.13, the oldest that runs it, and in hub.KerasLayer
	@$(call SECOND_VENV,oldest,3.11)
	$(BIN)/python -m pytest tests/clients/test_oldest_tensorflow.py --timeout=1800 $(PYTEST_FLAGS)

test-airflow: setup ## test the DAG in Airflow 2 and 3, each in its own .venv-airflow* (AIRFLOW=3 for one)
	@base="$$($(BIN)/python -c 'import sys; print(sys._base_executable)')"; \
	for version in $(AIRFLOW); do $(call SECOND_VENV,airflow$$version,$$base) || exit; done
	$(BIN)/python -m pytest tests/pipeline/test_airflow.py --timeout=1800 \
	  -k '$(foreach version,$(AIRFLOW),Airflow$(version) or) TestWithoutAirflow' $(PYTEST_FLAGS)

# Creates .venv-$(1) with the lock of .venv and that of a format of `bitext export`, and runs the format's tests.
TEST_RUNTIME = lock=requirements/py$$($(BIN)/python -c 'import sys; print("%d%d" % sys.version_info[:2])'); \
  echo "make $@: $$lock.txt and $$lock-$(1).txt into .venv-$(1)"; \
  [ -x .venv-$(1)/bin/python ] || \
    $(UV) venv --quiet --python "$$($(BIN)/python -c 'import sys; print(sys._base_executable)')" .venv-$(1); \
  $(UV) pip sync --quiet --python .venv-$(1)/bin/python --require-hashes $$lock.txt $$lock-$(1).txt && \
  .venv-$(1)/bin/python -m pytest -m runtime -k $(1) --timeout=3600 $(PYTEST_FLAGS)

test-onnx: setup ## test `bitext export --format onnx` in ONNX Runtime, in .venv-onnx
	@$(call TEST_RUNTIME,onnx)

test-openvino: setup ## test `bitext export --format openvino` in OpenVINO, in .venv-openvino
	@$(call TEST_RUNTIME,openvino)

test-tfjs: setup ## test `bitext export --format tfjs` in Node.js and Chromium, in .venv-tfjs (needs npm and its registry)
	@command -v npm > /dev/null || \
	  { echo 'make test-tfjs: no npm; install Node.js (apt-get install nodejs npm)' >&2; exit 2; }
	@mkdir -p .venv-tfjs && cp requirements/tfjs/package*.json .venv-tfjs
	npm ci --prefix .venv-tfjs --ignore-scripts --no-audit --no-fund
	NODE_PATH='$(CURDIR)/.venv-tfjs/node_modules' $(BIN)/python -m pytest -m runtime -k tfjs --timeout=3600 $(PYTEST_FLAGS)

lint: setup ## check style (ruff) and types (mypy)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --no-warn-unused-configs -p bitext -p benchmarks
	$(BIN)/mypy --no-warn-unused-configs examples

format: setup ## format the code with ruff
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

wheel: setup ## build the wheel, install it alone into .venv-wheel, and run a small pipeline with it
	@rm -rf dist .venv-wheel
	@$(BIN)/python -m build --no-isolation --outdir dist . > dist.log 2>&1 || { cat dist.log; exit 1; }
	@rm -f dist.log
	@$(UV) venv --quiet --python "$$($(BIN)/python -c 'import sys; print(sys._base_executable)')" .venv-wheel
	@$(UV) pip install --quiet --python .venv-wheel/bin/python dist/*.whl \
	  -c requirements/py$$($(BIN)/python -c 'import sys; print("%d%d" % sys.version_info[:2])').txt
	@empty=$$(mktemp -d) && cd $$empty && "$(CURDIR)/.venv-wheel/bin/python" -P "$(CURDIR)/tests/wheel/smoke.py"; \
	  code=$$?; rm -rf $$empty; exit $$code

hooks: setup ## install the git hooks of .pre-commit-config.yaml
	$(BIN)/pre-commit install

# setup.py has the version ranges; this writes the exact versions. LOCK_FLAGS=--upgrade takes newer versions.
# Airflow, the peers and the oldest TensorFlow have environments of their own, so their ranges are here. The runtimes of
# `bitext export` have environments with the versions of .venv and a few packages more.
LOCK = $(UV) pip compile --generate-hashes --annotation-style line \
  --custom-compile-command 'make lock' --no-emit-index-url --quiet $(LOCK_FLAGS)
LOCK_OURS = $(LOCK) setup.py --extra dev
LOCK_AIRFLOW = $(LOCK) - --universal --python-version 3.11
LOCK_PEER = $(LOCK) - --python-version 3.11 --python-platform x86_64-manylinux_2_28
ON_311 := --python-version 3.11 --python-platform x86_64-manylinux_2_17
ON_312 := --python-version 3.12 --python-platform x86_64-manylinux_2_39
ON_313 := --python-version 3.13 --python-platform x86_64-manylinux_2_39
FAMILIES := 311 312 313
RUNTIMES := onnx openvino
RUNTIME_RANGES = $(BIN)/python -c 'import runpy; print(*runpy.run_path("setup.py")["RUNTIMES"]["$(1)"], sep="\n")'
# Of the runtime $(1) for the interpreter $(2).
LOCK_RUNTIME = $(RUNTIME_RANGES) | $(LOCK) - -c requirements/py$(2).txt $(ON_$(2)) -o requirements/py$(2)-$(1).txt
lock: ## write the locks in requirements/ from setup.py and tfjs/package.json (needs uv and npm)
	$(foreach family,$(FAMILIES),$(LOCK_OURS) $(ON_$(family)) -o requirements/py$(family).txt &&) true
	$(foreach family,$(FAMILIES),$(foreach runtime,$(RUNTIMES),$(call LOCK_RUNTIME,$(runtime),$(family)) &&)) true
	echo 'apache-airflow>=2.10,<3' | $(LOCK_AIRFLOW) -o requirements/airflow2.txt
	echo 'apache-airflow>=3,<4' | $(LOCK_AIRFLOW) -o requirements/airflow3.txt
	printf '%s\n' OpenNMT-tf==2.32.0 tensorflow==2.13.1 'setuptools<80' | $(LOCK_PEER) -o requirements/opennmt.txt
	printf '%s\n' tensorflow==2.13.1 tensorflow-hub==0.16.1 'setuptools<80' | $(LOCK_PEER) -o requirements/oldest.txt
	printf '%s\n' joeynmt==2.3.0 torch==2.2.2 'numpy<2' 'pandas<3' importlib-metadata 'setuptools<80' | \
	  $(LOCK_PEER) -o requirements/joeynmt.txt
	npm install --prefix requirements/tfjs --package-lock-only --ignore-scripts --no-audit --no-fund

bench: setup ## measure the figures of the README, after `make run` (MULTI30K=... names a folder of that corpus)
	$(BIN)/python -m benchmarks $(if $(MULTI30K),--multi30k $(MULTI30K))

# Needs CPython 3.11 and installs 7 GB of packages.
peers: setup ## measure OpenNMT-tf and JoeyNMT beside bitext, each in its own .venv-* (MULTI30K=...)
	@test -n '$(MULTI30K)' || { echo 'make peers: name a folder of Multi30k: make peers MULTI30K=...' >&2; exit 2; }
	@for peer in opennmt joeynmt; do $(call SECOND_VENV,$$peer,3.11) || exit; done
	$(BIN)/python -m benchmarks --multi30k $(MULTI30K) peers

docs: setup ## build the documentation into build/site; broken links and code blocks that no test runs fail
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	$(BIN)/python -m pytest tests/docs -m 'not slow and not runtime' -q $(PYTEST_FLAGS)

docs-screens: setup ## run the commands of the documentation and write what they print into it
	$(BIN)/python -m docs.tools.screens

clean: ## remove environments and caches; keep data/, runs/ and serving/
	rm -rf .venv .venv-* build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
