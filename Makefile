# What one does with this project; `make` alone lists it. Written for GNU make 3.81 and newer.
# PYTHON=/path/to/python3.12 chooses the Python (3.11 to 3.13).

BIN := .venv/bin

.PHONY: help lab test check notebooks images bench soak lock clean lab-env dev-env
.DEFAULT_GOAL := help

# Where it is set, each process would compile pandas and its like anew: 7 s for the imports of a notebook.
unexport PYTHONDONTWRITEBYTECODE

help:        ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

lab: lab-env ## start Kafka, Redis and JupyterLab; Ctrl-C stops them
	@exec $(BIN)/labkit jupyter

# In four processes, each with a lab of its own, since many tests wait; tests/spreading.py says what runs where.
# Then those that measure times, one after the other.
test: check  ## run every check and every test
	@$(BIN)/python -m pytest -m "not alone" -n 4 --no-loadscope-reorder --durations=30
	@$(BIN)/python -m pytest -m alone --durations=6

check: dev-env ## lint, format, types, and the arrows between the rooms
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

notebooks: lab-env ## run all notebooks; executed copies, records and figures go to results/
	@$(BIN)/labkit notebooks

images: lab-env ## draw the pictures in images/ anew
	@$(BIN)/labkit notebooks --images images

bench: dev-env ## measure the figures; they go to benchmarks/results/
	@$(BIN)/python -m benchmarks

soak: dev-env ## the long runs under faults: workers and brokers killed; figures as from bench
	@$(BIN)/python -m benchmarks soak

# Keeps the locked versions where they still fit; make lock UPGRADE=1 takes the newest.
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate $(if $(UPGRADE),--upgrade) pyproject.toml

lock: dev-env ## compile the lock files from pyproject.toml
	$(COMPILE) --extra notebooks --extra build --output-file requirements.lock
	$(COMPILE) --all-extras --constraint requirements.lock --output-file requirements-dev.lock

clean:       ## remove what make has made, but no results and no data of a lab
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

lab-env:
	@tools/install requirements.lock requirements-dev.lock

dev-env:
	@tools/install requirements-dev.lock
