# `make demo` and `make test` do all their own setup, in .venv. Nothing is installed elsewhere.
PYTHON ?= python3
BIN := .venv/bin
# Byte code is compiled during installation: if the packages are read-only later, every start would compile it again.
UV := VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --compile-bytecode
# More workers than the two processors of CI: many tests wait for a server or a clock.
PYTEST := -m pytest -n 3 --dist worksteal
DEFAULT := -m "not slow and not live"

.PHONY: help setup demo test test-slow coverage bench bench-quick check docs format lock clean
help:  ## list the targets
	@grep -E '^[a-z-]+:.*## ' Makefile | sed 's/:.*## /\t/' | expand -t 13

.venv/bin/uv: requirements/uv.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet --require-hashes -r requirements/uv.txt
	@touch $@

# A stamp file for each set of packages that is installed. Installing a set adds packages and never removes any.
.venv/.demo .venv/.dev: .venv/.%: requirements/%.txt pyproject.toml .venv/bin/uv
	@echo "Setting up .venv for '$*' (once; about a minute) ..."
	@$(UV) --require-hashes -r requirements/$*.txt
	@$(UV) --no-deps --no-build-isolation --editable .
	@touch $@

setup: .venv/.dev  ## install the development environment into .venv
	@if [ -d .git ]; then git config core.hooksPath hooks; fi

demo: .venv/.demo  ## run the demo: a local emulator, a few syncs into SQLite, a report
	@$(BIN)/gcore-etl demo

test: .venv/.dev  ## run the default tests, on SQLite and PostgreSQL
	@$(BIN)/python $(PYTEST) $(DEFAULT)

test-slow: .venv/.dev  ## run the slow tests: many kills, large data (one to two hours)
	@$(BIN)/python $(PYTEST) -m slow -rP --show-capture=stdout

# The report is printed even if a test fails. To measure a part: make coverage TESTS=tests/unit
coverage: .venv/.dev  ## measure branch coverage of the default tests; report in htmlcov/
	@$(BIN)/coverage erase
	@status=0; $(BIN)/coverage run $(PYTEST) $(DEFAULT) $(TESTS) || status=$$?; \
		$(BIN)/coverage combine --quiet && $(BIN)/coverage html --quiet && $(BIN)/coverage report; exit $$status

bench: .venv/.dev  ## run all benchmarks and regenerate docs/benchmarks.md (about an hour)
	@$(BIN)/python -m benchmarks table --save
	@$(BIN)/python -m benchmarks growth --save
	@$(BIN)/python -m benchmarks history --save
	@$(BIN)/python -m benchmarks large --save
	@$(BIN)/python -m benchmarks page

bench-quick: .venv/.dev  ## compare a sync with the bare prototype (under a minute)
	@$(BIN)/python -m benchmarks quick

check: .venv/.dev  ## check format, lint, spelling, types and import layers
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/codespell
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

docs: .venv/.dev  ## regenerate docs/queries.md from etl/queries and the demo's data
	@cd tests && ../$(BIN)/python -m support.book

format: .venv/.dev  ## format the code and apply safe lint fixes
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--custom-compile-command "make lock" pyproject.toml
lock: .venv/.dev  ## regenerate the pinned requirements from pyproject.toml
	echo uv | $(COMPILE:pyproject.toml=-) -o requirements/uv.txt
	$(COMPILE) --extra all --group dev -o requirements/dev.txt
	$(COMPILE) --constraint requirements/dev.txt --extra demo --group build -o requirements/demo.txt
	$(COMPILE) --constraint requirements/dev.txt --extra postgres --extra export -o requirements/prod.txt

clean:  ## remove .venv, caches and build results
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage .coverage.* htmlcov dist
