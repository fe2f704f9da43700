"""The "engram" block of a model folder's config.json: hashing as data, one entry a layer.

Nothing here derives a prime or a multiplier: the export side does that once and stores the numbers, so a new
hashing variant is new data and no new branch. docs/format.md lists every key.
"""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from engram_local.errors import ConfigError

FORMAT_VERSION = 2
ENCODINGS = ("int8", "int4", "fp8_e4m3", "float16", "float32")
FUSES = (
    "gated",  # h += gate(h, rows) * value, at a block's input
    "native",  # the backbone has the layer itself; rows are written into a node of its graph
    "summed",  # h = a * embedding + projection(rows), at the input embedding
)
SITES = (
    "block",  # the residual that enters block `layer_id`
    "embedding",  # the input embedding, which is block 0's residual too
)
LINK_SUFFIX = ".link.json"  # of a table that lies in other software's files, which know more encodings
LINKED_ENCODINGS = (
    *("fp8_e4m3", "fp8_e4m3_unscaled", "fp8_e4m3_float32", "fp8_e4m3_float16", "fp8_e4m3_bfloat16"),
    *("float32", "float16", "bfloat16", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "iq4_nl", "mxfp4"),
    *("q4_k", "q5_k", "q6_k"),
)
MAX_LAG = 31
INT64_MAX = 2**63 - 1


@dataclass(frozen=True)
class NgramOrder:
    """The heads that share one n-gram mix: `mix = OP over (lag, multiplier) of id[t - lag] * multiplier`.

    Head h reads row `mix mod moduli[h] + offsets[h]`. Several entries may have the same order.
    """

    order: int
    terms: tuple[tuple[int, int], ...]
    moduli: tuple[int, ...]
    offsets: tuple[int, ...]


@dataclass(frozen=True)
class ConvConfig:
    """Causal depthwise convolution after the gate: its state is (kernel - 1) * dilation positions."""

    kernel: int
    dilation: int

    @property
    def n_state(self) -> int:
        """Positions that the convolution looks back on."""
        return (self.kernel - 1) * self.dilation


@dataclass(frozen=True)
class LayerConfig:
    """One Engram layer, applied to the input of backbone block `layer_id` (counted from 0).

    `streams` is the layer's own number; how many the residual has, EngramConfig says.
    """

    layer_id: int
    streams: int
    head_dim: int
    n_rows: int
    encoding: str
    table: str
    conv: ConvConfig | None
    orders: tuple[NgramOrder, ...]
    site: str = "block"  # one of SITES

    @property
    def n_heads(self) -> int:
        """Rows that one token reads: the heads of all orders together."""
        return sum(len(o.moduli) for o in self.orders)

    @property
    def padding_rows(self) -> int:
        """Rows behind the last head's segment, which no id addresses."""
        return self.n_rows - sum(m for o in self.orders for m in o.moduli)

    @property
    def linked(self) -> bool:
        """Whether the table's rows lie in other software's files (tables/links.py)."""
        return self.table.endswith(LINK_SUFFIX)

    @property
    def row_width(self) -> int:
        """E: numbers that one token's rows hold together."""
        return self.n_heads * self.head_dim


@dataclass(frozen=True)
class EngramConfig:
    """All of the "engram" block. `token_map` is a path inside the folder, None where raw token ids are hashed."""

    id_source: str
    n_ids: int
    token_map: str | None
    mix: str
    fill_id: int
    segment_ids: tuple[int, ...]
    layers: tuple[LayerConfig, ...]
    fuse: str = "gated"  # one of FUSES: how rows enter the backbone
    residual_streams: int = 1  # of the backbone; 1, or as many as the layers have

    @property
    def max_lag(self) -> int:
        """How many previous ids a hash may look back on."""
        return max(lag for layer in self.layers for o in layer.orders for lag, _ in o.terms)

    def layer(self, layer_id: int) -> LayerConfig:
        """The layer of that id. Raises ConfigError."""
        for layer in self.layers:
            if layer.layer_id == layer_id:
                return layer
        raise ConfigError(f"no Engram layer {layer_id}; the model has {[x.layer_id for x in self.layers]}")

    @classmethod
    def from_dict(cls, block: Any, source: str = "config.json") -> "EngramConfig":
        """Validate and build from the JSON object. Raises ConfigError, naming `source`, the key and the value."""
        return _Reader(source).config(block)

    def to_dict(self) -> dict:
        """The block as `from_dict` reads it."""
        return {
            "version": FORMAT_VERSION,
            "fuse": self.fuse,
            "residual_streams": self.residual_streams,
            "ids": {"source": self.id_source, "n_ids": self.n_ids, "token_map": self.token_map},
            "window": {"fill_id": self.fill_id, "segment_ids": list(self.segment_ids)},
            "mix": self.mix,
            "layers": [
                {
                    "layer_id": x.layer_id,
                    "site": x.site,
                    "streams": x.streams,
                    "head_dim": x.head_dim,
                    "n_rows": x.n_rows,
                    "padding_rows": x.padding_rows,
                    "encoding": x.encoding,
                    "table": x.table,
                    "conv": None if x.conv is None else {"kernel": x.conv.kernel, "dilation": x.conv.dilation},
                    "orders": [
                        {
                            "order": o.order,
                            "terms": [list(t) for t in o.terms],
                            "moduli": list(o.moduli),
                            "offsets": list(o.offsets),
                        }
                        for o in x.orders
                    ],
                }
                for x in self.layers
            ],
        }


