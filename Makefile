# Two commands set everything up on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
OUT ?= demo

.PHONY: help demo test lint docs wheel bench gpu clean
help:  ## List the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 8

# A stamp says which files an environment was made from, so that it is made anew when they change.
# The demo needs torch; the tests also the CUDA compiler, other runtimes and more.
$(VENV)/.pip: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install --quiet --upgrade pip
	@touch $@

$(VENV)/.base: $(VENV)/.pip
	$(RUN)/python -m pip install --quiet --constraint constraints.txt --editable '.[pipeline]'
	@touch $@

$(VENV)/.dev: $(VENV)/.pip
	$(RUN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@ $(VENV)/.base

demo: $(VENV)/.base  ## From nothing to an enhanced image and a report, on the CPU: a few minutes
	$(RUN)/ussim-pipeline run -o $(OUT) --preset demo --backend cpu --device cpu --resume

test: $(VENV)/.dev  ## Run the test suite
	$(RUN)/python -m pytest --numprocesses auto

lint: $(VENV)/.dev  ## Check style and types
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy

docs: $(VENV)/.dev  ## Build the documentation into build/docs; a warning is an error
	$(RUN)/python -m sphinx -W --keep-going -n -q -b html docs build/docs
	@echo "Documentation: $(abspath build/docs/index.html)"

wheel: $(VENV)/.dev  ## Build wheel and sdist into dist, and use them outside the checkout
	$(RUN)/python tests/project/check_wheel.py dist

bench: $(VENV)/.dev  ## Time all that this machine is asked to do, on the CPU, beside other programs: some minutes
	$(RUN)/ussim bench --suite --backend cpu -o bench
	$(RUN)/python tests/bench/closest_hits.py

gpu: $(VENV)/.dev  ## On a machine with an NVIDIA GPU: its tests, then all timings; needs no network once installed
	$(RUN)/python -m pytest -m gpu
	$(RUN)/ussim bench --suite --backend cuda -o bench

clean:  ## Remove the environment, the demo and the built documentation
	rm -rf $(VENV) $(OUT) bench build/docs dist
