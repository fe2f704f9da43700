"""The table of all options: each is typed by each of its names, set by its variable, and by a line of the configuration
file, and arrives as what it should be, alone. That an option does what it says is for the other files."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from engram_local.cli import make_app, options_of_verbs
from engram_local.commands.options import LoadOptions, SamplingOptions, names_of
from engram_local.commands.settings import PREFIX, variable

DOCS = Path(__file__).parents[2] / "docs"
VERBS = get_command(make_app()).commands
# What stands for a value in --help: (typed, value)
VALUES = {
    **dict.fromkeys("NK", ("3", 3)),
    **dict.fromkeys("TPX", ("0.5", 0.5)),
    **dict.fromkeys(("TEXT", "FILE", "FOLDER", "NAME", "REVISION", "FILE.tar.zst", "TEXTFILE"), ("some é text",) * 2),
    "SIZE": ("2GiB", "2GiB"),
    "SECONDS": ("5.5", 5.5),
    "NAME=VALUE": ("a=1", "a=1"),
}
SETTINGS = {*names_of(SamplingOptions, LoadOptions), "system", "max_tokens", "lookup", "timings", "both", "progress"}
SETTINGS |= {"api_key"}  # of serve
OTHER_VARIABLES = {"ENGRAM_LOCAL_CONFIG", "ENGRAM_LOCAL_MODELS"}  # tests/commands/test_settings.py, test_models.py

OPTIONS = [(verb, x) for verb, command in VERBS.items() for x in command.params if x.param_type_name == "option"]
OPTIONS = [(verb, x) for verb, x in OPTIONS if x.name != "help"]
SPELLED = [(verb, x, flag) for verb, x in OPTIONS for flag in x.opts]
WITH_VARIABLE = [(verb, x) for verb, x in OPTIONS if x.envvar]


def ids(value):
    return value if isinstance(value, str) else value.name


def example(option):
    """(typed, value) of an option; typed is None for a flag."""
    if option.is_flag:
        return None, True
    typed, value = VALUES.get(option.metavar) or (option.metavar.split("|")[-1],) * 2
    return typed, (value,) if option.multiple else value


def parse(verb, *arguments, **settings):
    """What the command's function would be given."""
    command = VERBS[verb]
    needed = [x for x in command.params if x.required]
    for x in needed:
        if x.param_type_name == "argument":
            arguments = (*arguments, "an argument")
        elif not any(o in arguments for o in x.opts) and x.name not in settings.get("default_map", {}):
            arguments = (*arguments, x.opts[0], example(x)[0])
    given = command.make_context(verb, list(arguments), **settings).params
    return {k: list(v) if isinstance(v, (list, tuple)) else v for k, v in given.items()}


def check(option, given, plain):
    """Only that option is another than where nothing is set."""
    wanted = example(option)[1]
    assert given[option.name] == (list(wanted) if option.multiple else wanted)
    assert {k for k in given if given[k] != plain[k]} <= {option.name}


@pytest.mark.parametrize(("verb", "option", "flag"), SPELLED, ids=ids)
def test_every_spelling(verb, option, flag):
    typed = example(option)[0]
    check(option, parse(verb, flag, *([] if typed is None else [typed])), parse(verb))


@pytest.mark.parametrize(("verb", "option"), WITH_VARIABLE, ids=ids)
def test_every_variable(verb, option, monkeypatch):
    plain = parse(verb)
    assert option.envvar == variable(option.name)
    monkeypatch.setenv(option.envvar, example(option)[0] or "1")
    check(option, parse(verb), plain)


@pytest.mark.parametrize(("verb", "option"), OPTIONS, ids=ids)
def test_every_line_of_the_file(verb, option):
    value = example(option)[1]
    check(option, parse(verb, default_map={option.name: list(value) if option.multiple else value}), parse(verb))


def test_what_is_typed_counts_before_the_variable_and_that_before_the_file(monkeypatch):
    file = {"default_map": {"threads": 5}}
    assert parse("chat", **file)["threads"] == 5
    monkeypatch.setenv(variable("threads"), "4")
    assert parse("chat", **file)["threads"] == 4
    assert parse("chat", "-t", "3", **file)["threads"] == 3


def test_every_setting_has_a_variable_and_no_name_means_two_things():
    assert {x.name for _, x in WITH_VARIABLE} == SETTINGS
    for verb, command in VERBS.items():
        flags = [flag for x in command.params if x.param_type_name == "option" for flag in x.opts]
        assert len(flags) == len(set(flags)), verb
    short = {}
    for _, x, flag in SPELLED:
        assert short.setdefault(flag, x.name) == x.name or flag in ("--table",), f"{flag} is {short[flag]} and {x.name}"
    assert options_of_verbs().keys() == VERBS.keys()


def test_every_variable_is_in_the_manual():
    """Variables that the code reads are settings, or named on the page of the terminal."""
    page = (DOCS / "chat.md").read_text(encoding="utf-8")
    package = DOCS.parent / "engram_local"
    named = set()
    for path in package.rglob("*.py"):
        named |= set(re.findall(rf"{PREFIX}[A-Z_]+[A-Z]", path.read_text(encoding="utf-8")))
    assert named - {variable(x) for x in SETTINGS} == OTHER_VARIABLES
    assert all(x in page for x in OTHER_VARIABLES)


@pytest.mark.skipif(os.name == "nt", reason="Windows' command line is UTF-16")
def test_texts_are_utf8_whatever_the_locale_says():
    command = [sys.executable, "-m", "engram_local", "inspect", "--json", "--rows", "é"]
    env = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(command, capture_output=True, timeout=60, env=env)
    assert done.returncode == 0, done.stderr
