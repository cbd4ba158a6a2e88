# make repro [JOBS=2]  set up, check, run the whole graph       make test    set up, run the tests
# make ui           open MLflow on loopback                     make tune MODEL=gan [TRIALS=50]
# make submit ADDRESS=http://head:8265 [STAGE=train@gan]        make faults  tests on several nodes, and 60 killed runs
# make docs-check   run the commands of the pages, including the slow ones
# make bench        write the tables of docs/benchmarks.md, 40 minutes; make bench-quick: minutes, keeps nothing
# make science      run the experiments one after another, hours; run it again to resume
# make peers        install the packages that benchmarks compare with into .venv-peers
SHELL := /bin/bash
PYTHON ?= python3
BIN := $(CURDIR)/.venv/bin
STAMP := .venv/.locked-$(shell cksum requirements.lock pyproject.toml | cksum | cut -d' ' -f1)
export PATH := $(BIN):$(PATH)
export VIRTUAL_ENV := $(CURDIR)/.venv
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true
export RAY_USAGE_STATS_ENABLED := 0
export DO_NOT_TRACK := 1
PORT ?= 5000
JOBS ?= 2
PRESET ?=
SET ?=
TRIALS ?=
STAGE ?=

.PHONY: setup repro test ui tune submit bench bench-quick science peers faults docs-check lint lock clean

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet uv
	@echo "setup: installing the locked versions into .venv"
	@uv pip install --quiet --compile-bytecode --python $(BIN)/python -r requirements.lock
	@uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@rm -f .venv/.locked-*
	@touch $(STAMP)

repro: setup
	@python -m pipelines.check --preset "$(PRESET)" --set $(SET)
	@python -m pipelines.repro "$(JOBS)"

test: setup
	@python -m pytest -n 2 --dist loadgroup --no-loadscope-reorder

ui: setup
	@python -m pipelines.ui --port $(PORT)

tune: setup
	@test -n "$(MODEL)" || { echo "make tune: MODEL is missing, expected make tune MODEL=gan [TRIALS=50]" >&2; exit 2; }
	@python -m pipelines.check --tune "$(MODEL)" --set $(if $(TRIALS),tune.trials=$(TRIALS)) $(SET)
	@dvc exp run --quiet $(if $(TRIALS),-S tune.trials=$(TRIALS)) "compare@$(MODEL)"

submit: setup
	@test -n "$(ADDRESS)" || { echo "make submit: ADDRESS is missing, expected make submit ADDRESS=http://head:8265" >&2; exit 2; }
	@python -m pipelines.check --preset "$(PRESET)" --set $(SET)
	@python -m pipelines.submit "$(ADDRESS)" --stage "$(STAGE)"

bench: peers
	@python -m benchmarks

bench-quick: peers
	@python -m benchmarks --quick

science: setup
	@python -m experiments

peers: setup
	@test -x .venv-peers/bin/python || $(PYTHON) -m venv .venv-peers
	@while read -r peer; do uv pip install --quiet --python .venv-peers/bin/python "$$peer" \
	|| echo "peers: $$peer cannot be installed; what needs it is recorded as absent"; done < benchmarks/peers.txt

faults: setup
	@python -m pytest -m long tests/faults
	@PYTHONPATH=tests python tests/faults/kills.py

docs-check: setup
	@python -m pytest -m "long or not long" tests/test_docs.py tests/test_guide.py

lint: setup
	@ruff check . && ruff format --check . && mypy

lock:
	@uv pip compile requirements.in --universal --no-emit-index-url --no-annotate --no-header -q -o requirements.lock

clean:
	rm -rf runs reports data/prepared .genlib
