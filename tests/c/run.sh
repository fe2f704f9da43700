#!/bin/sh
# Compile ext/ and the C harness for one system, and run it: sh tests/c/run.sh [native | sanitize | arm64 | windows | macos]
# The cases, build/c/cases.bin, are cases.py's. arm64 needs gcc-aarch64-linux-gnu, libc6-dev-arm64-cross and qemu-user;
# windows gcc-mingw-w64-x86-64 and wine64 (Debian's names). macos compiles and links with zig (pip install ziglang), and
# runs only on a Mac.
set -eu
cd "$(dirname "$0")/../.."
system=${1:-native}
flags="-O3 -std=c11 -Wall -Wextra -Iext"
program=build/c/kernels-$system
run=
case $system in
native) compile="${CC:-cc} -pthread" ;;
sanitize) compile="${CC:-cc} -pthread -g -fsanitize=address,undefined -fno-sanitize-recover=undefined" ;;
arm64)
    compile="aarch64-linux-gnu-gcc -pthread -static"
    run=qemu-aarch64
    export EL_NO_FORK=1 # a process with threads cannot fork under qemu-user
    ;;
windows)
    compile="x86_64-w64-mingw32-gcc -D__USE_MINGW_ANSI_STDIO"
    program=$program.exe
    export WINEDEBUG=-all WINEPREFIX="$PWD/build/c/wine"
    run=$(command -v wine64 || command -v wine || echo /usr/lib/wine/wine64)
    ;;
macos) compile="${PYTHON:-python3} -m ziglang cc -target aarch64-macos" ;;
*) echo "$0: no system $system" >&2 && exit 2 ;;
esac
mkdir -p build/c
echo "$system: $compile"
sources=$(find ext -name '*.c' ! -name '_*') # _*.c: Cython's output
$compile $flags -o "$program" tests/c/*.c $sources -lm
if [ "$system" = macos ] && [ "$(uname)" != Darwin ]; then
    echo "compiled and linked for $system, not run"
    exit
fi
work=$(mktemp -d "${TMPDIR:-build/c}/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
$run "$program" build/c/cases.bin "$work"
