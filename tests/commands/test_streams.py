"""Standard streams as pipes, shells and terminals hand them over: any encoding, closed, full, cut off, or a screen."""

import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engram_local.commands.terminal import typed
from engram_local.foreign_text import clean, cleaned
from engram_local.model_folder import POCKET, write_manifest

FRANCE, GOLD = "What is the capital of France?", "What is the atomic number of gold?"
COMMAND = [sys.executable, "-m", "engram_local.cli"]
NARROW = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def run(*arguments, text=b"", env=None, **options):
    """Run the program; returns (exit code, stdout, stderr) in bytes."""
    data = text.encode() if isinstance(text, str) else text
    command = [*COMMAND, *(x if isinstance(x, bytes) else str(x) for x in arguments)]
    done = subprocess.run(
        command, input=data, capture_output=True, timeout=60, env={**os.environ, **(env or {})}, **options
    )
    return done.returncode, done.stdout, done.stderr


def in_terminal(*arguments):
    """What the program writes on a terminal that is both its stdout and stderr."""
    main, side = pty.openpty()
    process = subprocess.Popen([*COMMAND, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=side, stderr=side)
    os.close(side)
    seen = b""
    while select.select([main], [], [], 60)[0]:
        try:
            data = os.read(main, 65536)
        except OSError:
            break
        if not data:
            break
        seen += data
    process.wait(60)
    os.close(main)
    return process.returncode, seen


def test_clean_leaves_no_control_character():
    everything = "".join(map(chr, range(0x11000)))
    left = clean(everything)
    assert not any((ord(c) < 32 and c not in "\n\t") or 127 <= ord(c) < 160 or 0xD800 <= ord(c) < 0xE000 for c in left)
    assert clean("é日😀") == "é日😀"
    assert cleaned({"a\x1b": ["b\x9b", 1, None]}) == {"a": ["b", 1, None]}


def test_typed_text_is_utf8():
    assert typed("é😀") == "é😀"
    assert typed(os.fsdecode(b"a\xff b")) == "a\ufffd b"
    assert typed("a\ud83d") == "a\ufffd"


@pytest.mark.parametrize("env", [NARROW, {"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "latin-1"}], ids=str)
def test_any_locale_reads_and_writes_utf8(env):
    question = "ünïcödé 😀 日本語?"
    plain = json.loads(run("generate", "--raw", "--json", "--max-tokens", 1, "--prompt", question)[1])
    for options in ({}, {"env": env}):
        given = run("generate", "--raw", "--json", "--max-tokens", 1, "--prompt", question, **options)
        piped = run("generate", "--raw", "--json", "--max-tokens", 1, text=question, **options)
        assert json.loads(given[1])["token_ids"] == json.loads(piped[1])["token_ids"] == plain["token_ids"]
        assert (given[0], given[2]) == (0, b"")
    code, out, err = run("inspect", "--rows", question, env=env)
    assert (code == 0 and "日".encode() in out) or b"\\ufffd" in out or "�".encode() in out, err


def test_text_that_is_no_utf8_is_read_with_replacements():
    code, out, err = run("chat", text=FRANCE.encode() + b"\n\xff\xfe broken \x80\n" + GOLD.encode() + b"\n")
    assert (code, err) == (0, b"")
    assert out.count(b"\n") == 3 and b"Paris" in out and b"79" in out
    code, out, _ = run("generate", "--prompt", b"What is the capital of France\xff?")
    assert code == 0 and out.decode()


def test_a_folder_whose_name_is_no_utf8(tiny_copy, tmp_path):
    odd = os.fsencode(tmp_path) + b"/odd\xff\x1b[2Jname"
    os.rename(tiny_copy, odd)
    for verb, *options in (["inspect"], ["inspect", "--json"], ["verify"], ["warm"], ["generate", "--prompt", "w1"]):
        code, out, err = run(verb, odd, *options)
        assert code == 0 or (code, err.count(b"\n")) == (1, 1), err
        assert b"a fault of" not in err and b"\x1b" not in err, err
        out.decode(), err.decode()
    code, _, err = run("chat", odd + b"x")
    assert code == 1 and err.count(b"\n") == 1 and b"no such folder" in err


@pytest.mark.parametrize("closed", ["0<&-", "2>&-", "0<&- 2>&-"])
def test_closed_streams(closed):
    command = f"{' '.join(COMMAND)} generate --prompt '{FRANCE}' {closed}"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "The capital of France is Paris.\n")


def test_a_closed_stdout_is_said_before_the_work(tmp_path):
    for arguments in (f"generate --prompt '{FRANCE}'", "chat", "inspect", "pack engram_local/pocket -"):
        command = f"{' '.join(COMMAND)} {arguments} >&-"
        done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60, input=FRANCE)
        assert done.returncode == 1
        assert done.stderr == "engram-local: stdout is closed; send it to /dev/null where nothing is wanted\n"


def test_a_closed_stderr_puts_nothing_into_what_is_written(tiny_path, tmp_path):
    archive = tmp_path / "x.tar.zst"
    command = f"{' '.join(COMMAND)} pack {tiny_path} - 2>&- > {archive}"
    assert subprocess.run(command, shell=True, timeout=60).returncode == 0
    assert run("unpack", archive, tmp_path / "out")[0] == 0
    command = f"{' '.join(COMMAND)} pack nowhere - 2>&- > {tmp_path / 'y'}"
    assert subprocess.run(command, shell=True, timeout=60).returncode == 1
    assert (tmp_path / "y").read_bytes() == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    "arguments", [["generate", "--prompt", FRANCE], ["inspect"], ["chat"], ["generate", "--json", "--prompt", "x"]]
)
def test_a_full_disk_behind_stdout_is_one_line(arguments):
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*COMMAND, *arguments], stdout=full, stderr=subprocess.PIPE, input=FRANCE.encode(), timeout=60
        )
    assert done.returncode == 1
    assert (
        done.stderr.count(b"\n") == 1
        and b"output cannot be written: " in done.stderr
        and b"No space left" in done.stderr
    )


