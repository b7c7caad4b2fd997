# `make demo` and `make test` do all their own set-up, in .venv. Nothing is installed elsewhere.
PYTHON ?= python3
BIN := .venv/bin
# Compiled at once: where nothing may be written beside the packages later, every start would compile them again.
UV := VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --compile-bytecode

.PHONY: help setup demo test test-slow bench bench-quick check docs format lock clean
help:  ## what can be made
	@grep -E '^[a-z-]+:.*## ' Makefile | sed 's/:.*## /\t/' | expand -t 12

.venv/bin/uv: requirements/uv.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet --require-hashes -r requirements/uv.txt
	@touch $@

# The stamps say which set was installed last: going from the demo to the tests adds, never removes.
.venv/.demo .venv/.dev: .venv/.%: requirements/%.txt pyproject.toml .venv/bin/uv
	@echo "Setting up .venv for '$*' (once; a minute or so) ..."
	@$(UV) --require-hashes -r requirements/$*.txt
	@$(UV) --no-deps --no-build-isolation --editable .
	@touch $@

setup: .venv/.dev  ## everything a developer needs
	@if [ -d .git ]; then git config core.hooksPath hooks; fi

demo: .venv/.demo  ## the main job on SQLite, against a local emulator
	@$(BIN)/gcore-etl demo

test: .venv/.dev  ## all tests
	@$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow and not live"

test-slow: .venv/.dev  ## the long versions: many kills, large worlds; an hour or two
	@$(BIN)/python -m pytest -n 2 --dist worksteal -m slow -rP --show-capture=stdout

bench: .venv/.dev  ## all that docs/benchmarks.md shows, with what other people use; about half an hour
	@$(BIN)/python -m benchmarks table --save
	@$(BIN)/python -m benchmarks growth --save
	@$(BIN)/python -m benchmarks history --save
	@$(BIN)/python -m benchmarks page

bench-quick: .venv/.dev  ## ours as a multiple of the bare prototype; under a minute
	@$(BIN)/python -m benchmarks quick

check: .venv/.dev  ## format, lint, types, layers: what CI runs
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

docs: .venv/.dev  ## write the query book anew, with the answers on the demo's data
	@cd tests && ../$(BIN)/python -m support.book

format: .venv/.dev  ## put the code in order
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--custom-compile-command "make lock" pyproject.toml
lock: .venv/.dev  ## pin what is installed anew
	echo uv | $(COMPILE:pyproject.toml=-) -o requirements/uv.txt
	$(COMPILE) --extra all --group dev -o requirements/dev.txt
	$(COMPILE) --constraint requirements/dev.txt --extra demo --group build -o requirements/demo.txt
	$(COMPILE) --constraint requirements/dev.txt --extra postgres --extra export -o requirements/prod.txt

clean:  ## remove the environment and what the tools left
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache dist
