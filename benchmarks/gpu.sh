#!/usr/bin/env bash
# Measures training on a GPU with JAX, beside PyTorch's compiled twin where PyTorch is installed, in about eight minutes:
#
#   benchmarks/gpu.sh [--smoke] [--networks resnet20 ...] [--output FOLDER] ...    (--help lists all)
#
#   PYTHON=python3        a Python that has JAX with CUDA
#   WHEELS=folder         Keras, pandas, filelock and what they need as wheels, where nothing can be fetched
#   TORCH_PYTHON=python   a Python that has PyTorch, if it is another one
#   WORK=folder           where missing packages are installed and compiled programs are kept
#
# It needs no TensorFlow. The rows of class "gpu" in train_step.csv are written after every network.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
WORK=${WORK:-${TMPDIR:-/tmp}/resnet-keras-gpu}
mkdir -p "$WORK"

if ! "$PYTHON" -c 'import jax' 2>/dev/null; then
    echo "gpu.sh: $PYTHON has no JAX: install it (pip install 'jax[cuda12]') or set PYTHON to a Python that has it" >&2
    exit 2
fi
case " $* " in *" --smoke "* | *" --help "*) ;; *)
    if ! "$PYTHON" -c 'import sys, jax; sys.exit(jax.devices()[0].platform == "cpu")' 2>/dev/null; then
        echo "gpu.sh: JAX sees no accelerator here; --smoke shows that the benchmark runs" >&2
        exit 2
    fi ;;
esac

if ! "$PYTHON" -c 'import filelock, importlib.util, pandas, sys; sys.exit(importlib.util.find_spec("keras") is None)' \
    2>/dev/null; then
    # An environment of its own beside that of PYTHON, whose packages it sees and leaves as they are.
    if [ ! -e "$WORK/venv/.ready" ]; then
        "$PYTHON" -m venv --without-pip --clear "$WORK/venv"
        site=$("$WORK/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
        "$PYTHON" -c 'import sys; print(*(p for p in sys.path if p.endswith("-packages")), sep="\n")' > "$site/outer.pth"
        "$PYTHON" -m pip --python "$WORK/venv/bin/python" install --quiet --disable-pip-version-check \
            ${WHEELS:+--no-index --find-links "$WHEELS"} keras pandas filelock
        touch "$WORK/venv/.ready"
    fi
    PYTHON=$WORK/venv/bin/python
fi

export KERAS_BACKEND=jax
export XLA_PYTHON_CLIENT_PREALLOCATE=false # the twin needs memory, too
export JAX_COMPILATION_CACHE_DIR=$WORK/compiled
exec "$PYTHON" -m benchmarks train_step ${TORCH_PYTHON:+--torch-python "$TORCH_PYTHON"} "$@"