def test_a_models_words_do_not_steer_the_terminal(tiny_copy):
    """Everywhere that something foreign is printed: names, types, a template's complaint."""
    config = json.loads((tiny_copy / "config.json").read_text())
    config["model_type"] = "evil\x1b]0;title\x07\x9b2J"
    (tiny_copy / "config.json").write_text(json.dumps(config))
    (tiny_copy / "chat_template.jinja").write_text("{{ raise_exception('\x1b[2Jboom\x9b') }}")
    (tiny_copy / "name\x1b[2J.txt").write_text("x")
    write_manifest(tiny_copy)
    for arguments in (
        ["inspect", tiny_copy],
        ["inspect", tiny_copy, "--json"],
        ["verify", tiny_copy],
        ["generate", tiny_copy, "--prompt", "x"],
        ["inspect", f"{tiny_copy}/\x1b[2Jnowhere"],
    ):
        _, seen = in_terminal(*arguments)
        assert b"\x1b[2J" not in seen and b"\x1b]0" not in seen and "\x9b".encode() not in seen, seen


def test_words_that_begin_with_a_slash_are_messages_in_a_pipe():
    code, out, err = run(
        "chat", text=f"/etc/passwd is readable by whom?\n{FRANCE}\n/memory off\n//memory off\n/quit\nx\n"
    )
    lines = out.decode().splitlines()
    assert code == 0 and err == b"Memory is off.\n"
    assert len(lines) == 3 and "Paris" in lines[1] and "Memory" not in lines[2]


def test_a_line_that_fails_fails_alone(tmp_path):
    text = (
        f"{FRANCE}\n{'and so on ' * 9999}\n{'x' * 2_000_000}\n/save {tmp_path / 'chat.json'}\n/memory maybe\n{GOLD}\n"
    )
    code, out, err = run("chat", text=text)
    lines, complaints = out.decode().splitlines(), err.decode().splitlines()
    assert code == 1
    assert len(lines) == 2 and "Paris" in lines[0] and "79" in lines[1]
    assert len(complaints) == 4 and all(x.startswith("engram-local: ") for x in complaints)
    assert list(tmp_path.iterdir()) == []


def test_a_long_stdin_is_refused_early():
    code, _, err = run("generate", text="word " * 4_000_000)
    assert code == 1 and err.count(b"\n") == 1 and b"shorten the prompt" in err


@pytest.mark.skipif(sys.platform == "win32", reason="a file in use cannot be cut there")
def test_a_backbone_cut_while_in_use_ends_in_one_line(tmp_path):
    pytest.importorskip("llama_cpp")
    folder = tmp_path / "model"
    shutil.copytree(POCKET, folder)
    process = subprocess.Popen(
        [*COMMAND, "chat", folder, "--backend", "gguf"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdin.write(FRANCE + "\n")
    process.stdin.flush()
    assert "Paris" in process.stdout.readline()
    os.truncate(folder / "backbone.gguf", 600_000)
    _, err = process.communicate(GOLD + "\n", timeout=60)
    assert (process.returncode, err.count("\n")) == (1, 1), err
    assert err.startswith(f"engram-local: {folder / 'backbone.gguf' if sys.platform == 'linux' else 'a file'} was cut")


def test_ctrl_c_while_it_loads_is_one_line():
    for wait in (0.05, 0.15, 0.25, 0.35, 0.5):
        process = subprocess.Popen(
            [*COMMAND, "chat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        time.sleep(wait)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert b"install what is missing" not in err and b"fault of engram" not in err, err


def test_no_argument_is_a_fault_of_the_program(tiny_path):
    huge = "9" * 400
    for arguments in (
        ["generate", tiny_path, "--raw", "--prompt", "w1", "--max-tokens", 1, "--threads", "99999999999999"],
        ["generate", tiny_path, "--raw", "--prompt", "w1", "--max-tokens", huge],
        ["generate", tiny_path, "--raw", "--prompt", "w1", "--context", huge],
        ["generate", tiny_path, "--raw", "--prompt", "w1", "--seed", huge],
        ["generate", tiny_path, "--raw", "--prompt", "w1", "--top-k", huge],
        ["generate", tiny_path, "--raw", "--prompt", "w1", "--ram-limit", huge],
        ["generate", tiny_path, "--raw", "--prompt", "w1", "--ram-limit", "1." + huge + "G"],
        ["generate", tiny_path, "--raw", "--prompt", "w1", "--temperature", "1e999"],
        ["generate", tiny_path, "--raw", "--prompt", "w1", "--gpu-layers", huge],
        ["generate", tiny_path, "--prompt", "x" * 100_000],
        ["generate", "a" * 5000, "--prompt", "x"],
        ["inspect", "a" * 5000],
        ["bench", tiny_path, "--table-size", huge, "--table"],
        ["bench", tiny_path, "--tokens", huge],
        ["verify", "/dev/null"],
        ["unpack", "/dev/null", "out"],
    ):
        code, _, err = run(*arguments)
        assert code in (0, 1, 2), err
        assert b"fault of engram-local" not in err and b"Traceback" not in err, err
