PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --prefer-binary -c constraints.txt
CORE := $(wildcard $(addprefix tests/,simulator selectors rules traces results test_architecture.py test_reference.py))
SECONDS ?= 600
COSTS := smollm2-135m-zoo-h100 llama-3.1-8b-h100
# make traces TARGET=MODEL: a Hugging Face id, a folder or a .gguf file; its name is the folders'.
NAME = $(patsubst %.gguf,%,$(notdir $(TARGET:%/=%)))
OF_TARGET = $(if $(TARGET),--target $(TARGET) --zoo zoo-$(NAME) --out recordings-$(NAME) \
  --mixed --long --answer-tokens 2048 --long-answers 0.3 --compile)
INPUTS := pyproject.toml constraints.txt hedgespec/version.py

.DEFAULT_GOAL := help
.PHONY: help sim report zoo traces fidelity live-speed costs test test-all check core-tests format lint fuzz bench scale \
  readme docs docs-tables findings clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

sim: $(VENV)/core ## replay the bundled traces; tables and figure go to results/sim
	$(BIN)/hedgespec sim --grid default --figure

report: $(VENV)/core ## figures, tables and findings from results/sim; they go to results/report
	$(BIN)/hedgespec report results/sim --formats

zoo: $(VENV)/models ## train domain-expert draft heads for SmolLM2 into zoo/ (wants a GPU)
	$(BIN)/hedgespec zoo $(ARGS)

traces: $(VENV)/models ## train or load a zoo (TARGET=MODEL: of another target) and record with it (wants a GPU)
	$(BIN)/hedgespec traces $(OF_TARGET) $(ARGS)

test: $(VENV)/dev ## run the tests (CPU, tiny models)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m "not gpu and not smollm2"

test-all: $(VENV)/dev ## all cases of all tests; some need a GPU (skipped without) or the 135M model
	$(BIN)/python -m pytest --every-case

check: $(VENV)/dev ## in under a minute: lint, and beside it the core tests that are not slow
	@$(MAKE) --no-print-directory -j 2 lint core-tests

core-tests:
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal \
	  -m "not slow and not gpu and not smollm2" $(CORE)

fuzz: $(VENV)/dev ## random faults in files, learners and running processes; make fuzz SECONDS=60
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz.run --seconds $(SECONDS) $(ARGS)

format: $(VENV)/dev ## lay the Python files out as lint wants them
	$(BIN)/ruff format .

lint: $(VENV)/dev ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy

fidelity: $(VENV)/models ## decode live with three selectors and replay the logs: every decision must agree
	$(BIN)/python -m benchmarks.fidelity $(ARGS)

live-speed: $(VENV)/models ## tokens per second of live decoding against its replay (wants a GPU)
	$(BIN)/hedgespec zoo --small
	$(BIN)/python -m benchmarks.live --compile $(ARGS)

costs: $(VENV)/models ## measure costs of target shapes on a GPU, batches 1 to 64; they go to results/costs
	PYTHON=$(BIN)/python sh benchmarks/costs.sh $(ARGS)

bench: $(VENV)/dev ## speed of the simulator as ratios; also writes build/bench.json
	$(BIN)/python benchmarks/simulator.py

scale: $(VENV)/core ## memory and time of a made-up trace of 50 million tokens (docs/scale.md); make scale QUERIES=2000
	PYTHON=$(BIN)/python sh benchmarks/large.sh $(QUERIES) $(MEMORY)

readme: $(VENV)/core ## regenerate README's figure and table, and docs/zoo.md's, from the bundled traces
	$(BIN)/python -m benchmarks.readme

docs: $(VENV)/dev ## the documentation site, with no dead link: build/site/index.html
	$(BIN)/python -m mkdocs build --strict --quiet

docs-tables: $(VENV)/core ## regenerate the tables of docs/results.md from the schema
	$(BIN)/python -m benchmarks.results_page

findings: $(VENV)/core ## replay the default grid and two more, and regenerate docs/findings.md
	$(BIN)/hedgespec sim --grid default --figure
	$(BIN)/hedgespec sim --grid benchmarks/findings.toml --out results/findings
	for costs in $(COSTS); do $(BIN)/hedgespec sim --grid benchmarks/losses.toml \
	  --costs $$costs --out results/losses-$$costs || exit 1; done
	$(BIN)/python -m benchmarks.findings

clean: ## remove the virtual environment and everything made
	rm -rf $(VENV) build results .pytest_cache .mypy_cache .ruff_cache .hypothesis hedgespec.egg-info

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "hedgespec needs Python 3.11 or newer: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/core: $(BIN)/python $(INPUTS)
	@echo "installing hedgespec into $(VENV) ..."
	@$(PIP) -e . && touch $@

$(VENV)/models: $(VENV)/core
	@echo "installing torch and transformers into $(VENV) ..."
	@$(PIP) -e '.[models]' && touch $@

$(VENV)/dev: $(VENV)/models
	@echo "installing the development tools into $(VENV) ..."
	@$(PIP) -e '.[dev]' && touch $@
