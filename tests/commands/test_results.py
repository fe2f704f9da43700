"""What commands tell scripts: --json, --output, --progress json and the line to paste, the same on each of them."""

import json
import shlex

import pytest
from tiny_gguf import make_tiny_gguf
from tiny_model import make_tiny_model
from tiny_qwen4 import write_qwen4
from typer.testing import CliRunner

from engram_local.cli import make_app, options_of_verbs
from engram_local.commands.terminal import check_writable
from engram_local.errors import UsageError
from engram_local.tools.export.example import make_checkpoint

READERS = {
    "inspect": (["inspect", "{model}"], "model"),
    "inspect --rows": (["inspect", "{model}", "--rows", "w1 w2"], "rows"),
    "inspect --gate": (["inspect", "{model}", "--gate", "w1 w2"], None),
    "verify": (["verify", "{model}"], "ok"),
    "warm": (["warm", "{model}"], "read"),
    "list": (["list"], "models"),
    "bench": (["bench", "{model}", "--rounds", "1", "--prompt-tokens", "2", "--tokens", "2"], "decode_tok_s"),
}
MAKERS = {
    "export": (["export", "{checkpoint}", "{out}"], "tables", "chat"),
    "quantize": (["quantize", "{model}", "{out}", "--tables", "int8"], "tables", "chat"),
    "pack": (["pack", "{model}", "{out}"], "bytes", "unpack"),
    "unpack": (["unpack", "{archive}", "{out}"], "out", "chat"),
    "attach": (["attach", "{gguf}", "{gguf_model}", "{out}"], "gguf", "chat"),
    "link": (["link", "{qwen}", "{out}"], "table", "chat"),
}
ALL = {name: x[:2] for name, x in (READERS | MAKERS).items()}


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A folder whose name must be quoted, and in it what the commands take."""
    folder = tmp_path_factory.mktemp("it's a test")
    made = {"model": make_tiny_model(folder / "model"), "archive": folder / "model.tar.zst"}
    assert CliRunner().invoke(make_app(), ["pack", str(made["model"]), str(made["archive"])]).exit_code == 0
    return folder, made


def invoke(places, arguments, *more, code=0):
    folder, made = places
    if "{checkpoint}" in arguments and "checkpoint" not in made:
        for module in ("torch", "onnxruntime_genai"):
            pytest.importorskip(module)
        made["checkpoint"] = make_checkpoint(folder / "checkpoint")
    if any(x in ("{gguf}", "{gguf_model}", "{qwen}") for x in arguments):
        pytest.importorskip("llama_cpp")
        if "gguf_model" not in made:
            made["gguf_model"] = make_tiny_gguf(folder / "with gguf")
            made["gguf"] = made["gguf_model"] / "backbone.gguf"
            (made["qwen"],) = write_qwen4(folder / "qwen.gguf")
    out = folder / f"out {len(list(folder.iterdir()))}"
    given = [x.format(out=out, **made) for x in arguments]
    result = CliRunner().invoke(make_app(), [*given, *map(str, more)])
    assert result.exit_code == code, (result.output, result.exception)
    return out, result


@pytest.mark.parametrize("name", ALL)
def test_json_is_one_object_on_stdout(places, name):
    arguments, key = ALL[name]
    _, result = invoke(places, arguments, "--json")
    told = json.loads(result.stdout)
    assert result.stdout.count("\n") == 1 and (key is None or key in told)


@pytest.mark.parametrize("name", ALL)
def test_output_writes_it_and_people_get_their_text(places, name, tmp_path):
    arguments, key = ALL[name]
    _, result = invoke(places, arguments, "--output", tmp_path / "told.json")
    told = json.loads((tmp_path / "told.json").read_text())
    assert key is None or key in told
    assert not result.stdout.startswith("{") and not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize("name", ALL)
def test_a_place_that_cannot_be_written_is_refused_before_the_work(places, name, tmp_path):
    out, result = invoke(places, ALL[name][0], "--output", tmp_path / "none" / "told.json", code=1)
    assert "cannot be written: there is no folder" in str(result.exception)
    assert not out.exists() and result.stdout == ""


@pytest.mark.parametrize("name", MAKERS)
def test_the_line_to_paste(places, name):
    arguments, _, verb = MAKERS[name]
    out, result = invoke(places, arguments)
    command = result.stderr.splitlines()[-1].rpartition("engram-local ")[2]
    assert shlex.split(command)[:2] == [verb, str(out)], result.stderr


@pytest.mark.parametrize("name", ["export", "quantize", "pack", "unpack", "verify"])
def test_progress_as_json_lines(places, name):
    _, result = invoke(places, ALL[name][0], "--progress", "json")
    lines = [json.loads(x) for x in result.stderr.splitlines() if x.startswith("{")]
    assert lines and all(set(x) == {"what", "done", "total", "unit"} for x in lines)
    _, result = invoke(places, ALL[name][0], "--progress", "none")
    assert "{" not in result.stderr


@pytest.mark.parametrize("name", MAKERS)
def test_a_place_for_the_result_is_checked_before_the_work(places, name, tmp_path):
    (tmp_path / "file").write_text("")
    arguments = [str(tmp_path / "file" / "out") if x == "{out}" else x for x in MAKERS[name][0]]
    told = str(invoke(places, arguments, code=1)[1].exception)
    assert told == f"{tmp_path / 'file' / 'out'}: cannot be made: {tmp_path / 'file'} is a file; choose another place"


def test_which_commands_have_them():
    verbs = options_of_verbs()
    makers = {"export", "quantize", "attach", "link", "pack", "unpack"}
    assert {x for x, names in verbs.items() if "output" in names} >= {"inspect", "verify", "warm", "bench", *makers}
    assert all("json_output" in names for names in verbs.values() if "output" in names)
    assert {x for x, names in verbs.items() if "progress" in names} >= {"verify", "warm", "bench", *makers} - {"link"}


def test_where_a_file_can_be_written(tmp_path):
    check_writable(tmp_path / "new")
    for path, complaint in ((tmp_path, "it is a folder"), (tmp_path / "a" / "b", "there is no folder")):
        with pytest.raises(UsageError, match=complaint):
            check_writable(path)


def test_an_archive_on_stdout_has_no_room_for_more(places):
    for option in (["--json"], ["--output", "x"]):
        _, result = invoke(places, ["pack", "{model}", "-"], *option, code=2)
        assert "- is stdout" in result.output
