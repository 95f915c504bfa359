# make help lists what there is. Python 3.11, 3.12 or 3.13 is all that a machine needs.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
WORKERS ?= 3
MINUTES ?= 2
SEED ?= 1
ON ?= embedded

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-deployments test-services test-faults chaos check format bench benchmarks docs lock clean

help:  ## what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

setup: $(READY)  ## .venv with everything, and .venv/bin/onewindow

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11, 3.12 or 3.13 is needed, this is " + sys.version.split()[0] + "; name one: make setup PYTHON=python3.12") if not (3, 11) <= sys.version_info[:2] < (3, 14) else None'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(READY)

demo: $(READY)  ## the sample city, live in this terminal; Ctrl-C ends it
	@$(BIN)/onewindow demo

test: $(READY) check  ## all checks and tests, but for those below
	$(BIN)/pytest -q -n $(WORKERS) --dist loadfile -m "not faults and not deployment" --durations 12

test-deployments: $(READY)  ## whole deployments, brought up and asked from outside
	$(BIN)/pytest -q -n $(WORKERS) --dist loadfile -m deployment --durations 6

test-services: $(READY)  ## the tests that use a broker or database, on Apache Kafka, PostgreSQL and MariaDB
	$(BIN)/python tests/services/install.py
	$(BIN)/pytest -q -n $(WORKERS) --dist loadfile --services -m "not faults and not deployment" --durations 12

test-faults: $(READY)  ## kill -9 of every role in the middle of work, and damage to what it works with
	$(BIN)/pytest -q -p no:randomly -m faults --durations 6

chaos: $(READY)  ## faults for MINUTES=2 from SEED=1 in a live city ON=embedded or services, with readers that check
	@$(if $(filter services,$(ON)),$(BIN)/python tests/services/install.py)
	@PYTHONPATH=tests $(BIN)/python -m chaos --minutes $(MINUTES) --seed $(SEED) --on $(ON) $(if $(REPORT),--report $(REPORT))

check: $(READY)  ## format, lint, types, import rules, spelling
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

format: $(READY)  ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY)  ## how fast this machine does each part
	@$(BIN)/onewindow bench

benchmarks: $(READY)  ## beside Debezium, a hand-written loop and COPY: half an hour, on a quiet machine
	$(BIN)/python tests/services/install.py
	$(BIN)/python -m benchmarks

docs: $(READY)  ## write docs/schemas, docs/errors.md and the table of docs/connectors.md anew from the code
	$(BIN)/python -m contracts.schemas docs/schemas
	$(BIN)/python -m onewindow.errors_page docs/errors.md
	$(BIN)/python -W ignore tests/badsources/table.py docs/connectors.md

lock: $(READY)  ## pin the dependencies anew
	$(BIN)/python -m pip install --quiet pip-tools
	$(BIN)/pip-compile --quiet --extra dev --generate-hashes --no-emit-index-url --no-emit-find-links --strip-extras \
	  --allow-unsafe -o requirements.txt pyproject.toml
	$(BIN)/pip-compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --strip-extras \
	  --allow-unsafe -c requirements.txt -o requirements-run.txt pyproject.toml

clean:  ## remove what was made
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis demo-city
