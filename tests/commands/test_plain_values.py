"""Values that are taken without typer are what typer makes of them, and it complains of the same as ever."""

import subprocess
import sys

import pytest
from typer.main import get_command

from engram_local.cli import make_app
from engram_local.commands.plain_values import plain

VERBS = get_command(make_app()).commands
NUMBERS = ["", " ", "0", "1", "-1", "+1", "007", " 3 ", "3.0", "0.5", ".5", "5.", "1e3", "1_000", "٣", "0x10", "inf"]
NUMBERS += ["nan", "9" * 15, "9" * 16, "9" * 30, "9999", "10000", "0.1234567891", "123456789.987654321"]
TEXTS = [*NUMBERS, "auto", "Auto", "onnx", "none", "text", "é\udcff", "a=1", "true", "False", "8GiB", "/dev/null"]


def outcome(process_value, option, ctx, value):
    """The value, spelled out, or the complaint."""
    try:
        found = process_value(ctx, value)
    except Exception as error:
        return type(error), getattr(error, "format_message", error.__str__)()
    return repr(list(found) if isinstance(found, tuple) else found)


@pytest.mark.parametrize("verb", VERBS)
def test_the_slow_way_says_the_same(verb):
    command = VERBS[verb]
    ctx = command.make_context(verb, [], resilient_parsing=True)
    ctx.resilient_parsing = False
    for option in command.params:
        texts = (None, *TEXTS, *(option.metavar or "").split("|"))
        values = [[x] if option.multiple and x is not None else x for x in texts]
        of_file = ["text", "", 5, 1.5, True, [], ["a"], ["a", 5], [["a"]], {"a": 1}]  # what TOML may say
        for value in (*values, *of_file):
            slow = outcome(type(option).process_value.__get__(option), option, ctx, value)
            assert outcome(option.process_value, option, ctx, value) == slow, (option.name, value)


def test_what_is_plain():
    parameters = VERBS["generate"].callback.__signature__.parameters
    for name, text, value in (
        ("threads", "3", 3),
        ("top_p", "0.5", 0.5),
        ("backend", "gguf", "gguf"),
        ("prompt", "x", "x"),
    ):
        assert plain(parameters[name].annotation, text) == value
    assert plain(parameters["stop"].annotation, ["a", "b"]) == ["a", "b"]
    for name, text in (("threads", "0"), ("threads", "x"), ("top_p", "1.5"), ("backend", "none"), ("threads", 3)):
        with pytest.raises(ValueError):
            plain(parameters[name].annotation, text)


def test_an_answer_needs_no_pydantic():
    code = "import sys\nfrom engram_local.cli import main\ntry: main()\nfinally: print('pydantic' in sys.modules)"
    typed = [
        "generate",
        "--prompt",
        "hello",
        "--max-tokens",
        "1",
        "--threads",
        "1",
        "--temp",
        "0.5",
        "--backend",
        "onnx",
    ]
    done = subprocess.run([sys.executable, "-c", code, *typed], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "False"), done.stderr
