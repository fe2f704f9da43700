"""Reader of engram-peft's adapters: a folder with config.json and engram_adapters.safetensors, beside a base model.

What differs from the demo: head sizes start at engram_vocab_size_per_ngram // n_head_per_ngram, with the layers sorted;
multiplier i of order n meets token t - (N - 1 - i), N the largest order; the projections have no bias; a plain residual
gets the sum of the streams; added tokens keep their raw id.
"""

from pathlib import Path

from engram_local.config import MAX_LAG, EngramConfig
from engram_local.errors import CheckpointError
from engram_local.tools.checkpoints import draws
from engram_local.tools.checkpoints.blocks import engram_block, layer_block
from engram_local.tools.checkpoints.modules import ENGRAM_PEFT, read_layer, read_table
from engram_local.tools.checkpoints.tensors import Tensors, backbone_sizes, read_json, read_numbers
from engram_local.tools.checkpoints.token_maps import vocabulary_map
from engram_local.tools.checkpoints.view import CheckpointView

LAYOUT = "engram-peft"
WEIGHT_FILES = ("engram_adapters.safetensors", "engram_weights.pt")
LORA = "adapter_config.json"
INTEGERS = {
    "n_head_per_ngram": 1,
    "embedding_dim": 1,
    "hc_mult": 1,
    "conv_kernel_size": 1,
    "compressed_vocab_size": 1,
    "pad_id": 0,
    "seed": 0,
}
LISTS = {"engram_vocab_size_per_ngram": 1, "ngram_sizes": 1, "target_layers": 0}
FIXED = {"engine": "deepseek", "table_source": "memory", "table_spec": None}  # what this reader knows


def matches(path: Path) -> bool:
    """Whether `path` is such a folder."""
    return (path / "config.json").is_file() and any((path / name).is_file() for name in WEIGHT_FILES)


def read(path: Path, base: Path | None = None) -> CheckpointView:
    """`base` is the base model's folder, by default the one that the adapter names. Raises CheckpointError."""
    file = path / "config.json"
    config = read_json(file)
    check_settings(config, file)
    x = read_numbers(config, file, INTEGERS, LISTS)
    base = base or find_base(path, config)
    backbone = backbone_sizes(base)
    d, vocab_size, n_blocks = backbone["hidden_size"], backbone["vocab_size"], backbone["num_hidden_layers"]
    if config.get("hidden_size") != d:
        raise CheckpointError(
            f"{file}: hidden_size is {config.get('hidden_size')}, {base} has {d}: not its base model; give the one it "
            "was trained on as --base"
        )

    compressed = config.get("enable_tokenizer_compression", True)
    token_map, n_ids, fill_id = None, vocab_size, x["pad_id"]
    if compressed:
        token_map, n_compressed = vocabulary_map(base, vocab_size)
        if n_compressed != x["compressed_vocab_size"]:
            raise CheckpointError(
                f"{base / 'tokenizer.json'}: compresses to {n_compressed} ids, {file} says "
                f"{x['compressed_vocab_size']}: another tokenizer, so every row would be wrong; give the base model "
                "it was trained on as --base"
            )
        n_ids = int(token_map.max()) + 1
        fill_id = int(token_map[fill_id]) if 0 <= fill_id < len(token_map) else fill_id
    if not 0 <= fill_id < n_ids:
        raise CheckpointError(f"{file}: pad_id is {x['pad_id']}, not a token of {base}; correct it")

    blocks = layer_blocks(x, config, file, n_blocks)
    if not blocks:
        raise CheckpointError(
            f"{file}: target_layers are {x['target_layers']}, {base} has {n_blocks} blocks: not its base"
        )
    engram = EngramConfig.from_dict(engram_block(n_ids, fill_id, blocks, compressed), str(file))

    tensors = Tensors(next(path / name for name in WEIGHT_FILES if (path / name).is_file()))
    layers = {i.layer_id: read_layer(tensors, f"{i.layer_id}.", ENGRAM_PEFT, i, d) for i in engram.layers}
    tables = {i: read_table(tensors, f"{i}.") for i in layers}
    lora = path if (path / LORA).is_file() else None
    return CheckpointView(LAYOUT, path, base, engram, token_map, layers, tables, lora)


def layer_blocks(x: dict, config: dict, file: Path, n_blocks: int | None = None) -> list[dict]:
    """Each layer's entry in the "engram" block. x: the numbers of `config`, which was read from `file`; n_blocks: of
    the base, where it is known. Raises CheckpointError."""
    orders, heads, largest = x["ngram_sizes"], x["n_head_per_ngram"], max(x["ngram_sizes"])
    if len(x["engram_vocab_size_per_ngram"]) < len(orders) or largest > MAX_LAG + 1:
        raise CheckpointError(f"{file}: ngram_sizes {orders} and engram_vocab_size_per_ngram do not fit; correct them")
    bases = [n // heads for n in x["engram_vocab_size_per_ngram"][: len(orders)]]
    primes = draws.head_primes(sorted(x["target_layers"]), bases, heads)
    blocks = []
    for layer_id, sizes in primes.items():
        if n_blocks is not None and layer_id >= n_blocks:  # engram-peft leaves out what the base does not have
            continue
        numbers = draws.multipliers(x["seed"], layer_id, x["compressed_vocab_size"], largest)
        terms = [[[largest - 1 - i, numbers[i]] for i in range(n)] for n in orders]
        head_dim = x["embedding_dim"] // (len(orders) * heads)
        conv = x["conv_kernel_size"], config.get("conv_dilation") or largest
        blocks.append(
            layer_block(layer_id, x["hc_mult"], head_dim, orders, heads, terms, sizes, draws.offsets(sizes), conv)
        )
    return blocks


def check_settings(config: dict, file: Path) -> None:
    """CheckpointError, naming the setting, where this reader does not know what it changes."""
    for key, value in FIXED.items():
        if config.get(key, value) != value:
            raise CheckpointError(f"{file}: {key} is {str(config[key])[:60]!r}; only {value!r} can be exported")


def named_bases(path: Path, config: dict) -> list[str]:
    """What the adapter in `path` names as its base model."""
    named = [config.get("tokenizer_name_or_path"), config.get("_name_or_path")]
    if (path / LORA).is_file():
        named.insert(0, read_json(path / LORA).get("base_model_name_or_path"))
    return [x for x in named if isinstance(x, str) and x]


def find_base(path: Path, config: dict) -> Path:
    """The base model's folder that the adapter names. Raises CheckpointError where that is no folder here."""
    named = named_bases(path, config)
    for name in named:
        if (Path(name) / "config.json").is_file():
            return Path(name)
    says = f"names {named[0][:120]!r} as its base model, which is no folder here" if named else "names no base model"
    raise CheckpointError(f"{path}: {says}; give the base model's folder as --base")
