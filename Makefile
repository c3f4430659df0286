# `make` lists the targets. Each one that needs .venv makes it first, from a lock, when it is missing or stale.
#   PYTHON=python3.12   the interpreter that .venv is made with
#   JOBS=2              how many runs `reproduce` trains at a time, on a CPU
#   ARGS="..."          more arguments for the command of `reproduce`, `lab`, `test` or `bench`
SHELL := bash

PYTHON ?= python3
ARGS ?=
JOBS ?= 2
BIN := .venv/bin
# The lock of users: the package and its notebooks. That of the tests adds JAX, Ray, ONNX, pytest and more.
USE := .venv/.requirements
TEST := .venv/.requirements-test
SIZE_requirements := 100 packages, 1 GB to fetch, 2.7 GB on disk: 1 to 5 minutes
IMPORTS_requirements := keras, tensorflow, tensorflow_datasets, seaborn, scipy.stats, jupyterlab.labapp, ipykernel.kernelapp
IMPORTS_requirements-test := $(IMPORTS_requirements), jax, pytest, xdist, hypothesis, nbformat, papermill, onnxruntime, ray
SIZE_requirements-test := with those of the tests 160 packages, 1.4 GB to fetch, 3.4 GB on disk: 2 to 6 minutes

.PHONY: help install reproduce lab test torture test-browser bench lint lock clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

install: $(USE) ## make .venv with the package and what its notebooks need, and no more

reproduce: $(USE) ## run the degradation experiment at smoke scale: minutes on two CPU cores, no data to download
	$(BIN)/resnet-keras run degradation --scale smoke --jobs $(JOBS) --results reproduced $(ARGS)

# At the root of the checkout, so that links out of notebooks/ work; without a question about news, without warnings
# about language servers and encryption.
LAB := --ServerApp.root_dir="$(CURDIR)" --LanguageServerManager.autodetect=False \
	--KernelManager.transport_encryption=auto
lab: $(USE) ## open the first notebook in JupyterLab
	@mkdir -p .venv/etc/jupyter/labconfig && echo '{"disabledExtensions":' \
		'{"@jupyterlab/apputils-extension:announcements": true}}' >.venv/etc/jupyter/labconfig/page_config.json
	$(BIN)/python -m jupyterlab notebooks/00_start_here.ipynb $(LAB) $(ARGS)

test: $(TEST) ## run the tests; ARGS="-k name" for some of them
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

torture: $(TEST) ## break the project on purpose, at full length: 40 minutes on two busy CPU cores
	RESNET_KERAS_TORTURE=1 $(BIN)/python -m pytest -q -s -m faults $(ARGS)

# What cannot be installed is left out, and the tests that need it say so.
test-browser: $(TEST) ## open the page of results in Chromium, which this installs where it can
	-@$(BIN)/python -m pip install --disable-pip-version-check --quiet playwright
	-@command -v chromium chromium-browser google-chrome >/dev/null || \
		$$([ "$$(id -u)" = 0 ] || echo sudo -n) apt-get install --yes --no-install-recommends chromium
	$(BIN)/python -m pytest -q -m browser $(ARGS)

bench: $(TEST) ## measure the speed against peers, side by side
	$(BIN)/python -m benchmarks $(ARGS)

lint: $(TEST) ## check the style of code and notebooks
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .

# The tests' lock is made first: the users' holds the same versions.
LOCK = $(BIN)/python -m uv pip compile --quiet --universal --python-version 3.10 --no-annotate \
	--custom-compile-command "make lock" pyproject.toml
lock: | $(BIN)/pip ## bring both locks in line with pyproject.toml; remove them first to move every version up
	@$(BIN)/python -m pip install --quiet uv 2> >($(QUIET))
	$(LOCK) --extra test --output-file requirements-test.txt
	$(LOCK) --extra notebooks --constraint requirements-test.txt --output-file requirements.txt

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
	@$(PYTHON) -m venv .venv

# The stamp goes first and comes back last: an install that was interrupted is taken up again. A lock is complete, so
# pip resolves nothing. The package itself is built by the setuptools of the lock, so its build fetches nothing. What
# is imported is compiled, once, also where $PYTHONDONTWRITEBYTECODE would leave that to every start.
PIP = $(BIN)/python -m pip install --disable-pip-version-check --no-deps --no-compile
QUIET = grep -v '^WARNING: Location' >&2 || true
.venv/.%: %.txt pyproject.toml | $(BIN)/pip
	@rm -f $@
	@echo "Installing the packages of $< into .venv ($(SIZE_$*))"
	@$(PIP) --requirement $< 2> >($(QUIET)) | while read -r step what _; do [ -t 1 ] && case "$$step" in \
			Collecting|Processing) printf '\r\033[K  %d: %s' $$((++count)) "$${what##*/}" ;; \
			Installing) printf '\r\033[K  unpacking %d packages' $$count ;; \
			Successfully) printf '\r\033[K  compiling what is used' ;; \
		esac; done; [ "$${PIPESTATUS[0]}" = 0 ] && \
	$(PIP) --quiet --no-build-isolation --editable . 2> >($(QUIET)) && { \
		env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -c "import $(IMPORTS_$*)" &>/dev/null; \
		[ ! -t 1 ] || printf '\r\033[K'; \
		echo "Installed in $$SECONDS s: .venv has $$(du -sh .venv | cut -f1)."; touch $@; }
