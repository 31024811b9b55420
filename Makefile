# What one does with this project; `make` alone lists it. Written for GNU make 3.81 and newer.
# PYTHON=/path/to/python3.12 chooses the Python (3.11 to 3.13); .venv is made anew where it is of another one.
# VENV=.venv-3.12 names another folder for it, so that several can stay side by side.

VENV := .venv
BIN := $(VENV)/bin
# Plugins that no test of ours uses; to import them costs every process of a run several seconds.
PYTEST := $(BIN)/python -m pytest -p no:nbval -p no:schemathesis

.PHONY: help lab test quick unit check lint browser bubblewrap podman notebooks images bench soak lock clean lab-env dev-env
.DEFAULT_GOAL := help

# Where it is set, each process would compile pandas and its like anew: 7 s for the imports of a notebook.
unexport PYTHONDONTWRITEBYTECODE

help:        ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

lab: lab-env ## start Kafka, Redis and JupyterLab; Ctrl-C stops them
	@exec $(BIN)/labkit jupyter

quick: dev-env ## run the unit and contract tests that need no server, but for the slow ones
	@$(PYTEST) tests/unit -m "not slow" --hypothesis-profile=quick -n 3 -q

unit: dev-env ## run all tests that need no server
	@$(PYTEST) tests/unit -n 2

# In six processes, since many tests wait; tests/session_lab.py has their one lab, tests/scheduler.py says what runs where.
# mypy keeps one processor busy for half a minute. Beside it the tests are looked for once: what that compiles, in a new
# environment half of all packages, the six would compile at the same time, each for itself.
test: lint   ## run every check and every test but the long ones
	@$(BIN)/mypy & types=$$!; $(PYTEST) --collect-only -qq >/dev/null; \
	$(PYTEST) -m "not long" --hypothesis-profile=quick -n 6 --no-loadscope-reorder --durations=30; tests=$$?; \
	wait $$types && exit $$tests

check: lint  ## lint, format, the arrows between the rooms, and types
	@$(BIN)/mypy

lint: dev-env ## lint, format, and the arrows between the rooms
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/lint-imports

browser: dev-env ## install Chromium, if there is none: a few tests need a browser
	@$(BIN)/python -m tests.browser

bubblewrap: dev-env ## install bubblewrap, if there is none: student code runs in a sandbox only
	@$(BIN)/python -m tests.bubblewrap

podman: dev-env ## install Podman, if there is none: student code can run in its containers, too
	@$(BIN)/python -m tests.podman

notebooks: lab-env ## run all notebooks; executed copies, records and figures go to results/
	@$(BIN)/labkit notebooks

images: lab-env ## draw the pictures in images/ anew
	@$(BIN)/labkit notebooks --images images

bench: dev-env ## measure the figures; they go to benchmarks/results/
	@$(BIN)/python -m benchmarks

# Of what hypothesis draws `make test` tries a part.
soak: dev-env ## the long runs: the long tests, workers and brokers killed, an hour of steady load, a class graded; figures as from bench
	@$(PYTEST) -m "long or hypothesis" -n 2 --no-loadscope-reorder --durations=30
	@$(BIN)/python -m benchmarks soak hour grading

# Keeps the locked versions where they still fit; make lock UPGRADE=1 takes the newest.
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate $(if $(UPGRADE),--upgrade) pyproject.toml

lock: dev-env ## compile the lock files from pyproject.toml
	$(COMPILE) --extra notebooks --extra build --output-file requirements.lock
	$(COMPILE) --all-extras --constraint requirements.lock --output-file requirements-dev.lock

clean:       ## remove what make has made, but no results and no data of a lab
	rm -rf .venv .venv-* .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

lab-env:
	@VENV='$(VENV)' tools/install requirements.lock requirements-dev.lock

dev-env:
	@VENV='$(VENV)' tools/install requirements-dev.lock
