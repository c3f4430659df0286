# `make` lists the targets. Each one that needs .venv makes it first, from the lock, when it is missing or stale.
#   PYTHON=python3.12   the interpreter that .venv is made with
#   ARGS="..."          more arguments for the command of `test`, `reproduce`, `lab` or `bench`
SHELL := bash

PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
READY := .venv/.ready

.PHONY: help reproduce test torture test-browser lab bench lint lock clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

reproduce: $(READY) ## run the degradation experiment at smoke scale: minutes on two CPU cores, no data to download
	$(BIN)/resnet-keras run degradation --scale smoke --results reproduced $(ARGS)

test: $(READY) ## run the tests; ARGS="-k name" for some of them
	$(BIN)/python -m pytest -q -n 2 --dist loadfile $(ARGS)

torture: $(READY) ## break the project on purpose, at full length: 40 minutes on two busy CPU cores
	RESNET_KERAS_TORTURE=1 $(BIN)/python -m pytest -q -s -m faults $(ARGS)

# What cannot be installed is left out, and the tests that need it say so.
test-browser: $(READY) ## open the page of results in Chromium, which this installs where it can
	-@$(BIN)/python -m pip install --disable-pip-version-check --quiet playwright
	-@command -v chromium chromium-browser google-chrome >/dev/null || \
		$$([ "$$(id -u)" = 0 ] || echo sudo -n) apt-get install --yes --no-install-recommends chromium
	$(BIN)/python -m pytest -q -m browser $(ARGS)

lab: $(READY) ## open the notebooks in JupyterLab
	$(BIN)/python -m jupyterlab notebooks $(ARGS)

bench: $(READY) ## measure the speed against peers, side by side
	$(BIN)/python -m benchmarks $(ARGS)

lint: $(READY) ## check the style of code and notebooks
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .

lock: | $(BIN)/pip ## bring requirements.txt in line with pyproject.toml; remove it first to move every version up
	@$(BIN)/python -m pip install --quiet uv
	$(BIN)/python -m uv pip compile --quiet --universal --python-version 3.10 --extra dev \
		--custom-compile-command "make lock" --output-file requirements.txt pyproject.toml

clean: ## remove .venv, caches and build outputs; keep data/ and results/
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
	find . \( -path ./.git -o -path ./data -o -path ./results \) -prune -o \
		-type d \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +

# ensurepip writes pip last, so a .venv that was interrupted half-way has none and is made again.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' 2>/dev/null || { \
		echo "$(PYTHON) is $$($(PYTHON) -V 2>/dev/null || echo not a Python that runs); Python 3.10 to 3.13" \
			"is needed: install one and name it, as in: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
		echo "$(PYTHON) has no venv module; on Debian and Ubuntu: sudo apt install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv .venv

# The stamp goes first and comes back last: an install that was interrupted is taken up again.
# The package itself is built by the setuptools of the lock, so its build fetches nothing.
$(READY): requirements.txt pyproject.toml | $(BIN)/pip
	@rm -f $@
	@echo "Installing the packages of requirements.txt into .venv (the first time: about 1 GB, some minutes)"
	@set -o pipefail; $(BIN)/python -m pip install --disable-pip-version-check --requirement requirements.txt | \
		while read -r step what _; do case "$$step $$what" in \
			"Collecting "*) printf '\r\033[K  fetching %s' "$$what" ;; \
			"Installing "*) printf '\r\033[K  unpacking what was fetched: a minute or two' ;; \
			"Successfully installed") printf '\r\033[K  installed\n' ;; \
		esac; done
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	@touch $@
