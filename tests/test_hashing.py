"""Row ids against published answers, ONNX Runtime's own operator, and the NumPy twin on every instruction set."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engram_local import _native
from engram_local.config import EngramConfig, LayerConfig, NgramOrder
from engram_local.errors import ConfigError, TokenRangeError
from engram_local.hashing import DEAD, NgramHasher, row_ids_numpy

VECTORS = json.loads((Path(__file__).parent / "data" / "row_ids.json").read_text())
FEATURE_SETS = [()] + [(name,) for name in _native.cpu_features()]


@pytest.fixture(params=FEATURE_SETS, ids=lambda names: "+".join(names) or "plain")
def features(request):
    _native.set_cpu_features(request.param)
    yield request.param
    _native.set_cpu_features(_native.cpu_features())


def make_config(layers: dict, n_ids: int, fill_id=0, segment_ids=(), mix="xor", id_source="raw") -> EngramConfig:
    """layers: {layer_id: [(terms, moduli), ...]}; head segments follow each other."""
    built = []
    for layer_id, orders in layers.items():
        offset, parsed = 0, []
        for terms, moduli in orders:
            offsets = tuple(itertools.accumulate(moduli[:-1], initial=offset))
            offset = offsets[-1] + moduli[-1]
            parsed.append(NgramOrder(len(terms), tuple(map(tuple, terms)), tuple(moduli), offsets))
        built.append(LayerConfig(layer_id, 1, 8, offset, "int8", "tables/t", None, tuple(parsed)))
    token_map = "token_map.safetensors" if id_source == "compressed" else None
    config = EngramConfig(id_source, n_ids, token_map, mix, fill_id, tuple(segment_ids), tuple(built))
    return EngramConfig.from_dict(config.to_dict())


def vector_config(vector: dict) -> EngramConfig:
    layers = {
        int(layer_id): [(o["terms"], o["moduli"]) for o in layer["orders"]]
        for layer_id, layer in vector["layers"].items()
    }
    return make_config(layers, vector["n_ids"], vector["fill_id"], vector["segment_ids"], vector["mix"])


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v["name"])
def test_published_answers(vector, features):
    config = vector_config(vector)
    hasher = NgramHasher(config)
    for layer_id, layer in vector["layers"].items():
        got = hasher.row_ids(vector["tokens"], int(layer_id))
        known = [t for t, row in enumerate(layer["row_ids"]) if row is not None]
        assert got[known].tolist() == [layer["row_ids"][t] for t in known]
        twin = row_ids_numpy(config, int(layer_id), np.array(vector["tokens"]))
        assert np.array_equal(twin, got)


def windows(tokens, n_lags, **window):
    """Which id each lag reads, found by hashing with moduli large enough to show the mix itself."""
    layers = {1: [([(lag, 1)], (2**32 - 1,)) for lag in range(n_lags)]}
    hasher = NgramHasher(make_config(layers, 1000, **window))
    return hasher.row_ids_of(np.array(tokens), 1, 0) - np.arange(n_lags) * (2**32 - 1)


def test_dead_positions_block_deeper_lags():
    got = windows([10, 20, DEAD, 30, 40, 50, 60], 4, fill_id=2)
    assert got.tolist() == [
        [10, 2, 2, 2],
        [20, 10, 2, 2],
        [2, 2, 2, 2],
        [30, 2, 2, 2],
        [40, 30, 2, 2],
        [50, 40, 30, 2],
        [60, 50, 40, 30],
    ]


def test_segment_ids_see_their_own_past_and_block_what_follows():
    got = windows([100, 200, 9, 300, 400], 3, fill_id=9, segment_ids=(9,))
    assert got.tolist() == [[100, 9, 9], [200, 100, 9], [9, 200, 100], [300, 9, 9], [400, 300, 9]]


def test_longcat_polynomial_rule(features):
    """id = (x_p + sum over s of x_{p-s} * (vocab**s mod M)) mod M, EOS ends its segment, missing ids add nothing."""
    vocab, eos, base = 131072, 2, 78 * 131072
    moduli = [base + 2 * t + 1 for t in range(12)]
    orders = [
        ([(lag, pow(vocab, lag, m)) if lag else (0, 1) for lag in range(2 + t // 4)], (m,))
        for t, m in enumerate(moduli)
    ]
    config = make_config({0: orders}, vocab, segment_ids=(eos,), mix="add")
    tokens = [5, 131071, eos, 77, 131070, 99, 1, eos, eos, 4]
    got = NgramHasher(config).row_ids(tokens, 0) - np.cumsum([0, *moduli[:-1]])
    for position in range(len(tokens)):
        for table, modulus in enumerate(moduli):
            total = tokens[position]
            for lag in range(1, 2 + table // 4):
                if position - lag < 0 or tokens[position - lag] == eos:
                    break
                total += tokens[position - lag] * pow(vocab, lag, modulus)
            assert got[position, table] == total % modulus


@pytest.mark.parametrize("reset_on_eos", [False, True])
def test_agrees_with_onnxruntime(reset_on_eos, features):
    onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    rng = np.random.default_rng(11)
    n_ids, eos, n_heads = 99092, 7, 8
    multipliers = (rng.integers(0, (2**63 - 1) // n_ids // 2, 4) * 2 + 1).tolist()
    moduli = [16_000_057 + 2 * i for i in range(3 * n_heads)]
    orders = [
        ([(k, multipliers[k]) for k in range(n)], moduli[(n - 2) * n_heads : (n - 1) * n_heads]) for n in (2, 3, 4)
    ]
    config = make_config({1: orders}, n_ids, eos, (eos,) if reset_on_eos else ())
    inputs = {
        "ids": rng.integers(0, n_ids, (1, 64)),
        "multipliers": np.array(multipliers),
        "sizes": np.array(moduli),
        "offsets": np.cumsum([0, *moduli[:-1]]),
    }
    inputs["ids"][0, [5, 6, 30]] = eos
    names = ["ids", "multipliers", "sizes", "", "offsets"]
    attributes = {"max_ngram_size": 4, "n_head_per_ngram": n_heads, "pad_id": eos}
    if reset_on_eos:
        inputs["eos"] = np.array(eos)
        names.append("eos")
        attributes["reset_on_eos"] = 1
    helper, int64 = onnx.helper, onnx.TensorProto.INT64
    node = helper.make_node("NGramHashMapping", names, ["hash", "present"], domain="com.microsoft", **attributes)
    declare = [helper.make_tensor_value_info(n, int64, v.shape) for n, v in inputs.items()]
    results = [helper.make_tensor_value_info(n, int64, None) for n in ("hash", "present")]
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    graph = helper.make_graph([node], "hash", declare, results)
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = session.run(["hash"], inputs)[0][0]
    assert np.array_equal(NgramHasher(config).row_ids(inputs["ids"][0], 1), expected)


# Moduli and multipliers at the ends of what the config allows are where a quotient in floating point would go wrong.
moduli = st.integers(1, 2**32 - 1) | st.integers(1, 70) | st.integers(2**32 - 70, 2**32 - 1)


@st.composite
def schemes(draw):
    n_ids = draw(st.sampled_from([1, 2, 50, 99092, 2**31 - 1]))
    mix = draw(st.sampled_from(["xor", "add"]))
    highest_lag = draw(st.integers(0, 5))
    orders = []
    for _ in range(draw(st.integers(1, 3))):
        lags = draw(st.lists(st.integers(0, highest_lag), min_size=1, max_size=4))
        # Products of "xor" may wrap; sums may not.
        bound = (2**63 - 1) // max(n_ids - 1, 1) // len(lags) if mix == "add" or draw(st.booleans()) else 2**63 - 1
        multiplier = st.integers(1, bound) | st.integers(max(1, bound - 3), bound)
        orders.append(([(lag, draw(multiplier)) for lag in lags], draw(st.lists(moduli, min_size=1, max_size=19))))
    ids = st.integers(0, n_ids - 1) | st.just(n_ids - 1)
    config = make_config({3: orders}, n_ids, draw(ids), draw(st.sets(ids, max_size=12)), mix)
    stream = draw(st.lists(ids | st.just(DEAD), max_size=40))
    return config, np.array(stream, np.int64), draw(st.integers(0, len(stream)))


@pytest.mark.parametrize("names", FEATURE_SETS, ids=lambda names: "+".join(names) or "plain")
@settings(max_examples=150, deadline=None)
@given(scheme=schemes())
def test_kernels_equal_the_twin_and_chunks_equal_the_whole(names, scheme):
    config, stream, cut = scheme
    _native.set_cpu_features(names)
    hasher = NgramHasher(config)
    ids = hasher.ids(stream)
    whole = hasher.row_ids_of(ids, 3, 0)
    assert np.array_equal(whole, row_ids_numpy(config, 3, stream))
    history = np.concatenate((np.full(config.max_lag, DEAD), ids[:cut]))[cut:]
    assert len(history) == config.max_lag
    assert np.array_equal(hasher.row_ids_of(np.concatenate((history, ids[cut:])), 3, len(history)), whole[cut:])
    if (stream >= 0).all():
        assert np.array_equal(hasher.row_ids(stream[cut:], 3, history), whole[cut:])
    assert np.array_equal(row_ids_numpy(config, 3, stream[cut:], history), whole[cut:])


@pytest.mark.parametrize("mix", [2**63 - 1, 2**63 - 2, 2**62, 2**53 + 1, 2**32, 0])
def test_reduction_is_exact_at_the_ends(mix, features):
    moduli = [1, 2, 3, 5, 4093, 65537, 16_000_057, 2**31 - 1, 2**32 - 5, 2**32 - 1]
    config = make_config({0: [([(0, max(mix, 1))], moduli)]}, 2)
    token = 1 if mix else 0
    got = NgramHasher(config).row_ids([token], 0) - np.cumsum([0, *moduli[:-1]])
    assert got[0].tolist() == [mix % m for m in moduli]


def test_compressed_ids_and_their_errors():
    config = make_config({1: [([(0, 3)], (101,))]}, 5, id_source="compressed")
    token_map = np.array([0, 1, 1, 2, 4, 3], np.int32)
    hasher = NgramHasher(config, token_map)
    assert hasher.vocab_size == 6
    assert hasher.ids([5, DEAD, 2]).tolist() == [3, DEAD, 1]
    assert hasher.row_ids(np.array([5, 2], np.int32), 1).tolist() == [[9], [3]]
    assert hasher.row_ids([], 1).shape == (0, 1)
    with pytest.raises(TokenRangeError, match="token id 6 at position 2"):
        hasher.row_ids([0, 1, 6], 1)
    with pytest.raises(TokenRangeError, match="token id -2 at position 0"):
        hasher.ids([-2])
    with pytest.raises(ConfigError, match="no Engram layer 2"):
        hasher.row_ids([0], 2)
    with pytest.raises(ConfigError, match="ids 0 to 5, but the config has 5"):
        NgramHasher(config, np.array([0, 5], np.int32))
    with pytest.raises(ConfigError, match="int64"):
        NgramHasher(config, np.array([0, 1]))
    with pytest.raises(ConfigError, match="missing"):
        NgramHasher(config)


def test_features_can_be_listed_and_switched_off(features):
    assert [name for name, used in _native.cpu_features().items() if used] == list(features)
    with pytest.raises(ValueError, match="no CPU feature 'sse9'"):
        _native.set_cpu_features(("sse9",))
