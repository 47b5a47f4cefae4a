# Everything a newcomer needs: Python 3.11 or newer with its venv module, and make. Lists itself with `make`.

# The first of these that is new enough makes the environment; `make PYTHON=/path/to/python3.12 test` overrides.
PYTHON ?=
PYTHONS := python3.11 python3 python3.12 python3.13 python3.14
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
LOCKED := $(VENV)/locked
LOCK_VENV := .lock-venv
# One worker more than there are processors: a third of the time of many tests is waiting for the disk.
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
CRASH_CYCLES ?= 200
GATEWAY_SOCKETS ?= 2000
ARGS ?=

# What the caller's shell adds to Python's path must not shadow what the lock pins.
unexport PYTHONPATH PYTHONHOME
export PYTHONNOUSERSITE := 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test check format docs crash bench cover lock clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(READY) ## set up and serve (more options: make run ARGS="--help")
	$(BIN)/rookery serve $(ARGS)

test: $(READY) ## set up and run every test, on all cores (one of them: make test ARGS="-k name")
	$(BIN)/pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(READY) ## lint, formatting and types; changes nothing
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(READY) ## format the code and mend what ruff can mend
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: $(READY) ## write the table of bounds in docs/architecture.md
	$(BIN)/python -m tests.docs.bounds

crash: $(READY) ## the long crash tests (CRASH_CYCLES=200 GATEWAY_SOCKETS=2000)
	ROOKERY_CRASH_CYCLES=$(CRASH_CYCLES) ROOKERY_GATEWAY_SOCKETS=$(GATEWAY_SOCKETS) $(BIN)/pytest -m crash -o faulthandler_timeout=3600 $(ARGS)

bench: $(READY) ## measure speed on this machine
	$(BIN)/python -m bench $(ARGS)

cover: $(READY) ## which lines and branches no test reaches
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

lock: ## pin the newest allowed versions of everything into requirements.lock
	@$(FIND_PYTHON) && "$$python" -m venv --clear $(LOCK_VENV)
	$(LOCK_VENV)/bin/python -m pip install --quiet uv
	@# uv does not read pip's settings, and the index may be named only there.
	index=$${PIP_INDEX_URL:-$$($(LOCK_VENV)/bin/python -m pip config get global.index-url 2>/dev/null)}; \
	$(LOCK_VENV)/bin/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --upgrade \
		--generate-hashes --no-header --quiet $${index:+--default-index "$$index"} --output-file requirements.lock
	rm -rf $(LOCK_VENV)

clean: ## remove the environment and every cache (never the data folder)
	rm -rf $(VENV) $(LOCK_VENV) build dist htmlcov .coverage .coverage.* \
		.hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path './data/*' -prune -exec rm -rf {} +

# Two steps, so that a changed tool setting does not install the world again.
$(READY): $(LOCKED) pyproject.toml
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(LOCKED): requirements.lock
	@$(FIND_PYTHON) && echo "Setting up $(VENV) with $$("$$python" --version), once; this takes a minute." && "$$python" -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements.lock
	@touch $@

# Sets $$python, or says what to install. A pyenv shim can exist and still not run, hence the trial.
define FIND_PYTHON
python=; for candidate in $(or $(PYTHON),$(PYTHONS)); do \
	if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$candidate; break; fi; \
done; \
if [ -z "$$python" ]; then \
	echo "Rookery needs Python 3.11 or newer, and none of these is: $(or $(PYTHON),$(PYTHONS))." >&2; \
	echo "Install one (Debian: apt install python3 python3-venv) or name it: make PYTHON=/path/to/python3.11" >&2; \
	exit 1; \
fi; \
if ! "$$python" -c 'import venv, ensurepip' 2>/dev/null; then \
	echo "$$python cannot make virtual environments (Debian: apt install python3-venv)." >&2; \
	exit 1; \
fi
endef
