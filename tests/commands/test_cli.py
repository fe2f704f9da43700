"""The command as people type it: what it prints, where, and with which exit code."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import engram_local
from engram_local import __version__
from engram_local.cli import main, make_app, options_of_verbs

FRANCE = "What is the capital of France?"
COMMANDS = (
    *("chat", "generate", "inspect", "verify", "bench", "warm"),
    *("export", "quantize", "attach", "pack", "unpack"),
)


POCKET = str(Path(engram_local.__file__).parent / "pocket")


def invoke(*arguments, code=0, text=None):
    """Run a command in this process; returns its stdout."""
    result = CliRunner().invoke(make_app(), [str(x) for x in arguments], input=text)
    assert result.exit_code == code, (result.output, result.exception)
    return result.stdout


def run(*arguments, text="", **options):
    """Run the program; returns (exit code, stdout, stderr)."""
    command = [sys.executable, "-m", "engram_local.cli", *map(str, arguments)]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, **options)
    return done.returncode, done.stdout, done.stderr


def test_version_and_help():
    assert invoke("--version") == f"engram-local {__version__}\n"
    text = invoke("--help")
    assert all(f" {name} " in text for name in COMMANDS)
    for name in COMMANDS:
        assert f"engram-local {name}" in invoke(name, "--help"), f"{name} --help shows no example"


def test_the_shell_can_complete():
    assert "--install-completion" in invoke("--help")
    env = {**os.environ, "_ENGRAM_LOCAL_COMPLETE": "complete_bash", "COMP_WORDS": "engram-local gen", "COMP_CWORD": "1"}
    code = "from engram_local.cli import main; import sys; sys.argv = ['engram-local']; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=env)
    assert "generate" in done.stdout


def test_python_m_runs_the_command():
    command = [sys.executable, "-m", "engram_local", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout == f"engram-local {__version__}\n"


@pytest.mark.parametrize("verb", options_of_verbs())
def test_help_shows_flags_plainly_and_examples_whole(verb):
    text = invoke(verb, "--help")
    assert "<bool>" not in text and "\n  Examples:\n" in text
    examples = text.partition("  Examples:\n")[2].partition("\n\n")[0].splitlines()
    assert examples and all(re.match(r"    \S.*engram-local |    engram-local ", x) for x in examples), examples
    assert all(x.count("'") % 2 == 0 for x in examples)


def test_help_imports_nothing_heavy():
    """What makes help slow is imports; typer and rich are all it may need."""
    code = "import sys, engram_local.cli as c; c.make_app(); print([m for m in sys.modules if m.split('.')[0] in %r])"
    heavy = {"numpy", "onnxruntime", "tokenizers", "jinja2", "prompt_toolkit", "torch", "transformers", "matplotlib"}
    done = subprocess.run([sys.executable, "-c", code % heavy], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n"


def test_generate():
    answer = invoke("generate", "--prompt", FRANCE)
    assert "Paris" in answer and answer.endswith("\n")
    assert "Paris" in invoke("generate", text=FRANCE)
    assert "Paris" not in invoke("generate", "--no-memory", "--prompt", FRANCE)
    assert invoke("generate", "--prompt", FRANCE, "--stop", "Paris").strip() == answer.split("Paris")[0].strip()


def test_generate_json():
    answer = json.loads(invoke("generate", "--json", "--prompt", FRANCE, "--max-tokens", "3"))
    assert answer["finish_reason"] == "length"
    assert answer["n_generated"] == len(answer["token_ids"]) == 3
    assert (answer["memory"], answer["backend"]) == (True, "onnx")
    assert {"text", "n_prompt", "prompt_tok_s", "decode_tok_s", "model"} <= answer.keys()


def test_generate_repeats_with_a_seed():
    options = ("generate", "--prompt", FRANCE, "--temperature", "4", "--max-tokens", "12", "--seed")
    assert invoke(*options, 5) == invoke(*options, 5)
    assert len({invoke(*options, seed) for seed in range(4)}) > 1


def test_raw_continues_the_text(pocket):
    prompt = pocket.tokenizer.template.render([{"role": "user", "content": FRANCE}])
    assert invoke("generate", "--raw", "--prompt", prompt) == invoke("generate", "--prompt", FRANCE)


def test_verbose_says_what_was_chosen_on_stderr():
    code, out, err = run("generate", "--prompt", FRANCE, "--verbose", "--threads", "1")
    assert code == 0 and "Paris" in out
    assert "backend onnx (" in err and "1 threads" in err and ": access " in err and "tok/s" in err
    assert "onnxruntime" not in err and "\x1b" not in err


def test_chat_in_plain_mode():
    out = invoke("chat", text=f"{FRANCE}\n")
    assert "Paris" in out and out.count("\n") == 1
    assert "Paris" not in invoke("chat", "--no-memory", text=f"{FRANCE}\n")


def test_inspect(tiny_path):
    about = json.loads(invoke("inspect", tiny_path, "--json"))
    layer = about["engram"]["layers"][0]
    assert (layer["rows"], layer["heads"], layer["encoding"], layer["row_bytes"]) == (60, 4, "float32", 16)
    assert layer["orders"] == [{"order": 2, "heads": 2, "rows": 24}, {"order": 3, "heads": 2, "rows": 36}]
    assert layer["bytes_on_disk"] == 60 * 16
    assert about["bytes_on_disk"]["all"] == sum(
        x.stat().st_size for x in tiny_path.rglob("*") if x.is_file() and x.name != "manifest.json"
    )
    assert about["bytes_in_ram"]["context_per_token"] == 4 * (2 * 2 * 16 + 32)
    text = invoke("inspect", tiny_path)
    assert "60" in text and "2x2, 3x2" in text and "backbone.onnx" in text


def test_inspect_rows(tiny, tiny_path):
    shown = json.loads(invoke("inspect", tiny_path, "--json", "--rows", "w1 W1 w2"))
    assert (shown["pieces"], shown["ids"]) == (["w1", "W1", "w2"], [1, 1, 2])
    assert shown["rows"]["0"] == tiny.hasher.row_ids(shown["tokens"], 0).tolist()


def test_inspect_gate(pocket, tiny_path):
    text = "The capital of France is"
    shown = json.loads(invoke("inspect", "--gate", text, "--json"))
    assert [x["text"] for x in shown] == ["The", " capital", " of", " France", " is"]
    assert shown[-1]["ngram"] == text and set(shown[-1]["gates"]) == {"1", "2"}
    head, *lines = invoke("inspect", "--gate", text).splitlines()
    assert head.split() == ["token", "layer", "1", "layer", "2", "n-gram"] and len(lines) == 5
    assert lines[3].split(maxsplit=3)[0::3] == ["France", "The capital of France"]
    assert "w1 W1" in invoke("inspect", tiny_path, "--gate", "w1 W1")
    invoke("inspect", "--gate", "x", "--rows", "y", code=2)


@pytest.mark.parametrize(("access", "cache"), [("resident", "rows, no cache"), ("direct", " cache hits")])
def test_timings(access, cache):
    _, out, err = run("generate", "--prompt", FRANCE, "--timings", "--table-access", access)
    assert (
        "Paris" in out
        and err.startswith("prompt 10 tokens, first token after ")
        and err.count("\n") == 1
        and cache in err
    )
    answer = json.loads(run("generate", "--prompt", FRANCE, "--json", "--table-access", access)[1])
    evaluated = answer["n_prompt"] + answer["n_generated"] - 1
    assert answer["rows_read"] >= 16 * evaluated and answer["first_token_s"] > 0
    assert (answer["cache_hits"] is None) == (access == "resident")


def test_verify(tiny_copy):
    assert "not proven" in invoke("verify", tiny_copy)
    assert json.loads(invoke("verify", tiny_copy, "--json"))["ok"] is True
    os.truncate(tiny_copy / "backbone.onnx", 10)
    code, out, err = run("verify", tiny_copy)
    assert code == 1
    assert "BAD  backbone.onnx: has 10 bytes" in out
    assert err.count("\n") == 1 and "checks failed" in err


def test_warm(tiny_path):
    assert "tables/layer_0.safetensors: 960 B read" in invoke("warm", tiny_path)


def test_sizes_are_understood(tiny_path):
    for size in ("64M", "1GiB", "100000"):
        invoke("warm", tiny_path, "--ram-limit", size)
    code, _, err = run("warm", tiny_path, "--ram-limit", "much")
    assert code == 1 and "'much' is not a size; write 512M" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["generate", "nowhere", "--prompt", "x"], "nowhere: no such folder"),
        (["generate", "--prompt", ""], "the prompt is empty"),
        (["generate"], "the prompt is empty"),
        (["generate", "--prompt", "and so on " * 9999], "; shorten the prompt"),
        (["generate", "--prompt", "x", "--context", "99999999"], "this model takes 1 to "),
        (["generate", "--prompt", "x", "--top-p", "0"], "top_p is 0.0; give a number above 0"),
        (["chat", "nowhere"], "nowhere: no such folder"),
        (["inspect", "."], "has no manifest.json"),
        (["verify", "."], "1 of 1 checks failed"),
        (["bench", "--tokens", "99999999"], "exceed the context of "),
        (
            ["bench", "--output", "no/such/folder/f.json"],
            "f.json: cannot be written: there is no folder no/such/folder",
        ),
        (["inspect", "--output", "."], ".: cannot be written: it is a folder; name a file"),
        (["export", "nowhere", "out"], "nowhere"),
        (["export", POCKET, "out"], "is a model folder already, made to run as it is; engram-local quantize"),
        (["unpack", "nowhere.tar.zst", "out"], "nowhere.tar.zst"),
        (["pack", "nowhere", "f.tar.zst"], "nowhere"),
        (["quantize", "nowhere", "out", "--tables", "int4"], "nowhere"),
    ],
    ids=lambda x: " ".join(x)[:40] if isinstance(x, list) else "",
)
def test_what_fails_is_one_line_and_exit_code_1(arguments, message, tmp_path):
    code, _, err = run(*arguments, cwd=tmp_path)
    assert code == 1
    assert err.count("\n") == 1 and err.startswith("engram-local: ") and message in err
    assert list(tmp_path.iterdir()) == [], "nothing may be written"


def test_a_backend_that_the_folder_lacks(tiny_path):
    code, _, err = run("generate", tiny_path, "--prompt", "x", "--backend", "gguf")
    assert (code, err.count("\n")) == (1, 1) and "has no backbone.gguf; use --backend onnx" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["generate", "--nonsense"],
        ["generate", "--prompt", "x", "--threads", "0"],
        ["generate", "--prompt", "x", "--backend", "torch"],
        ["generate", "--prompt", "x", "--raw", "--system", "y"],
        ["quantize", "a"],
        ["export", "a"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_code_2(arguments):
    invoke(*arguments, code=2)


def test_debug_shows_the_traceback():
    code, _, err = run("generate", "nowhere", "--prompt", "x", "--debug")
    assert code == 1
    assert "Traceback" in err and "ModelFolderError" in err


def test_a_reader_that_leaves_is_no_error():
    command = f"{sys.executable} -m engram_local.cli inspect --rows '{'capital ' * 3000}' | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60)
    assert done.stderr == "" and done.stdout.count("\n") == 1


@pytest.mark.parametrize(("arguments", "code"), [(["--version"], 0), (["list"], 0), (["list", "x", "y"], 2), ([], 2)])
def test_a_process_ends_in_order(arguments, code):
    """Threads end and what is registered is done; nothing that was printed is lost, and nothing is taken apart."""
    program = """if True:
        import atexit, sys, threading, time
        from engram_local import cli
        class Kept:
            def __del__(self): print("taken apart", flush=True)
        def main():
            atexit.register(print, "registered")
            threading.Thread(target=lambda: (time.sleep(0.1), print("thread"))).start()
            real()
        cli.kept, real, cli.main = Kept(), cli.main, main
        cli.run()
    """
    done, plain = (
        subprocess.run([sys.executable, *before, *arguments], capture_output=True, text=True, timeout=60)
        for before in (["-c", program], ["-m", "engram_local"])
    )
    assert done.stdout == plain.stdout + "thread\nregistered\n"
    assert done.returncode == plain.returncode == code


def test_faults_of_the_program_say_so(monkeypatch, capsys):
    def fail(verbs):
        raise ZeroDivisionError("1/0")

    monkeypatch.setattr("engram_local.cli.make_app", fail)
    monkeypatch.setattr(sys, "argv", ["engram-local"])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 1
    assert "a fault of engram-local, --debug shows where" in capsys.readouterr().err


@pytest.mark.parametrize(("module", "name"), [("help", "cli.md"), ("man", "engram-local.1")])
def test_the_generated_pages_are_up_to_date(module, name, tmp_path):
    """`make lint` runs the same checks."""

    def check(page):
        command = [sys.executable, "-m", f"engram_local.commands.{module}", "--check", str(page)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    page = Path(__file__).parents[2] / "docs" / name
    assert check(page).stderr == ""
    (tmp_path / name).write_text(page.read_text() + "more\n")
    stale = check(tmp_path / name)
    assert stale.returncode == 1 and "is stale" in stale.stderr
