# make repro [DATA=path/to/images] [PRESET=name] [SET="key=value ..."] [JOBS=2]     set up, check, run the whole graph
# make test         set up, run the tests
# make ui           open MLflow on loopback                     make tune MODEL=gan [TRIALS=50]
# make submit ADDRESS=http://head:8265 [STAGE=train@gan]        make faults  tests on several nodes, and 60 killed runs
# make docs-check   run the commands of the pages, including the slow ones
# make results      write the tables of README.md and docs/results.md from docs/results; RECORD=1: first those files from runs/
# make bench        write the tables of docs/benchmarks.md, 40 minutes; make bench-quick: minutes, keeps nothing
# make science      run the experiments one after another, hours; run it again to resume
# make peers        install the packages that benchmarks compare with into .venv-peers
SHELL := /bin/bash
PYTHON ?= python3
# .venv is brought up to date where a lock, pyproject.toml or the place of the folder has changed.
LOCKED = $(shell { pwd; cat requirements.lock requirements-uv.lock pyproject.toml $(1); } | cksum | cut -d' ' -f1)
STAMP := .venv/.installed-$(call LOCKED)
DEV_STAMP := .venv/.installed-dev-$(call LOCKED,requirements-dev.lock)
INSTALL := uv pip install --quiet --python .venv/bin/python
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export VIRTUAL_ENV := $(CURDIR)/.venv
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true
export RAY_USAGE_STATS_ENABLED := 0
export DO_NOT_TRACK := 1
PORT ?= 5000
JOBS ?= 2
DATA ?=
PRESET ?=
SET ?=
TRIALS ?=
STAGE ?=
RECORD ?=

.PHONY: setup setup-dev repro test ui tune submit results bench bench-quick science peers faults docs-check lint lock clean

setup: $(STAMP)

setup-dev: $(DEV_STAMP)

$(STAMP):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "PYTHON: got $$($(PYTHON) --version 2>&1), expected 3.11 or later (make setup PYTHON=python3.12)" >&2; exit 2; }
	@if [ "$$(cat .venv/.folder 2>/dev/null || pwd)" != "$$(pwd)" ]; then \
		echo "setup: this folder has moved, so .venv is made again"; rm -rf .venv; fi
	@test -x .venv/bin/python || $(PYTHON) -m venv .venv
	@pwd > .venv/.folder
	@.venv/bin/python -m pip install --quiet --require-hashes -r requirements-uv.lock
	@echo "setup: installing the locked versions into .venv"
	@$(INSTALL) --require-hashes --compile-bytecode -r requirements.lock
	@$(INSTALL) --no-deps --no-build-isolation -e .
	@rm -f .venv/.installed-*
	@touch $@

$(DEV_STAMP): $(STAMP)
	@$(INSTALL) --require-hashes --compile-bytecode -r requirements-dev.lock
	@touch $@

repro: export GENLIB_DATA = $(value DATA)
repro: setup
	@python -m pipelines.check --data "$$GENLIB_DATA" --preset "$(PRESET)" --set $(SET)
	@python -m pipelines.repro "$(JOBS)"

test: setup-dev
	@python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

ui: setup
	@python -m pipelines.ui --port $(PORT)

tune: setup
	@test -n "$(MODEL)" || { echo "make tune: MODEL is missing, expected make tune MODEL=gan [TRIALS=50]" >&2; exit 2; }
	@python -m pipelines.check --tune "$(MODEL)" --set $(if $(TRIALS),tune.trials=$(TRIALS)) $(SET)
	@python -m dvc exp run --quiet $(if $(TRIALS),-S tune.trials=$(TRIALS)) "compare@$(MODEL)"

submit: setup
	@test -n "$(ADDRESS)" || { echo "make submit: ADDRESS is missing, expected make submit ADDRESS=http://head:8265" >&2; exit 2; }
	@python -m pipelines.check --preset "$(PRESET)" --set $(SET)
	@python -m pipelines.submit "$(ADDRESS)" --stage "$(STAGE)"

results: setup
	@python -m pipelines.results $(if $(RECORD),--record)

bench: setup-dev peers
	@python -m benchmarks

bench-quick: setup-dev peers
	@python -m benchmarks --quick

science: setup
	@python -m experiments

peers: setup
	@test -x .venv-peers/bin/python || $(PYTHON) -m venv .venv-peers
	@while read -r peer; do uv pip install --quiet --python .venv-peers/bin/python "$$peer" \
	|| echo "peers: $$peer cannot be installed; what needs it is recorded as absent"; done < benchmarks/peers.txt

faults: setup-dev
	@python -m pytest -m long tests/faults
	@PYTHONPATH=tests python tests/faults/kills.py

docs-check: setup-dev
	@python -m pytest -m "long or not long" tests/test_docs.py tests/test_guide.py

lint: setup-dev
	@ruff check . && ruff format --check . && mypy

lock:
	@for name in requirements-uv requirements requirements-dev; do uv pip compile $$name.in --universal \
		--generate-hashes --no-emit-index-url --no-annotate --no-header -q -o $$name.lock || exit; done

clean:
	rm -rf runs reports data/prepared .genlib
