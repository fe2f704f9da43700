"""Reader of n-gram tables that are added to the input embedding, hashed as LongCat does: one unsharded state dict.

The tensors do not say how they were hashed, nor does everybody name them alike, so ngram_config.json lies beside them:
`orders`, `tables_per_order`, `m` (rows of table t are m + 2t + 1), `word_scale` and `rows_scale` (what the embedding
and the projected rows are multiplied with), and where they differ from LongCat's, `tables` and `projections`, the
tensors' names with {} for the number of the table, and `eos_token_id`.
"""

from pathlib import Path

import numpy as np

from engram_local.config import MAX_LAG, EngramConfig
from engram_local.errors import CheckpointError
from engram_local.tools.checkpoints.blocks import engram_block
from engram_local.tools.checkpoints.longcat import table_block
from engram_local.tools.checkpoints.tensors import Tensors, backbone_sizes, read_json, read_numbers, weight_files
from engram_local.tools.checkpoints.view import CheckpointView, RowSource, SummedWeights

LAYOUT = "summed"
CONFIG_FILE = "ngram_config.json"
TABLES, PROJECTIONS = "model.ngram_embeddings.embedders.{}.weight", "model.ngram_embeddings.post_projs.{}.weight"
INTEGERS, LISTS = {"tables_per_order": 1, "m": 1}, {"orders": 2}


def matches(path: Path) -> bool:
    """Whether such a config lies there."""
    return (path if path.is_dir() else path.parent).joinpath(CONFIG_FILE).is_file() and bool(weight_files(path))


def read(path: Path, base: Path | None = None) -> CheckpointView:
    """`base` is the backbone's folder, by default `path` itself. Raises CheckpointError."""
    folder = path if path.is_dir() else path.parent
    file = folder / CONFIG_FILE
    config = read_json(file)
    x = read_numbers(config, file, INTEGERS, LISTS)
    if base is None and not (folder / "config.json").is_file():
        raise CheckpointError(f"{path}: is no Hugging Face folder; give the base model's folder as --base")
    base = base or folder
    sizes = backbone_sizes(base)
    d, vocab = sizes["hidden_size"], sizes["vocab_size"]
    scales = {key: config.get(key, 1.0) for key in ("word_scale", "rows_scale")}
    for key, value in scales.items():
        if type(value) not in (int, float) or not 0 < value < 1e6:
            raise CheckpointError(f"{file}: {key} is {str(value)[:40]!r}, not a number above 0; correct it")
    eos = config.get("eos_token_id", read_json(base / "config.json").get("eos_token_id"))
    if type(eos) is not int or not 0 <= eos < vocab:
        raise CheckpointError(f"{file}: eos_token_id is {str(eos)[:40]!r}, not one token of {base}; write it there")
    n_tables = len(x["orders"]) * x["tables_per_order"]
    names = {key: config.get(key, default) for key, default in (("tables", TABLES), ("projections", PROJECTIONS))}
    for key, name in names.items():
        if not isinstance(name, str) or name.count("{}") != 1:
            raise CheckpointError(f"{file}: {key} is {str(name)[:60]!r}, not a tensor's name with {{}} for its number")
    if max(x["orders"]) > MAX_LAG + 1:
        raise CheckpointError(f"{file}: orders are {x['orders']}, at most {MAX_LAG + 1} are known")

    tensors = Tensors(path)
    tables = StackedRows(tensors, [names["tables"].format(t) for t in range(n_tables)])
    projections = [tensors.numpy(names["projections"].format(t)) for t in range(n_tables)]
    for t, (rows, projection) in enumerate(zip(tables.sources, projections, strict=True)):
        for name, shape, wanted in (
            (names["tables"], (rows.n_rows, rows.dim), (x["m"] + 2 * t + 1, tables.dim)),
            (names["projections"], projection.shape, (d, tables.dim)),
        ):
            if shape != wanted:
                raise CheckpointError(
                    f"{path}: {name.format(t)} is {list(shape)}, {file} and {base} ask for {list(wanted)}"
                )
        if not np.isfinite(projection).all():
            raise CheckpointError(f"{path}: {names['projections'].format(t)} holds NaN or infinity")
    layer = table_block(x["orders"], x["tables_per_order"], x["m"], vocab, tables.dim)
    block = engram_block(vocab, 0, [layer], compressed=False, segment_ids=[eos], mix="add", fuse="summed")
    engram = EngramConfig.from_dict(block, str(file))
    weights = SummedWeights(np.concatenate(projections, axis=1), **{k: float(v) for k, v in scales.items()})
    own = tuple(x.partition("{}")[0] for x in names.values()) if base == folder else ()
    return CheckpointView(LAYOUT, path, base, engram, None, {0: weights}, {0: tables}, prefixes=own)


class StackedRows(RowSource):
    """Several tensors as one table, one below the other."""

    def __init__(self, tensors: Tensors, names: list[str]):
        self.sources = [tensors.rows(name) for name in names]
        self.dim = self.sources[0].dim
        self.n_rows = sum(x.n_rows for x in self.sources)
        self.parts = [place for x in self.sources for place in x.parts]

    def read(self, start: int, stop: int) -> np.ndarray:
        found, first = [], 0
        for source in self.sources:
            begin, end = max(start - first, 0), min(stop - first, source.n_rows)
            if begin < end:
                found.append(source.read(begin, end))
            first += source.n_rows
        return np.concatenate(found)
