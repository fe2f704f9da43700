"""Builds two extensions from ext/ and installs tools/ as engram_local.tools. All metadata is in pyproject.toml."""

import os
import sys
from glob import glob

from Cython.Build import cythonize
from setuptools import Extension, find_packages, setup

# ENGRAM_LOCAL_CHECKED=1 keeps bounds checks in; ENGRAM_LOCAL_SANITIZE=1 builds with ASan and UBSan (make sanitize).
checked = os.environ.get("ENGRAM_LOCAL_CHECKED") == "1"
sanitize = os.environ.get("ENGRAM_LOCAL_SANITIZE") == "1"
flags = ["/O2"] if sys.platform == "win32" else ["-O3", "-std=c11", "-fvisibility=hidden", "-Wall"]
link = []
if sanitize:
    flags = ["-O1", "-g", "-std=c11", "-fsanitize=address,undefined", "-fno-omit-frame-pointer"]
    link = ["-fsanitize=address,undefined"]
if sys.platform == "linux":
    flags.append("-pthread")
    link.append("-pthread")

headers = [*glob("ext/*.h"), *glob("ext/*.pxd")]
llama_sources = ["ext/gate.c", "ext/llama_callback.c"]
native_sources = sorted(set(glob("ext/*.c")) - set(llama_sources) - {"ext/_native.c", "ext/_llama_callback.c"})
extensions = [
    Extension(
        "engram_local._native",
        ["ext/_native.pyx", *native_sources],
        depends=headers,
        extra_compile_args=flags,
        extra_link_args=link,
    ),
    Extension(
        "engram_local._llama_callback",
        ["ext/_llama_callback.pyx", *llama_sources],
        depends=headers,
        extra_compile_args=flags,
        extra_link_args=link,
    ),
]
if not native_sources:
    sys.exit("ext/*.c is missing: this copy of the sources is incomplete")

tools = ["engram_local.tools" + (f".{p}" if p else "") for p in ["", *find_packages("tools")]]
setup(
    packages=[*find_packages(include=["engram_local", "engram_local.*"]), *tools],
    package_dir={"engram_local": "engram_local", "engram_local.tools": "tools"},
    data_files=[("share/man/man1", ["docs/engram-local.1"])],
    ext_modules=cythonize(
        extensions,
        build_dir="build",
        compiler_directives={
            "language_level": 3,
            "boundscheck": checked,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": False,
            "embedsignature": True,
        },
    ),
)
