"""The groups of options, and where a setting comes from: typed, a variable, the configuration file. The table of all
options is in test_options.py."""

import json

import pytest
import typer
from typer.testing import CliRunner

from engram_local.cli import main, make_app, options_of_verbs
from engram_local.commands.chat import chat
from engram_local.commands.options import LoadOptions, SamplingOptions, command, names_of
from engram_local.commands.settings import config_file

# option: (spellings, text, value)
OPTIONS = {
    "temperature": (("--temperature", "--temp"), "0.25", 0.25),
    "top_k": (("--top-k",), "7", 7),
    "top_p": (("--top-p",), "0.5", 0.5),
    "min_p": (("--min-p",), "0.125", 0.125),
    "repetition_penalty": (("--repetition-penalty", "--repeat-penalty"), "1.5", 1.5),
    "seed": (("--seed", "-s"), "3", 3),
    "backend": (("--backend",), "onnx", "onnx"),
    "threads": (("--threads", "-t"), "2", 2),
    "gpu_layers": (("--gpu-layers",), "5", 5),
    "no_memory": (("--no-memory",), None, True),
    "table_access": (("--table-access",), "mmap", "mmap"),
    "ram_limit": (("--ram-limit",), "1GiB", "1GiB"),
    "context": (("--context", "--ctx", "--ctx-size", "-c"), "64", 64),
    "verbose": (("--verbose",), None, True),
}
EVERY = [(name, flag) for name, (flags, _, _) in OPTIONS.items() for flag in flags]


@pytest.fixture
def probe():
    """A program with one verb, which tells what it was given."""
    given = {}

    @command()
    def verb(*, sampling: SamplingOptions, loading: LoadOptions) -> None:
        given.update(vars(sampling) | vars(loading))

    program = typer.Typer()
    program.command()(verb)

    def run(*arguments, **kwargs):
        given.clear()
        result = CliRunner().invoke(program, list(arguments), **kwargs)
        assert result.exit_code == 0, result.output
        return dict(given)

    return run


def test_the_table_is_complete():
    assert set(OPTIONS) == set(names_of(SamplingOptions, LoadOptions))


@pytest.mark.parametrize(("name", "flag"), EVERY)
def test_every_spelling(probe, name, flag):
    _, text, value = OPTIONS[name]
    given = probe(flag, *([] if text is None else [text]))
    assert given.pop(name) == value
    assert given == {k: v for k, v in names_of(SamplingOptions, LoadOptions).items() if k != name}


def write_config(text):
    config_file().parent.mkdir(parents=True, exist_ok=True)
    config_file().write_text(text)


def run_main(monkeypatch, capsys, *arguments):
    monkeypatch.setattr("sys.argv", ["engram-local", *arguments])
    monkeypatch.setattr("engram_local.cli.open_streams", lambda: None)
    with pytest.raises(SystemExit) as left:
        main()
    return left.value.code, *capsys.readouterr()


def test_the_file_and_what_comes_before_it(monkeypatch, capsys):
    write_config('max-tokens = 2\nno_memory = true\n[generate]\nprompt = "What is the capital of France?"\n')
    code, out, _ = run_main(monkeypatch, capsys, "generate", "--json")
    answer = json.loads(out)
    assert (code, answer["n_generated"], answer["memory"]) == (0, 2, False)
    monkeypatch.setenv("ENGRAM_LOCAL_MAX_TOKENS", "3")
    assert json.loads(run_main(monkeypatch, capsys, "generate", "--json")[1])["n_generated"] == 3
    assert json.loads(run_main(monkeypatch, capsys, "generate", "--json", "-n", "4")[1])["n_generated"] == 4


def test_config_prints_what_is_in_force(monkeypatch, capsys):
    write_config('temperature = 0.5\nthreads = 3\n[chat]\nsystem = "Be short."\n')
    monkeypatch.setenv("ENGRAM_LOCAL_THREADS", "2")
    shown = json.loads(run_main(monkeypatch, capsys, "config", "--json")[1])
    assert shown["file"] == str(config_file())
    assert shown["settings"]["threads"] == {"value": "2", "from": "ENGRAM_LOCAL_THREADS"}
    assert shown["settings"]["temperature"] == {"value": 0.5, "from": str(config_file())}
    assert shown["settings"]["system"]["value"] == "Be short."
    assert shown["settings"]["top_k"] == {"value": None, "from": "default"}
    code, out, _ = run_main(monkeypatch, capsys, "config")
    assert code == 0 and "ENGRAM_LOCAL_THREADS" in out


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("temprature = 1\n", "no option is called temprature"),
        ("[chat]\nrounds = 1\n", "no option is called [chat] rounds"),
        ("[talk]\nthreads = 1\n", "no option is called [talk] threads"),
        ("threads = = 1\n", "is not TOML"),
        ('threads = "many"\n', "--threads"),
    ],
)
def test_a_wrong_file_is_named(monkeypatch, capsys, text, complaint):
    write_config(text)
    code, _, err = run_main(monkeypatch, capsys, "generate", "--prompt", "x")
    assert code in (1, 2) and complaint in err


def test_a_named_file_must_be_there(monkeypatch, capsys):
    monkeypatch.setenv("ENGRAM_LOCAL_CONFIG", "/nowhere/config.toml")
    code, _, err = run_main(monkeypatch, capsys, "inspect")
    assert code == 1 and "/nowhere/config.toml: no such file" in err


def test_a_model_by_option_and_twice(tmp_path):
    result = CliRunner().invoke(make_app(), ["inspect", "-m", str(tmp_path / "none")])
    assert result.exit_code == 1 and "no such folder" in str(result.exception)
    assert CliRunner().invoke(make_app(), ["inspect", "a", "--model", "b"]).exit_code == 2


def test_suggestions_find_the_names():
    for typed, meant in (("--tempp", "--temp"), ("--max-token", "--max-tokens"), ("--n-predct", "--n-predict")):
        output = CliRunner().invoke(make_app(), ["generate", typed, "1"]).output
        assert meant in output


def test_every_verb_has_debug():
    assert all("debug" in names for names in options_of_verbs().values())
    assert chat.__name__ == "chat"


def test_a_prompt_from_a_file(tmp_path):
    (tmp_path / "q.txt").write_text("What is the capital of France?\n")
    assert "Paris" in CliRunner().invoke(make_app(), ["generate", "-f", str(tmp_path / "q.txt")]).stdout
    assert CliRunner().invoke(make_app(), ["generate", "-f", "x", "-p", "y"]).exit_code == 2
    assert "cannot be read" in str(CliRunner().invoke(make_app(), ["generate", "-f", str(tmp_path)]).exception)
