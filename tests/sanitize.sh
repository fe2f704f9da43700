#!/bin/sh
# Build the extension with AddressSanitizer and UBSan in a copy of the tree, build/sanitize, and run its tests there.
# PYTHON: an interpreter; one that has the test dependencies is used as it is, any other gets a virtual environment.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
tree=$root/build/sanitize
python=${PYTHON:-python3}
mkdir -p "$tree"
if ! "$python" -c 'import Cython, setuptools, numpy, pytest, hypothesis, safetensors, gguf, onnxruntime, tokenizers
assert int(setuptools.__version__.split(".")[0]) >= 77' 2>/dev/null; then
    [ -x "$tree/.venv/bin/python" ] || "$python" -m venv "$tree/.venv"
    python=$tree/.venv/bin/python
    "$python" -m pip --disable-pip-version-check -q install -c "$root/tests/constraints.txt" \
        'setuptools>=77' 'cython>=3.1' numpy pytest hypothesis safetensors gguf onnx onnxruntime tokenizers jinja2 typer rich
fi
cd "$root"
tar -c --exclude=build --exclude=__pycache__ --exclude='*.so' setup.py pyproject.toml engram_local ext tools tests | tar -x -C "$tree"
cd "$tree"
ENGRAM_LOCAL_SANITIZE=1 ENGRAM_LOCAL_CHECKED=1 "$python" setup.py -q build_ext --inplace 2>build.log >&2 || { cat build.log; exit 1; }
runtimes=
for name in libasan.so libubsan.so; do
    runtimes="$runtimes $(${CC:-cc} -print-file-name=$name)"
done
# The interpreter itself leaks at exit by design; Python's own allocator would hide what overruns a small block.
LD_PRELOAD="$runtimes" PYTHONMALLOC=malloc PYTHONPATH=$tree \
    ASAN_OPTIONS=detect_leaks=0:handle_sigbus=0:allocator_may_return_null=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
    "$python" -m pytest -p no:cacheprovider "$@" tests/test_hashing.py tests/tables \
    tests/test_lookup.py tests/test_session_together.py tests/test_session_faults.py tests/fuzz