def inside(path: Any) -> bool:
    """Whether `path`, which somebody else wrote, is a plain relative POSIX path that stays inside its folder."""
    return (
        isinstance(path, str)
        and path not in ("", ".")
        and "\\" not in path
        and "\0" not in path
        and ":" not in path
        and not PurePosixPath(path).is_absolute()
        and ".." not in PurePosixPath(path).parts
    )


class _Reader:
    """Turns untrusted JSON into an EngramConfig; every refusal names the file and the key."""

    def __init__(self, source: str):
        self.source = source

    def fail(self, key: str, problem: str) -> ConfigError:
        return ConfigError(f"{self.source}: engram.{key} {problem}; export the model again")

    def get(self, obj: Any, key: str, where: str) -> Any:
        if not isinstance(obj, dict):
            raise self.fail(where or "block", "is not an object")
        if key not in obj:
            raise self.fail(f"{where}.{key}".lstrip("."), "is missing")
        return obj[key]

    def integer(self, obj: Any, key: str, where: str, low: int, high: int) -> int:
        value = self.get(obj, key, where)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.fail(f"{where}.{key}".lstrip("."), f"is {str(value)[:40]!r}, not an integer in [{low}, {high}]")
        return value

    def integers(self, obj: Any, key: str, where: str, low: int, high: int) -> tuple[int, ...]:
        values = self.get(obj, key, where)
        if not isinstance(values, list) or any(
            isinstance(v, bool) or not isinstance(v, int) or not low <= v <= high for v in values
        ):
            raise self.fail(f"{where}.{key}".lstrip("."), f"is not a list of integers in [{low}, {high}]")
        return tuple(values)

    def choice(self, obj: Any, key: str, where: str, options: tuple) -> Any:
        value = self.get(obj, key, where)
        if value not in options:
            raise self.fail(
                f"{where}.{key}".lstrip("."), f"is {str(value)[:40]!r}, not one of {', '.join(map(str, options))}"
            )
        return value

    def path(self, obj: Any, key: str, where: str) -> str:
        value = self.get(obj, key, where)
        if not inside(value):
            raise self.fail(f"{where}.{key}".lstrip("."), f"is {str(value)[:80]!r}, not a path inside the model folder")
        return value

    def config(self, block: Any) -> EngramConfig:
        version = self.get(block, "version", "")
        if version == 1:
            raise ConfigError(
                f"{self.source}: engram.version is 1, the format before several sequences ran together; "
                "python -m engram_local.tools.export.format2 FOLDER brings it up to date, or export the model again"
            )
        if version != FORMAT_VERSION:
            raise ConfigError(
                f"{self.source}: engram.version is {str(version)[:20]!r}, this release reads {FORMAT_VERSION}; "
                "upgrade engram_local or export the model again"
            )
        ids, window = self.get(block, "ids", ""), self.get(block, "window", "")
        id_source = self.choice(ids, "source", "ids", ("compressed", "raw"))
        n_ids = self.integer(ids, "n_ids", "ids", 1, 2**31 - 1)
        token_map = self.path(ids, "token_map", "ids") if id_source == "compressed" else None
        mix = self.choice(block, "mix", "", ("xor", "add"))
        fill_id = self.integer(window, "fill_id", "window", 0, n_ids - 1)
        segment_ids = self.integers(window, "segment_ids", "window", 0, n_ids - 1)
        fuse = self.choice(block, "fuse", "", FUSES)
        residual_streams = self.integer(block, "residual_streams", "", 1, 64)
        layers = self.get(block, "layers", "")
        if not isinstance(layers, list) or not layers:
            raise self.fail("layers", "is not a list of layers")
        parsed = tuple(self.layer(x, f"layers[{i}]", n_ids, mix) for i, x in enumerate(layers))
        layer_ids = [x.layer_id for x in parsed]
        if sorted(set(layer_ids)) != layer_ids:
            raise self.fail("layers", f"have layer_id {layer_ids}, not strictly ascending")
        if fuse == "native" and (len(parsed) > 1 or parsed[0].conv is not None):
            raise self.fail("layers", "are not the one layer without a convolution that a native backbone takes")
        if fuse == "summed" and (len(parsed) > 1 or parsed[0].conv is not None or layer_ids != [0]):
            raise self.fail("layers", "are not the one layer 0 without a convolution that is added to the embedding")
        for i, layer in enumerate(parsed):
            if (layer.site == "embedding") != (fuse == "summed"):
                raise self.fail(f"layers[{i}].site", f"is {layer.site!r}, which does not go with fuse {fuse!r}")
            if residual_streams not in (1, layer.streams):
                raise self.fail(f"layers[{i}].streams", f"is {layer.streams}, the residual has {residual_streams}")
        return EngramConfig(id_source, n_ids, token_map, mix, fill_id, segment_ids, parsed, fuse, residual_streams)

    def layer(self, obj: Any, where: str, n_ids: int, mix: str) -> LayerConfig:
        conv = self.get(obj, "conv", where)
        if conv is not None:
            conv = ConvConfig(
                self.integer(conv, "kernel", f"{where}.conv", 1, 64),
                self.integer(conv, "dilation", f"{where}.conv", 1, 1024),
            )
        n_rows = self.integer(obj, "n_rows", where, 1, 2**40)
        orders = self.get(obj, "orders", where)
        if not isinstance(orders, list) or not orders:
            raise self.fail(f"{where}.orders", "is not a list of orders")
        parsed = tuple(self.order(o, f"{where}.orders[{i}]", n_ids, mix) for i, o in enumerate(orders))
        # Each head owns its own segment of the table; the rows behind the last segment are padding.
        end = 0
        for offset, modulus in sorted((s, m) for o in parsed for s, m in zip(o.offsets, o.moduli, strict=True)):
            if offset != end:
                raise self.fail(f"{where}.orders", f"have a head at row {offset}, but the rows before it end at {end}")
            end = offset + modulus
        table = self.path(obj, "table", where)
        padding = self.integer(obj, "padding_rows", where, 0, n_rows) if "padding_rows" in obj else 0
        if end + padding != n_rows:
            raise self.fail(f"{where}.n_rows", f"is {n_rows}, but its heads' moduli sum to {end} (padding {padding})")
        return LayerConfig(
            self.integer(obj, "layer_id", where, 0, 10_000),
            self.integer(obj, "streams", where, 1, 64),
            self.integer(obj, "head_dim", where, 1, 65536),
            n_rows,
            self.choice(obj, "encoding", where, LINKED_ENCODINGS if table.endswith(LINK_SUFFIX) else ENCODINGS),
            table,
            conv,
            parsed,
            self.choice(obj, "site", where, SITES),
        )

    def order(self, obj: Any, where: str, n_ids: int, mix: str) -> NgramOrder:
        terms = self.get(obj, "terms", where)
        if not isinstance(terms, list) or not 1 <= len(terms) <= MAX_LAG + 1:
            raise self.fail(f"{where}.terms", f"is not a list of 1 to {MAX_LAG + 1} (lag, multiplier) pairs")
        pairs = []
        for i, term in enumerate(terms):
            if not isinstance(term, list) or len(term) != 2 or any(type(v) is not int for v in term):
                raise self.fail(f"{where}.terms[{i}]", "is not a (lag, multiplier) pair of integers")
            lag, multiplier = term
            if not 0 <= lag <= MAX_LAG or multiplier < 1:
                raise self.fail(
                    f"{where}.terms[{i}]", f"is ({lag}, {multiplier}): lag 0 to {MAX_LAG}, multiplier from 1"
                )
            pairs.append((lag, multiplier))
        # Sums stay below 2**63. Products under "xor" may wrap as int64: engram-peft hashes the raw ids of added tokens
        # with multipliers that were drawn for the smaller compressed ones.
        if mix == "add" and sum(multiplier * (n_ids - 1) for _, multiplier in pairs) > INT64_MAX:
            raise self.fail(f"{where}.terms", f"overflow 64 bits with {n_ids} ids")
        if max(multiplier for _, multiplier in pairs) > INT64_MAX:
            raise self.fail(f"{where}.terms", f"hold a multiplier above {INT64_MAX}")
        moduli = self.integers(obj, "moduli", where, 1, 2**32 - 1)
        offsets = self.integers(obj, "offsets", where, 0, 2**40)
        if not moduli or len(moduli) != len(offsets):
            raise self.fail(where, f"has {len(moduli)} moduli and {len(offsets)} offsets")
        return NgramOrder(self.integer(obj, "order", where, 1, MAX_LAG + 1), tuple(pairs), moduli, offsets)
