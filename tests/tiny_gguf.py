"""A model folder around a random Llama GGUF, small enough to make in a test: Engram layers before blocks 0 and 2 of 3.

The layers are simpler than Engram's, but read the hidden state, have a convolution with its state, and add to what they
read.
"""

import json
from pathlib import Path

import gguf
import numpy as np
import onnx
import tokenizers
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file

from engram_local.model_folder import write_manifest
from engram_local.tables.file import TableWriter
from engram_local.token_compression import compression_map

HIDDEN, HEADS, FFN, BLOCKS, CONTEXT = 32, 2, 64, 3, 256
LAYER_IDS = (0, 2)
CONV = {"kernel": 3, "dilation": 2}
N_STATE = 4
MODULI, ROW = ((11, 13), (17, 19)), 4
WIDTH = 4 * ROW
SPECIAL = ("<s>", "<end>", "<user>", "<bot>")
MERGES = (("h", "e"), ("t", "he"), ("\u0120", "t"), ("\u0120t", "he"))
TEMPLATE = "{% for m in messages %}<user>{{ m.content }}<bot>{% endfor %}"
PIECES = [*SPECIAL, *sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()), *(a + b for a, b in MERGES)]
VOCAB = len(PIECES) + 2  # two rows that no token has


def make_tiny_gguf(path: Path, layer_ids=LAYER_IDS, **of_gguf) -> Path:
    """Write the folder; `of_gguf` goes to write_gguf."""
    rng = np.random.default_rng(7)
    (path / "tables").mkdir(parents=True)
    layers = []
    for i in layer_ids:
        offset, orders = 0, []
        for order, moduli in zip((2, 3), MODULI, strict=True):
            terms = [[lag, int(rng.integers(3, 10**6)) * 2 + 1] for lag in range(order)]
            starts = [offset, offset + moduli[0]]
            orders.append({"order": order, "terms": terms, "moduli": list(moduli), "offsets": starts})
            offset += sum(moduli)
        layer = {"layer_id": i, "site": "block", "streams": 1, "head_dim": ROW, "n_rows": offset, "encoding": "float32"}
        layers.append(layer | {"table": f"tables/layer_{i}.safetensors", "conv": CONV, "orders": orders})
        with TableWriter(path / layers[-1]["table"], "float32", offset, ROW) as writer:
            writer.append(rng.standard_normal((offset, ROW)).astype(np.float32))
        onnx.save(layer_graph(i, rng), path / f"engram_layer_{i}.onnx")
    write_tokenizer(path)
    token_map = compression_map(path / "tokenizer.json")
    save_file({"token_map": token_map.astype(np.int32)}, path / "token_map.safetensors")
    block = {
        "version": 2,
        "fuse": "gated",
        "residual_streams": 1,
        "ids": {"source": "compressed", "n_ids": int(token_map.max()) + 1, "token_map": "token_map.safetensors"},
        "window": {"fill_id": 0, "segment_ids": []},
        "mix": "xor",
        "layers": layers,
    }
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": VOCAB, "hidden_size": HIDDEN}
    config |= {"num_hidden_layers": BLOCKS, "num_attention_heads": HEADS, "max_position_embeddings": CONTEXT}
    config |= {"eos_token_id": 1, "engram": block}
    (path / "config.json").write_text(json.dumps(config))
    write_gguf(path / "backbone.gguf", **of_gguf)
    write_manifest(path)
    return path


