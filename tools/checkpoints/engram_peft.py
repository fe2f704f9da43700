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
from engram_local.tools.checkpoints.linked_rows import LinkedRows, find_rows, read_scale, store_rows
from engram_local.tools.checkpoints.modules import ENGRAM_PEFT, read_layer, read_table
from engram_local.tools.checkpoints.qwen4_exp import head_sizes
from engram_local.tools.checkpoints.tensors import Tensors, backbone_sizes, read_json, read_numbers, residual_streams
from engram_local.tools.checkpoints.token_maps import vocabulary_map
from engram_local.tools.checkpoints.view import CheckpointView, RowSource

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
KNOWN = {  # settings whose other values this reader does not know
    "engine": (None, "deepseek", "qwen_ple"),
    "table_spec": (None, "PLE_QWEN_V1", "ENG_DEEPSEEK_V1"),
    "table_source": (None, "memory", "engramdb:store"),
}
# The engine qwen_ple hashes as Qwen3.8-Flash-Next does, whose table it reads.
PLE_MULTIPLIERS, PLE_EOS, PLE_BASE, PLE_HEADS = (23703573157769, 20109073645365, 8052911324071), 248044, 20_000_000, 8
PLE_STORE = {"table_shards": 128, "table_rows_per_shard": 2_500_012, "table_width": 160}


def matches(path: Path) -> bool:
    """Whether `path` is such a folder."""
    return (path / "config.json").is_file() and any((path / name).is_file() for name in WEIGHT_FILES)


def read(path: Path, base: Path | None = None, table: Path | None = None) -> CheckpointView:
    """`base` is the base model's folder, by default the one that the adapter names; `table`: where rows lie that the
    adapter does not hold, by default the store that it names. Raises CheckpointError."""
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

    compressed = config.get("enable_tokenizer_compression", True) and not is_ple(config)
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
    segment_ids: list[int] = []
    if is_ple(config):
        n_ids, fill_id, segment_ids = max(vocab_size, PLE_EOS + 1), PLE_EOS, [PLE_EOS]
    if not 0 <= fill_id < n_ids:
        raise CheckpointError(f"{file}: pad_id is {x['pad_id']}, not a token of {base}; correct it")

    blocks = layer_blocks(x, config, file, n_blocks)
    if not blocks:
        raise CheckpointError(
            f"{file}: target_layers are {x['target_layers']}, {base} has {n_blocks} blocks: not its base"
        )
    tensors = Tensors(next(path / name for name in WEIGHT_FILES if (path / name).is_file()))
    rows = None
    if table is not None or config.get("table_source") == "engramdb:store":
        rows = find_rows(table) if table is not None else _store(path, config, file)
        for block in blocks:
            block["padding_rows"] = rows.n_rows - block["n_rows"]
            if block["padding_rows"] < 0 or rows.dim != block["head_dim"]:
                raise CheckpointError(
                    f"{table or config.get('table_store_path')}: holds {rows.n_rows} rows of {rows.dim} values, {file} "
                    f"needs {block['n_rows']} of {block['head_dim']}"
                )
            block["n_rows"] = rows.n_rows
    streams = residual_streams(base)
    if streams not in (1, x["hc_mult"]):
        raise CheckpointError(f"{file}: hc_mult is {x['hc_mult']}, the residual of {base} has {streams} streams")
    block = engram_block(n_ids, fill_id, blocks, compressed, segment_ids=segment_ids, residual_streams=streams)
    engram = EngramConfig.from_dict(block, str(file))
    layers = {i.layer_id: read_layer(tensors, f"{i.layer_id}.", ENGRAM_PEFT, i, d) for i in engram.layers}
    tables: dict[int, RowSource] = {i: rows or read_table(tensors, f"{i}.") for i in layers}
    lora = path if (path / LORA).is_file() else None
    return CheckpointView(LAYOUT, path, base, engram, token_map, layers, tables, lora)


