"""Whatever a folder's small files hold, the answer is one line that names a file; never "a fault of engram-local".

Each value of each JSON file is replaced by what does not belong there, one at a time; then the model is opened, looked
at and asked. A wrong value that is never used may pass.
"""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
from tiny_model import make_tiny_model

import engram_local
from engram_local.commands.inspection import describe
from engram_local.errors import EngramError
from engram_local.model_folder import ModelFolder, write_manifest
from engram_local.verification import verify

WRONG = (None, True, -1, 0, 10**30, 1.5, float("nan"), "4", "", [], [None], [[]], {}, {"a": "b"}, "x" * 5000)
TEMPLATE = "{{ bos_token }}{% for m in messages %}{{ m.content }} {% endfor %}"
GENERATION = {"eos_token_id": 1, "do_sample": True, "temperature": 0.7, "top_k": 5, "top_p": 0.9, "min_p": 0.1}
GENERATION |= {"repetition_penalty": 1.1, "max_new_tokens": 9}
TOKENIZER = {"eos_token": "w1", "bos_token": {"content": "w2"}, "model_max_length": 90, "chat_template": TEMPLATE}


def places(value, way=()):
    """Every place in a JSON value, the value itself included."""
    yield way
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(items)[:4]:
        yield from places(inner, (*way, key))


def replaced(value, way, new):
    if not way:
        return new
    result = copy.deepcopy(value)
    holder = result
    for key in way[:-1]:
        holder = holder[key]
    holder[way[-1]] = new
    return result


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = make_tiny_model(tmp_path_factory.mktemp("hostile") / "model")
    (path / "generation_config.json").write_text(json.dumps(GENERATION))
    (path / "tokenizer_config.json").write_text(json.dumps(TOKENIZER))
    write_manifest(path)
    return path


def use(path: Path) -> None:
    """What `inspect`, `generate` and `verify` do."""
    describe(ModelFolder.open(path))
    with engram_local.load(path, threads=1) as model:
        "".join(model.generate("w1 w2", max_tokens=2, seed=0))
        "".join(model.generate("w1 w2", raw=True, max_tokens=2))


def attempt(path: Path) -> str:
    try:
        use(path)
    except EngramError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", ["config.json", "generation_config.json", "tokenizer_config.json", "tokenizer.json"])
def test_wrong_values_are_one_error(folder, name):
    file = folder / name
    good = file.read_text()
    value = json.loads(good)
    rng = np.random.default_rng(0)
    every = [(way, wrong) for way in places(value) for wrong in WRONG]
    chosen = every if len(every) < 400 else [every[i] for i in rng.choice(len(every), 400, replace=False)]
    try:
        for way, wrong in chosen:
            file.write_text(json.dumps(replaced(value, way, wrong)))
            write_manifest(folder)
            complaint = attempt(folder)
            assert "\n" not in complaint and len(complaint) < 1000, (way, wrong, complaint)
    finally:
        file.write_text(good)
        write_manifest(folder)


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("tokenizer_config.json", "[]", "tokenizer_config.json: not a JSON object"),
        ("tokenizer_config.json", "{", "tokenizer_config.json: is not JSON"),
        ("generation_config.json", "[]", "generation_config.json: not a JSON object"),
        ("generation_config.json", '{"eos_token_id": "1"}', "generation_config.json: eos_token_id is"),
        (
            "generation_config.json",
            '{"do_sample": true, "temperature": "0.7"}',
            "generation_config.json: temperature is",
        ),
        ("generation_config.json", '{"repetition_penalty": 1e9}', "generation_config.json: repetition_penalty is"),
        ("tokenizer.json", "{}", "tokenizer.json: not a tokenizer"),
        ("tokenizer.json", "\udcff", "tokenizer.json: not a tokenizer"),
        ("chat_template.jinja", "{{" + "(" * 3000 + "1" + ")" * 3000 + "}}", "chat_template.jinja: the chat template"),
        ("chat_template.jinja", "\udcff", "chat_template.jinja: cannot be read"),
        ("chat_template.jinja", "{{ 'a' * 10**10 }}", "chat_template.jinja: the chat template failed"),
        ("chat_template.jinja", "{{ raise_exception('their words') }}", "their words"),
    ],
)
def test_damage_is_named(tiny_copy, name, content, complaint):
    (tiny_copy / name).write_bytes(content.encode("utf-8", "surrogateescape"))
    write_manifest(tiny_copy)
    assert complaint in attempt(tiny_copy)


def test_names_of_the_graph_that_are_no_text_are_damage(tiny_copy, capfd):
    path = tiny_copy / "backbone.onnx"
    path.write_bytes(path.read_bytes().replace(b"input_ids", b"\xffnput_ids"))
    write_manifest(tiny_copy)
    with pytest.raises(EngramError, match=r"backbone\.onnx"):
        engram_local.load(tiny_copy, backend="onnx")
    assert capfd.readouterr().out == ""


def test_files_that_the_manifest_does_not_list_are_ignored(tiny_copy):
    def answer():
        with engram_local.load(tiny_copy, threads=1) as model:
            assert model.tokenizer.template is None and model.tokenizer.max_length is None
            return "".join(model.generate("w1 w2", raw=True, max_tokens=8)), model.eos_ids

    before = answer()
    (tiny_copy / "generation_config.json").write_text('{"eos_token_id": [1, 2, 3], "do_sample": true}')
    (tiny_copy / "chat_template.jinja").write_text(TEMPLATE)
    (tiny_copy / "tokenizer_config.json").write_text('{"model_max_length": 5}')
    (tiny_copy / "backbone.gguf").write_bytes(b"no GGUF")
    assert answer() == before
    assert not ModelFolder.open(tiny_copy).has_gguf
    notes = {x.file for x in verify(tiny_copy) if x.ok is None and "not in the manifest" in x.text}
    assert notes == {"generation_config.json", "chat_template.jinja", "tokenizer_config.json", "backbone.gguf"}


def test_a_file_that_config_names_and_the_manifest_does_not_is_refused(tiny_copy):
    manifest = json.loads((tiny_copy / "manifest.json").read_text())
    del manifest["files"]["token_map.safetensors"]
    (tiny_copy / "manifest.json").write_text(json.dumps(manifest))
    assert "manifest.json does not list it" in attempt(tiny_copy)


def test_verify_loads_nothing_that_was_altered(tiny_copy, monkeypatch):
    data = bytearray((tiny_copy / "backbone.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (tiny_copy / "backbone.onnx").write_bytes(data)
    monkeypatch.setattr("engram_local.model.load", lambda *_, **__: pytest.fail("loaded"))
    findings = list(verify(tiny_copy))
    assert [x.file for x in findings if x.ok is False] == ["backbone.onnx"]
    assert "not loaded, for backbone.onnx was altered" in [x.text for x in findings if x.ok is None]


def test_verify_without_llama_cpp_is_a_note(monkeypatch, tmp_path):
    from engram_local.model_folder import POCKET

    (tmp_path / "llama_cpp.py").write_text("raise ImportError('it is not installed')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))  # verify loads a backbone in a process of its own
    findings = list(verify(POCKET))
    assert all(x.ok is not False for x in findings), findings
    (note,) = [x for x in findings if x.file == "backbone.gguf" and x.ok is None]
    assert note.text.startswith("not checked: GGUF needs llama-cpp-python")
