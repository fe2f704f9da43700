"""Writes docs/engram-local.1, the manual page, from what every command's --help says:
python -m engram_local.commands.man > docs/engram-local.1

With `--check FILE` it compares instead, and fails where the file is stale.
"""

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from typer.main import get_command


def man_page(app: typer.Typer) -> str:
    """The page in man(7)'s macros."""
    program: Any = get_command(app)
    name = program.name
    lines = [
        f'.TH {name.upper()} 1 "" "{name}" "User Commands"',
        ".SH NAME",
        rf"{_escaped(name)} \- run language models with conditional memory",
        ".SH SYNOPSIS",
        f".B {_escaped(name)}",
        r".I COMMAND",
        r"[\fIMODEL\fR] [\fIOPTIONS\fR]",
        ".SH DESCRIPTION",
        _escaped(program.help),
        ".SH COMMANDS",
    ]
    for command_name, command in program.commands.items():
        lines += _command(command_name, command)
    lines += [
        ".SH EXIT STATUS",
        "0: done; 1: it failed, and one line on stderr says what and what to do; 2: wrong usage.",
    ]
    return "\n".join(lines) + "\n"


def _command(name: str, command: Any) -> Iterator[str]:
    text, _, examples = command.help.partition("\b\nExamples:\n")
    examples = textwrap.dedent(examples)
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    yield rf".SS {_escaped(name)} " + " ".join(p.metavar if p.required else f"[{p.metavar}]" for p in arguments)
    for paragraph in text.strip().split("\n\n"):
        yield from (".PP", _escaped(" ".join(paragraph.split())))
    for p in command.params:
        if p.name != "help":
            names = p.metavar if p.param_type_name == "argument" else ", ".join(p.opts)
            metavar = p.metavar if p.param_type_name != "argument" and p.metavar else ""
            default = "" if p.default in (None, False) else f" Default: {p.default}."
            yield from (".TP", rf"\fB{_escaped(names)}\fR \fI{_escaped(metavar)}\fR".removesuffix(r" \fI\fR"))
            yield _escaped(f"{p.help}{default}")
    if examples.strip():
        yield from (".PP", ".nf", ".RS", *map(_escaped, examples.strip().splitlines()), ".RE", ".fi")


def _escaped(text: str) -> str:
    r"""Text as roff reads it: a dash that can be copied, no macro at the start of a line."""
    text = text.replace("\\", r"\e").replace("-", r"\-")
    return r"\&" + text if text.startswith((".", "'")) else text


def main() -> None:
    from engram_local.cli import make_app

    app = make_app()
    if sys.argv[1:2] == ["--check"]:
        if Path(sys.argv[2]).read_text(encoding="utf-8") != man_page(app):
            sys.exit(f"{sys.argv[2]} is stale: python -m engram_local.commands.man > {sys.argv[2]}")
    else:
        print(man_page(app), end="")


if __name__ == "__main__":
    main()