def layer_blocks(x: dict, config: dict, file: Path, n_blocks: int | None = None) -> list[dict]:
    """Each layer's entry in the "engram" block. x: the numbers of `config`, which was read from `file`; n_blocks: of
    the base, where it is known. Raises CheckpointError."""
    orders, heads, largest = x["ngram_sizes"], x["n_head_per_ngram"], max(x["ngram_sizes"])
    if len(x["engram_vocab_size_per_ngram"]) < len(orders) or largest > MAX_LAG + 1:
        raise CheckpointError(f"{file}: ngram_sizes {orders} and engram_vocab_size_per_ngram do not fit; correct them")
    if is_ple(config):
        (layer_id,) = x["target_layers"]
        primes = {layer_id: config.get("prime_sizes") or head_sizes(PLE_BASE, 0, 2 * PLE_HEADS)}
    else:
        bases = [n // heads for n in x["engram_vocab_size_per_ngram"][: len(orders)]]
        primes = draws.head_primes(sorted(x["target_layers"]), bases, heads)
    blocks = []
    for layer_id, sizes in primes.items():
        if n_blocks is not None and layer_id >= n_blocks:  # engram-peft leaves out what the base does not have
            continue
        if is_ple(config):
            terms = [[[k, PLE_MULTIPLIERS[k]] for k in range(n)] for n in orders]
        else:
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
    for key, known in KNOWN.items():
        if config.get(key) not in known:
            values = ", ".join(repr(x) for x in known if x is not None)
            raise CheckpointError(f"{file}: {key} is {str(config[key])[:60]!r}; known are {values}")
    if not is_ple(config):
        return
    for key, value in (("ngram_sizes", [2, 3]), ("n_head_per_ngram", PLE_HEADS)):
        if config.get(key) != value:
            raise CheckpointError(f"{file}: {key} is {str(config.get(key))[:60]}; engine 'qwen_ple' has {value} alone")
    layers, primes = config.get("target_layers"), config.get("prime_sizes")
    if not isinstance(layers, list) or len(layers) != 1:
        raise CheckpointError(f"{file}: target_layers is {str(layers)[:60]}; engine 'qwen_ple' has one layer")
    if primes is not None and (
        not isinstance(primes, list) or len(primes) != 2 * PLE_HEADS or any(type(x) is not int or x < 1 for x in primes)
    ):
        raise CheckpointError(f"{file}: prime_sizes is {str(primes)[:60]}, not {2 * PLE_HEADS} numbers of rows")


def is_ple(config: dict) -> bool:
    """Whether tokens are hashed as Qwen3.8-Flash-Next hashes them."""
    return config.get("engine") == "qwen_ple" or config.get("table_spec") == "PLE_QWEN_V1"


def _store(path: Path, config: dict, file: Path) -> LinkedRows:
    """The rows of the EngramDB store that the adapter names, as engram-peft would read them."""
    named = config.get("table_store_path")
    if not isinstance(named, str) or not named:
        raise CheckpointError(f"{file}: table_source is 'engramdb:store' and table_store_path is missing; give --table")
    folder = next((x for x in (Path(named), path / named) if x.is_dir()), None)
    if folder is None:
        raise CheckpointError(
            f"{file}: table_store_path is {named[:120]!r}, no folder here; say with --table where it is"
        )
    sizes = {key: config.get(key) or (value if is_ple(config) else None) for key, value in PLE_STORE.items()}
    x = read_numbers(sizes, file, dict.fromkeys(PLE_STORE, 1))
    scale, model, dtype = (
        config.get("table_scale"),
        config.get("table_model_dir"),
        config.get("table_dtype") or "float32",
    )
    if is_ple(config) and (scale is not None or model is not None):
        dtype = "float8_e4m3fn"
        if scale is None:
            scale = read_scale(Path(str(model))) if Path(str(model)).is_dir() else None
            if scale is None:
                raise CheckpointError(
                    f"{file}: table_model_dir is {str(model)[:120]!r}, which holds no weight_scale; write table_scale"
                )
    if scale is not None and (type(scale) not in (int, float) or dtype != "float8_e4m3fn"):
        raise CheckpointError(
            f"{file}: table_scale is {str(scale)[:40]} for {dtype} rows; it is known for float8_e4m3fn alone"
        )
    return store_rows(folder, *x.values(), str(dtype), 1.0 if scale is None else float(scale))


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
