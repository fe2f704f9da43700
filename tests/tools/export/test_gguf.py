"""Writing GGUF: what is refused, what is left behind, odd widths, shards, and vocabularies."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("llama_cpp")
import gguf
import tokenizers
import torch
from safetensors.torch import save_file

from engram_local.backends.gguf_tokenizer import GgufTokenizer
from engram_local.backends.llama_library import llama, load_model
from engram_local.errors import CheckpointError
from engram_local.tools.export import gguf as module
from engram_local.tools.export.gguf import write_backbone_gguf
from engram_local.tools.export.gguf_vocab import PRE_TOKENIZERS

WIDTH, FFN, VOCAB, N_EXPERTS = 96, 160, 300, 3
CONFIG = {
    "architectures": ["LlamaForCausalLM"], "hidden_size": WIDTH, "intermediate_size": FFN, "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": VOCAB, "max_position_embeddings": 64,
    "hidden_act": "silu", "rope_theta": 10000.0, "tie_word_embeddings": False,
}  # fmt: skip
MOE = {
    "architectures": ["Qwen3MoeForCausalLM"], "norm_topk_prob": True, "num_experts": N_EXPERTS, "head_dim": 48,
    "num_experts_per_tok": 2, "moe_intermediate_size": FFN,
}  # fmt: skip


def tensors(config: dict) -> dict:
    generator = torch.Generator().manual_seed(0)

    def weight(*shape):
        return torch.randn(*shape, generator=generator) / shape[-1] ** 0.5

    kv = WIDTH // 2
    found = {"model.embed_tokens.weight": weight(VOCAB, WIDTH), "lm_head.weight": weight(VOCAB, WIDTH)}
    found["model.norm.weight"] = torch.ones(WIDTH)
    for i in range(config["num_hidden_layers"]):
        p = f"model.layers.{i}."
        for name in ("input_layernorm", "post_attention_layernorm"):
            found[f"{p}{name}.weight"] = torch.ones(WIDTH)
        for name, n in (("q", WIDTH), ("k", kv), ("v", kv), ("o", WIDTH)):
            found[f"{p}self_attn.{name}_proj.weight"] = weight(n, WIDTH)
        if config["architectures"] == MOE["architectures"]:
            for name in ("q_norm", "k_norm"):
                found[f"{p}self_attn.{name}.weight"] = torch.ones(48)
            found[f"{p}mlp.gate.weight"] = weight(N_EXPERTS, WIDTH)
            for e in range(N_EXPERTS):
                for name, shape in (("gate", (FFN, WIDTH)), ("up", (FFN, WIDTH)), ("down", (WIDTH, FFN))):
                    found[f"{p}mlp.experts.{e}.{name}_proj.weight"] = weight(*shape)
        else:
            for name, shape in (("gate", (FFN, WIDTH)), ("up", (FFN, WIDTH)), ("down", (WIDTH, FFN))):
                found[f"{p}mlp.{name}_proj.weight"] = weight(*shape)
    return found


def make_folder(path: Path, found: dict | None = None, **changes) -> Path:
    config = CONFIG | changes
    path.mkdir()
    (path / "config.json").write_text(json.dumps(config))
    save_file(tensors(config) if found is None else found, path / "model.safetensors")
    return path


def arrays(path: Path) -> dict:
    return {t.name: np.array(t.data) for t in gguf.GGUFReader(path).tensors}


def field(path: Path, key: str):
    return gguf.GGUFReader(path).fields[key].contents()


# ---------------------------------------------------------------- weights


def test_shards_and_bfloat16_give_the_same_file(tmp_path):
    found = {name: x.to(torch.bfloat16) for name, x in tensors(CONFIG).items()}
    write_backbone_gguf(make_folder(tmp_path / "one", found), tmp_path / "one.gguf")
    write_backbone_gguf(
        make_folder(tmp_path / "float", {k: x.float() for k, x in found.items()}), tmp_path / "float.gguf"
    )
    sharded = make_folder(tmp_path / "sharded", found)
    (sharded / "model.safetensors").unlink()
    names = sorted(found)
    parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, of_file in parts.items():
        save_file({name: found[name] for name in of_file}, sharded / file)
    weight_map = {name: file for file, of_file in parts.items() for name in of_file}
    (sharded / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    write_backbone_gguf(sharded, tmp_path / "sharded.gguf")
    one = arrays(tmp_path / "one.gguf")
    for other in ("float", "sharded"):
        of_other = arrays(tmp_path / f"{other}.gguf")
        assert set(one) == set(of_other)
        assert all(np.array_equal(one[k], of_other[k]) for k in one)


def test_fused_experts_give_the_same_file(tmp_path):
    """Experts as transformers keeps them in memory (all of a block in one tensor) and as it writes them, one by one."""
    found = tensors(CONFIG | MOE)
    write_backbone_gguf(make_folder(tmp_path / "apart", found, **MOE), tmp_path / "apart.gguf")
    fused = {k: x for k, x in found.items() if ".experts." not in k}
    for i in range(2):
        p = f"model.layers.{i}.mlp.experts."
        gate, up, down = (
            torch.stack([found[f"{p}{e}.{name}_proj.weight"] for e in range(N_EXPERTS)])
            for name in ("gate", "up", "down")
        )
        fused[f"{p}gate_up_proj"], fused[f"{p}down_proj"] = torch.cat([gate, up], 1), down
    write_backbone_gguf(make_folder(tmp_path / "fused", fused, **MOE), tmp_path / "fused.gguf")
    apart, together = arrays(tmp_path / "apart.gguf"), arrays(tmp_path / "fused.gguf")
    assert set(apart) == set(together)
    assert all(np.array_equal(apart[k], together[k]) for k in apart)
    assert apart["blk.1.ffn_up_exps.weight"].shape == (N_EXPERTS, FFN, WIDTH)


@pytest.mark.parametrize(("weights", "kinds"), [("q8_0", {"Q8_0"}), ("q4_k", {"Q5_0", "Q8_0", "Q5_1", "Q4_0"})])
def test_widths_that_256_does_not_divide(tmp_path, weights, kinds):
    """llama.cpp takes a type with blocks of 32 instead of Q4_K."""
    write_backbone_gguf(make_folder(tmp_path / "base"), tmp_path / "out.gguf", weights)
    found = {t.tensor_type.name for t in gguf.GGUFReader(tmp_path / "out.gguf").tensors if len(t.shape) > 1}
    assert found <= kinds
    llama().llama_model_free(load_model(tmp_path / "out.gguf"))


def test_int8_and_int4_are_other_names(tmp_path):
    base = make_folder(tmp_path / "base")
    for ours, theirs in (("int8", "q8_0"), ("int4", "q4_k")):
        write_backbone_gguf(base, tmp_path / f"{ours}.gguf", ours)
        write_backbone_gguf(base, tmp_path / f"{theirs}.gguf", theirs)
        assert (tmp_path / f"{ours}.gguf").read_bytes() == (tmp_path / f"{theirs}.gguf").read_bytes()


# ---------------------------------------------------------------- refusals


def refused(folder: Path, match: str, weights: str = "float32", **options) -> None:
    out = folder.with_name("out.gguf")
    with pytest.raises(CheckpointError, match=match) as info:
        write_backbone_gguf(folder, out, weights, **options)
    assert "\n" not in str(info.value)
    assert [x.name for x in folder.parent.iterdir()] == [folder.name]


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"architectures": ["FalconForCausalLM"]}, "architecture FalconForCausalLM cannot be written as GGUF; known:"),
        ({"architectures": []}, "architecture none named cannot"),
        ({"hidden_act": "gelu"}, "llama graph does not have hidden_act = 'gelu'"),
        (MOE | {"norm_topk_prob": False}, "does not have norm_topk_prob = False"),
        (MOE | {"mlp_only_layers": [0]}, r"does not have mlp_only_layers = \[0\]"),
        (MOE | {"decoder_sparse_step": 2}, "does not have decoder_sparse_step = 2"),
        ({"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "rope scaling 'dynamic' cannot be written"),
    ],
)
def test_graphs_that_llama_cpp_does_not_have(tmp_path, changes, match):
    refused(make_folder(tmp_path / "base", **changes), match)


def test_unknown_weights(tmp_path):
    refused(make_folder(tmp_path / "base"), "'q3' is no weight type for GGUF; choose one of float32", "q3")


def test_a_tensor_without_a_place(tmp_path):
    found = tensors(CONFIG) | {"model.layers.0.extra.weight": torch.ones(3)}
    folder = make_folder(tmp_path / "base", found)
    refused(folder, "tensor model.layers.0.extra.weight has no place in llama.cpp's llama graph")


def test_an_override_of_nothing(tmp_path):
    folder = make_folder(tmp_path / "base")
    refused(folder, "has no tensor model.typo", overrides={"model.typo": np.ones(3, np.float32)})


def test_a_quantizer_that_fails_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setitem(module.WEIGHTS, "q8_0", ("float16", 9999))
    refused(make_folder(tmp_path / "base"), r"llama.cpp cannot quantize it", "q8_0")


# ---------------------------------------------------------------- vocabularies


def byte_level(pattern: str | None = None) -> tokenizers.Tokenizer:
    core = tokenizers.Tokenizer(tokenizers.models.BPE())
    parts = [tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pattern is None)]
    if pattern:
        parts.insert(0, tokenizers.pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated"))
    core.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(parts)
    core.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=VOCAB - 4,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(TEXTS * 3, trainer)
    return core


def sentencepiece_like() -> tokenizers.Tokenizer:
    """BPE with byte fallback and a metaspace, as Llama 2, Mistral and Gemma have it."""
    core = tokenizers.Tokenizer(tokenizers.models.BPE(byte_fallback=True, unk_token="<unk>"))
    core.normalizer = tokenizers.normalizers.Replace(" ", "\u2581")
    special = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256))]
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=VOCAB - 4, special_tokens=special, show_progress=False)
    core.train_from_iterator(TEXTS[:1], trainer)
    state = json.loads(core.to_str())
    state["added_tokens"] = [x for x in state["added_tokens"] if not x["content"].startswith("<0x")]
    core = tokenizers.Tokenizer.from_str(json.dumps(state))
    core.decoder = tokenizers.decoders.Sequence(
        [
            tokenizers.decoders.Replace("\u2581", " "),
            tokenizers.decoders.ByteFallback(),
            tokenizers.decoders.Fuse(),
        ]
    )
    return core


TEXTS = [
    "the cat sat on the mat and the dog ran to the old man",
    "It's 1984, isn't it? CamelCase & snake_case:\n\n  - caf\u00e9 \u4e16\u754c \U0001f600...",
    "   leading and trailing   ",
    "a\tb\r\nc  123456789",
]


def write_with(tmp_path: Path, core: tokenizers.Tokenizer, settings: dict | None = None) -> Path:
    folder = make_folder(tmp_path / "base")
    core.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(settings or {"bos_token": "<s>", "eos_token": "</s>"}))
    write_backbone_gguf(folder, tmp_path / "out.gguf")
    return tmp_path / "out.gguf"


def assert_tokenizes_alike(path: Path, core: tokenizers.Tokenizer) -> None:
    theirs = GgufTokenizer(path)
    for text in TEXTS:
        ids = core.encode(text, add_special_tokens=False).ids
        assert theirs.encode(text, add_special_tokens=False) == ids, text
        assert theirs.decode(ids) == core.decode(ids)
    assert [theirs.piece(i) for i in range(theirs.vocab_size)] == [
        core.id_to_token(i) for i in range(core.get_vocab_size())
    ]
    assert theirs.special["eos_token"] == "</s>"


@pytest.mark.parametrize("pattern", [None, *PRE_TOKENIZERS], ids=["gpt-2", *PRE_TOKENIZERS.values()])
def test_byte_level_vocabularies(tmp_path, pattern):
    core = byte_level(pattern)
    path = write_with(tmp_path, core)
    assert field(path, "tokenizer.ggml.pre") == ("gpt-2" if pattern is None else PRE_TOKENIZERS[pattern])
    assert_tokenizes_alike(path, core)


def test_vocabularies_made_from_sentencepiece(tmp_path):
    core = sentencepiece_like()
    path = write_with(tmp_path, core)
    assert field(path, "tokenizer.ggml.model") == "llama"
    assert_tokenizes_alike(path, core)


def test_a_tokenizer_that_llama_cpp_cannot_express_is_left_out(tmp_path):
    core = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "b": 1}, unk_token="a"))
    path = write_with(tmp_path, core)
    assert field(path, "tokenizer.ggml.model") == "none"
    llama().llama_model_free(load_model(path))


def test_a_pre_tokenizer_that_llama_cpp_does_not_know_is_left_out(tmp_path):
    """Under the name "default" stock llama.cpp would cut texts in another way, and say nothing."""
    core = byte_level(r"\p{N}{2}|[^\s\p{N}]+|\s+")
    folder = make_folder(tmp_path / "base")
    core.save(str(folder / "tokenizer.json"))
    why = write_backbone_gguf(folder, tmp_path / "out.gguf")
    assert why == "llama.cpp knows no pre-tokenizer with the pattern in tokenizer.json"
    assert field(tmp_path / "out.gguf", "tokenizer.ggml.model") == "none"
    llama().llama_model_free(load_model(tmp_path / "out.gguf"))


@pytest.mark.parametrize("kind", ["byte level", "sentencepiece"])
def test_a_tokenizer_that_llama_cpp_takes_for_another_is_found_by_trying(tmp_path, kind):
    """A normalizer that llama.cpp has not."""
    core = byte_level() if kind == "byte level" else sentencepiece_like()
    before = [core.normalizer] if core.normalizer else []
    core.normalizer = tokenizers.normalizers.Sequence([tokenizers.normalizers.Lowercase(), *before])
    folder = make_folder(tmp_path / "base")
    core.save(str(folder / "tokenizer.json"))
    why = write_backbone_gguf(folder, tmp_path / "out.gguf")
    assert why == 'llama.cpp makes other tokens of "Hello world, it\'s 20" than tokenizer.json'
    assert field(tmp_path / "out.gguf", "tokenizer.ggml.model") == "none"


def test_an_export_says_that_it_left_a_vocabulary_out(tmp_path):
    from engram_local.tools.export.example import make_checkpoint
    from engram_local.tools.export.folder import export_model
    from engram_local.tools.export.tables import report_lines

    info = export_model(make_checkpoint(tmp_path / "trained"), tmp_path / "out", backend="gguf", weights="float32")
    assert info["gguf_vocabulary"] == "left out: llama.cpp has no tokenizer of the kind WordLevel"
    assert any("backbone.gguf: its vocabulary was left out: llama.cpp has no" in x for x in report_lines(info))


def test_the_chat_template_comes_along(tmp_path):
    settings = {"eos_token": {"content": "</s>"}, "chat_template": [{"name": "default", "template": "{{ eos_token }}"}]}
    path = write_with(tmp_path, byte_level(), settings)
    assert GgufTokenizer(path).encode_chat([]) == [1]
