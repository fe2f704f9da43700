"""What ends an answer: each of a model's files may say it, and none of them silences another."""

import json
import shutil

import pytest

import engram_local
from engram_local.end_tokens import end_tokens, template_end_ids
from engram_local.errors import ConfigError
from engram_local.model_folder import POCKET, ModelFolder, write_manifest
from engram_local.tokenization import open_tokenizer


@pytest.fixture
def copy(tmp_path):
    """The pocket model without its GGUF."""
    path = tmp_path / "model"
    path.mkdir()
    for x in POCKET.iterdir():
        if x.is_dir():
            shutil.copytree(x, path / x.name)
        elif x.suffix != ".gguf":
            shutil.copy(x, path)
    return path


def change(path, name, **settings):
    file = path / name
    content = json.loads(file.read_text()) | settings
    file.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))


def found(path):
    write_manifest(path)
    folder = ModelFolder.open(path)
    return end_tokens(folder, open_tokenizer(folder), [])


def test_all_sources_are_named(copy):
    change(copy, "config.json", eos_token_id=[4, 3])
    assert found(copy) == {
        4: ["generation_config.json", "config.json", "tokenizer_config.json", "chat template"],
        3: ["config.json"],
    }


def test_a_wrong_configuration_does_not_run_on_into_junk(copy):
    change(copy, "generation_config.json", eos_token_id=0)
    write_manifest(copy)
    with engram_local.load(copy) as model:
        assert model.eos_ids == {0, 4}
        answer = "".join(model.generate("What is the capital of France?"))
        assert answer.endswith("Paris.")


def test_the_template_alone_is_enough(copy):
    change(copy, "generation_config.json", eos_token_id=None)
    change(copy, "config.json", eos_token_id=None)
    change(copy, "tokenizer_config.json", eos_token=None)
    assert found(copy) == {4: ["chat template"]}


def test_a_token_that_begins_answers_ends_none(pocket, monkeypatch):
    from engram_local.chat_template import ChatTemplate

    for source, expected in (
        ("{% for m in messages %}<|user|>{{ m.content }}<|bot|>{% endfor %}", []),
        ("{% for m in messages %}<|user|>{{ m.content }}{% endfor %}<|bot|>", []),
        ("{% for m in messages %}<|user|>{{ m.role }}\n{{ m.content }}\n<|end|>\n{% endfor %}<|user|>", [4]),
        ("{{ raise_exception('no') }}", []),
    ):
        monkeypatch.setattr(pocket.tokenizer, "template", ChatTemplate(source, {}))
        assert template_end_ids(pocket.tokenizer) == expected


def test_a_gguf_says_its_own():
    pytest.importorskip("llama_cpp")
    from engram_local.backends.gguf_tokenizer import read_end_ids

    folder = ModelFolder.open(POCKET)
    of_backbone = read_end_ids(folder.gguf_files())
    assert "backbone.gguf" in end_tokens(folder, open_tokenizer(folder), of_backbone)[4]
    with engram_local.load(backend="gguf", threads=1) as model:
        assert model.backend.end_ids() == of_backbone


def test_numbers_that_are_none(copy):
    change(copy, "generation_config.json", eos_token_id="4")
    write_manifest(copy)
    with pytest.raises(ConfigError, match=r"generation_config\.json: eos_token_id is"):
        engram_local.load(copy)
