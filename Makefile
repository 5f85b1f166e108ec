# make demo and make test work on a fresh machine: each sets up what it needs first.
PYTHON ?= python3
VENV   ?= .venv
DEMO   ?= demo
BIN    := $(VENV)/bin

.PHONY: help demo test chaos truth test-fast lint format docs bench lock clean

help:            ## what there is
	@grep -E '^[a-z-]+: .*##|^[a-z-]+:  +##' Makefile | sed 's/:.*##/ -/'

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	    || { echo "calibook needs Python 3.11 to 3.13; name one with: make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV) \
	    || { echo "no venv: on Debian, install the package python3-venv"; exit 1; }

$(VENV)/run.stamp: requirements/run.txt pyproject.toml | $(BIN)/python
	scripts/install.sh $(BIN)/python requirements/run.txt
	@touch $@

$(VENV)/test.stamp: requirements/test.txt pyproject.toml | $(BIN)/python
	scripts/install.sh $(BIN)/python requirements/test.txt
	@touch $(VENV)/run.stamp $@

demo: $(VENV)/run.stamp  ## simulate, characterise, correct, report: prints where the results are
	@scripts/demo.sh $(abspath $(BIN)) $(abspath $(DEMO))

test: $(VENV)/test.stamp lint  ## the whole suite, with LaTeX and a SLURM cluster on this machine
	@scripts/install_tex.sh
	@scripts/install_slurm.sh
	$(BIN)/python -m pytest -n 2 --dist loadscope -m "not chaos and not truth"

chaos: $(VENV)/test.stamp  ## rounds of random kills on a SLURM of this machine
	@scripts/install_slurm.sh
	$(BIN)/python -m pytest -m chaos tests/slurm

truth: $(VENV)/test.stamp  ## AGIPD against its truth, 64 cells x 200 trains and 352 cells: a quarter of an hour to two, 30 GB
	$(BIN)/python -m pytest -s -m truth tests/end_to_end

test-fast: $(VENV)/test.stamp  ## the suite without LaTeX, SLURM and the slow end-to-end runs
	$(BIN)/python -m pytest -n 2 --dist loadscope -m "not latex and not slurm and not slow and not truth"

lint: $(VENV)/test.stamp  ## style, types, import arrows, notebooks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/calibook check notebooks/*/*.ipynb

format: $(VENV)/test.stamp  ## lay the code out
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/test.stamp  ## HTML documentation in docs/_build/html
	$(BIN)/python -m sphinx -W -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

bench: $(VENV)/run.stamp  ## ratios against a copy and against memory, in one table
	$(BIN)/python -m benchmarks

lock:            ## renew the locks from pyproject.toml (needs uv)
	uv pip compile -q --universal --python-version 3.11 --generate-hashes \
	    --custom-compile-command "make lock" pyproject.toml requirements/build.in -o requirements/run.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes \
	    --custom-compile-command "make lock" --extra test -c requirements/run.txt \
	    pyproject.toml requirements/build.in -o requirements/test.txt

clean:           ## remove what make has made
	rm -rf $(VENV) $(DEMO) docs/_build build dist