def layer_graph(layer_id: int, rng: np.random.Generator) -> onnx.ModelProto:
    """hidden + conv(sigmoid(hidden . w) * (rows @ W)), with the past of the convolution, and what tells the gate."""

    def weight(name, *shape):
        return numpy_helper.from_array((rng.standard_normal(shape) / np.sqrt(shape[0]) / 2).astype(np.float32), name)

    node, f32 = helper.make_node, TensorProto.FLOAT
    past, present = f"past_engram_conv_{layer_id}", f"present_engram_conv_{layer_id}"
    gated, value = f"engram_gated_{layer_id}", f"engram_value_{layer_id}"
    nodes = [
        node("MatMul", [f"engram_rows_{layer_id}", "rows_to_hidden"], [value]),
        node("MatMul", ["hidden", "key"], ["score"]),
        node("Sigmoid", ["score"], ["gate"]),
        node("Mul", ["gate", value], [present]),
        node("Unsqueeze", [present, "stream"], [gated]),
        node("Concat", [past, present], ["padded"], axis=1),
        node("Transpose", ["padded"], ["channels_first"], perm=[0, 2, 1]),
        node("Conv", ["channels_first", "conv"], ["mixed"], dilations=[CONV["dilation"]], group=HIDDEN),
        node("Transpose", ["mixed"], ["smoothed"], perm=[0, 2, 1]),
        node("Add", ["hidden", "smoothed"], ["hidden_out"]),
    ]

    def info(name, n, width):
        return helper.make_tensor_value_info(name, f32, ["B", n, width])

    inputs = [info("hidden", "S", HIDDEN), info(f"engram_rows_{layer_id}", "S", WIDTH), info(past, N_STATE, HIDDEN)]
    weights = [weight("rows_to_hidden", WIDTH, HIDDEN), weight("key", HIDDEN, 1), weight("conv", HIDDEN, 1, 3)]
    weights.append(numpy_helper.from_array(np.array([2]), "stream"))
    outputs = [info("hidden_out", "S", HIDDEN), info(present, "S", HIDDEN), info(value, "S", HIDDEN)]
    outputs.append(helper.make_tensor_value_info(gated, f32, ["B", "S", 1, HIDDEN]))
    graph = helper.make_graph(nodes, f"engram_layer_{layer_id}", inputs, outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def write_tokenizer(path: Path) -> None:
    vocab = {piece: i for i, piece in enumerate(PIECES)}
    core = tokenizers.Tokenizer(tokenizers.models.BPE(vocab, list(MERGES)))
    core.add_special_tokens(list(SPECIAL))
    core.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = tokenizers.decoders.ByteLevel()
    core.save(str(path / "tokenizer.json"))


def write_gguf(
    path: Path,
    *,
    arch: str = "llama",
    hidden: int = HIDDEN,
    blocks: int = BLOCKS,
    pieces: list[str] | None = PIECES,
    add_to_embedding: np.ndarray | None = None,
    uint16: dict[str, int] | None = None,
    keys: dict[str, int | list[int]] | None = None,
    tensors: dict[str, np.ndarray] | None = None,
) -> None:
    """A float32 GGUF with random weights, the same at each call. `pieces` None: without a tokenizer; `add_to_embedding`
    float32 [VOCAB, hidden]; `uint16`: more keys; `keys`: more of the architecture's own; `tensors`: not a Llama's."""
    rng = np.random.default_rng(3)
    writer = gguf.GGUFWriter(path, arch)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(hidden)
    writer.add_block_count(blocks)
    writer.add_feed_forward_length(FFN)
    writer.add_head_count(HEADS)
    if "attention.head_count_kv" not in (keys or {}):
        writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(hidden // HEADS)
    writer.add_vocab_size(VOCAB)
    writer.add_file_type(0)
    for key, value in (uint16 or {}).items():
        writer.add_uint16(key, value)
    for key, value in (keys or {}).items():
        (writer.add_array if isinstance(value, list) else writer.add_uint32)(f"{arch}.{key}", value)
    if pieces is None:
        writer.add_tokenizer_model("none")
    else:
        add_vocabulary(writer, pieces, TEMPLATE)
    for name, values in (tensors or _llama_tensors(rng, hidden, blocks, add_to_embedding)).items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_vocabulary(writer: gguf.GGUFWriter, pieces: list[str], template: str) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    n_pad = VOCAB - len(pieces)
    writer.add_token_list([*pieces, *(f"[PAD{i}]" for i in range(n_pad))])
    writer.add_token_types([3 if p in SPECIAL else 1 for p in pieces] + [5] * n_pad)
    writer.add_token_merges([" ".join(m) for m in MERGES])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_add_bos_token(False)
    writer.add_chat_template(template)


def _llama_tensors(
    rng: np.random.Generator, hidden: int, blocks: int, add_to_embedding: np.ndarray | None
) -> dict[str, np.ndarray]:
    def matrix(n: int, k: int) -> np.ndarray:
        return (rng.standard_normal((n, k)) / np.sqrt(k)).astype(np.float32)

    embedding = 3 * matrix(VOCAB, hidden)
    tensors = {"token_embd.weight": embedding if add_to_embedding is None else embedding + add_to_embedding}
    for i in range(blocks):
        for name in ("attn_norm", "ffn_norm"):
            tensors[f"blk.{i}.{name}.weight"] = np.ones(hidden, np.float32)
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            tensors[f"blk.{i}.{name}.weight"] = matrix(hidden, hidden)
        for name in ("ffn_gate", "ffn_up"):
            tensors[f"blk.{i}.{name}.weight"] = matrix(FFN, hidden)
        tensors[f"blk.{i}.ffn_down.weight"] = matrix(hidden, FFN)
    tensors["output_norm.weight"] = np.ones(hidden, np.float32)
    tensors["output.weight"] = matrix(VOCAB, hidden)
    return tensors
