"""Rules that the whole tree keeps: what is public is typed and explained, and who may import whom."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE, TOOLS, EXT = ROOT / "engram_local", ROOT / "tools", ROOT / "ext"
FILES = sorted([*PACKAGE.rglob("*.py"), *TOOLS.rglob("*.py")])
Function = ast.FunctionDef | ast.AsyncFunctionDef
# Explained once, where the protocols are: what a backend, a context, rows and a source of rows do.
PROTOCOLS = {"context", "forward", "rewind", "close", "wait", "read", "length", "place", "access"}


def public_functions(path: Path, inherited: bool = True) -> Iterator[tuple[str, Function]]:
    """(name, node) of public functions and of public methods of public classes. inherited: those of classes with a base
    too, which may say what their methods do."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, Function) and not node.name.startswith("_"):
            yield node.name, node
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_") and (inherited or not node.bases):
            for x in node.body:
                if isinstance(x, Function) and (x.name == "__init__" or not x.name.startswith("_")):
                    yield f"{node.name}.{x.name}", x


@pytest.mark.parametrize("path", FILES, ids=lambda x: str(x.relative_to(ROOT)))
def test_public_functions_are_typed(path):
    for name, node in public_functions(path, inherited=False):
        a = node.args
        given = [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, (a.vararg, a.kwarg))]
        untyped = [x.arg for x in given if x.annotation is None and x.arg not in ("self", "cls")]
        assert not untyped, f"{path}: {name} has no type for {untyped}"
        assert node.returns is not None or name.endswith("__init__"), f"{path}: {name} has no return type"


@pytest.mark.parametrize("path", FILES, ids=lambda x: str(x.relative_to(ROOT)))
def test_public_things_say_what_they_are(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree) or not tree.body, f"{path} does not say what it is"
    silent = [
        name
        for name, node in public_functions(path, inherited=False)
        if not ast.get_docstring(node) and name.rpartition(".")[2] not in {"__init__", "main", *PROTOCOLS}
    ]
    assert not silent, f"{path}: no docstring: {silent}"


def test_what_the_package_names_can_be_imported():
    import engram_local

    for name in engram_local.__all__:
        assert getattr(engram_local, name) and name in dir(engram_local)


def module_name(path: Path) -> str:
    relative = path.relative_to(ROOT).with_suffix("")
    parts = [x for x in relative.parts if x != "__init__"]
    return ".".join(["engram_local", *parts] if parts[:1] == ["tools"] else parts)


MODULES = {module_name(x): x for x in FILES}


def imports(path: Path, lazy: bool) -> Iterator[str]:
    """Modules that a file imports when it is loaded; `lazy`: inside functions too. Not those for types alone."""

    def walk(node: ast.AST) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                continue
            if isinstance(child, Function) and not lazy:
                continue
            if isinstance(child, ast.Import):
                yield from (x.name for x in child.names)
            elif isinstance(child, ast.ImportFrom) and child.module:
                inner = {f"{child.module}.{x.name}" for x in child.names}
                yield from inner if inner <= MODULES.keys() else {child.module}
            else:
                yield from walk(child)

    yield from walk(ast.parse(path.read_text(encoding="utf-8")))


def circle(graph: dict[str, set[str]]) -> list[str] | None:
    """The names of one circle, None where there is none."""
    done: set[str] = set()

    def visit(name: str, way: list[str]) -> list[str] | None:
        if name in way:
            return [*way[way.index(name) :], name]
        if name in done:
            return None
        found = next((c for x in sorted(graph.get(name, ())) if (c := visit(x, [*way, name]))), None)
        done.add(name)
        return found

    return next((c for name in sorted(graph) if (c := visit(name, []))), None)


def test_no_import_goes_in_a_circle():
    graph = {
        name: {x for x in imports(path, lazy=False) if x in MODULES and x != name} for name, path in MODULES.items()
    }
    assert circle(graph) is None
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == ["a", "b", "c", "a"]


def test_no_c_file_goes_in_a_circle():
    """A file that includes a header depends on the file that defines what it declares."""
    generated = {x.with_suffix(".c") for x in EXT.glob("*.pyx")}
    sources = [*EXT.glob("*.pyx"), *(x for x in EXT.glob("*.c") if x not in generated)]
    graph = {}
    for path in sources:
        used = set(re.findall(r'(?:#include|cdef extern from) "(\w+)\.h"', path.read_text(encoding="utf-8")))
        graph[path.stem] = {x.stem for x in sources if x.stem in used and x != path}
    assert circle(graph) is None


def test_the_runtime_imports_no_training_software():
    heavy = {"torch", "transformers", "safetensors", "onnx", "onnxruntime_genai", "peft"}
    for path in PACKAGE.rglob("*.py"):
        found = {x.split(".")[0] for x in imports(path, lazy=True)} & heavy
        assert not found, f"{path} imports {found}"


def test_tools_are_imported_by_commands_alone_and_lazily():
    for path in PACKAGE.rglob("*.py"):
        loaded, lazily = (any("engram_local.tools" in x for x in imports(path, lazy)) for lazy in (False, True))
        assert not loaded, f"{path} imports tools when it is loaded"
        assert not lazily or path.parent.name == "commands", f"{path} imports tools"


def test_functions_take_few_parameters():
    """Those that are options apart (commands/), and records (dataclasses)."""
    for path in FILES:
        for name, node in public_functions(path):
            n = len([x for x in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs] if x.arg != "self"])
            is_verb = any("command" in ast.dump(x) for x in node.decorator_list)
            assert n <= 11 or is_verb, f"{path}: {name} takes {n} parameters"


def test_files_stay_short():
    for path in [*FILES, *EXT.glob("*.[ch]"), *EXT.glob("*.pyx")]:
        n = path.read_text(encoding="utf-8").count("\n")
        assert n <= 550 or path.name.startswith("wordings_"), f"{path} has {n} lines"


def test_nothing_heavy_is_loaded_for_help():
    code = "import sys, engram_local.cli as c; c.make_app(); print(sorted({m.split('.')[0] for m in sys.modules} & %r))"
    heavy = {"numpy", "onnxruntime", "tokenizers", "jinja2", "prompt_toolkit", "torch", "transformers", "matplotlib"}
    done = subprocess.run([sys.executable, "-c", code % heavy], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n", done.stderr
