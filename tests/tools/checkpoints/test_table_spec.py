"""Tables of published models by their configs alone: the constants that their makers and ports publish."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest

from engram_local.commands.inspection_tables import describe_tables
from engram_local.errors import EngramError
from engram_local.hashing import NgramHasher, row_ids_numpy
from engram_local.tools.checkpoints import qwen4_exp
from engram_local.tools.checkpoints.table_spec import read_table_spec

V41 = {
    "model_type": "deepseek_v41",
    "text_config": {
        "engram_layer_ids": [1, 14],
        "engram_num_embeddings": [384006168, 384016682],
        "engram_max_ngram_size": 4,
        "engram_vocab_size": 16000000,
        "engram_n_heads": 8,
        "engram_head_dim": 256,
        "engram_pad_token_id": 2,
        "engram_compressed_vocab_size": 99092,
        "hidden_size": 5120,
        "num_hidden_layers": 40,
        "vocab_size": 129280,
    },
}
QWEN = {
    "model_type": "qwen4_exp",
    "text_config": {
        "ngram_size": 3,
        "heads_per_ngram": 8,
        "ngram_vocab_size_base": 20000000,
        "make_ngram_vocab_size_divisible_by": 128,
        "ple_embed_dim": 2560,
        "ple_layer_ids": [2],
        "seed": 1234,
        "vocab_size": 248320,
        "hidden_size": 2560,
        "num_hidden_layers": 48,
        "eos_token_id": 248044,
    },
}
LONGCAT = {
    "model_type": "longcat_flash_ngram",
    "emb_neighbor_num": 4,
    "emb_split_num": 4,
    "ngram_vocab_size_ratio": 78,
    "vocab_size": 131072,
    "hidden_size": 3072,
    "num_layers": 14,
    "eos_token_id": 2,
}
DEMO = {
    "engram_vocab_size": [646400, 646400],
    "max_ngram_size": 3,
    "n_embed_per_ngram": 512,
    "n_head_per_ngram": 8,
    "layer_ids": [1, 15],
    "pad_id": 2,
    "seed": 0,
    "kernel_size": 4,
}


def write(path, config):
    path.write_text(json.dumps(config))
    return path


def spec_of(tmp_path, config):
    return read_table_spec(write(tmp_path / "config.json", config))


def digest(values) -> str:
    return hashlib.sha256(np.array(values, "<i8").tobytes()).hexdigest()


def flat(layer, field) -> list[int]:
    return [x for order in layer.orders for x in getattr(order, field)]


def multipliers(layer) -> list[int]:
    return [m for _, m in layer.orders[-1].terms]


def test_deepseek_v41_constants(tmp_path):
    engram = spec_of(tmp_path, V41).engram
    assert [x.n_rows for x in engram.layers] == [384006168, 384016682]
    assert [multipliers(x) for x in engram.layers] == [
        [76632096046245, 4839876093313, 35959672319349, 73987337458391],
        [67716810739261, 51510806800915, 30921347202721, 82619226485591],
    ]
    for values, expected in (
        (multipliers, "7345f44ec93e965df6581af59c78a5dd6efba7be2e855486450a6594d7ebd7c6"),
        (lambda x: flat(x, "moduli"), "ed542f58c4b3593c4120e899620231785b695dfc61bcc3d04b61b113abd9cf9e"),
        (lambda x: flat(x, "offsets"), "edf229962df441c86f9c20cbc126579dd548421e231250b146ee6f5bea0b2f8b"),
    ):
        assert digest([values(x) for x in engram.layers]) == expected


def test_deepseek_v41_rows(tmp_path):
    rows = row_ids_numpy(spec_of(tmp_path, V41).engram, 1, np.array([0, 3, 15]), np.array([2, 2, 2]))[2]
    assert rows.tolist() == [
        *(10394440, 25597646, 41525500, 56949077, 72088738, 87803199, 103660714, 117890322),
        *(133679554, 149048834, 164909235, 179450177, 194623690, 210212541, 225598121, 241122337),
        *(264857356, 275121728, 291772318, 316098564, 326982803, 351309675, 366718203, 378263177),
    ]
    assert digest(rows) == "4eb8fc730c0e52176b64a388dcfcb7bb29c5ac6ee619c93efd218eef5a6df373"


def test_deepseek_v41_windows_around_positions_without_a_token(tmp_path):
    """An image's positions hide what lies before them."""
    engram, dead = spec_of(tmp_path, V41).engram, -1
    stream = np.array([10, 20, dead, 30, 40, 50, 60])
    windows = [[10, 2, 2, 2], [20, 10, 2, 2], [2, 2, 2, 2], [30, 2, 2, 2], [40, 30, 2, 2], [50, 40, 30, 2]]
    windows.append([60, 50, 40, 30])
    rows = NgramHasher(engram, np.arange(engram.n_ids, dtype=np.int32)).row_ids_of(stream, 1, 0)
    for row, window in zip(rows, windows, strict=True):
        alone = np.array(window[::-1])
        assert row.tolist() == row_ids_numpy(engram, 1, alone)[-1].tolist()


def test_deepseek_v41_sizes(tmp_path):
    about = describe_tables(str(write(tmp_path / "config.json", V41)))
    found = {x["encoding"]: x for x in about["encodings"]}
    assert {x: found[x]["row_bytes"] for x in ("fp8_e4m3", "q8_0", "q4_k")} == {
        "fp8_e4m3": 264,
        "q8_0": 272,
        "q4_k": 144,
    }
    assert found["fp8_e4m3"]["bytes_on_disk"] == 202_758_032_400
    assert found["fp8_e4m3"]["bytes_per_token"] == 12_672
    assert about["engram"]["rows_per_token"] == 48 and not about["runs"]


def test_qwen4_exp_constants(tmp_path):
    spec = spec_of(tmp_path, QWEN)
    (layer,) = spec.engram.layers
    assert layer.layer_id == 1 and spec.engram.fill_id == 248044 and spec.engram.segment_ids == (248044,)
    assert multipliers(layer) == [23703573157769, 20109073645365, 8052911324071]
    last = [3, 23, 33, 47, 59, 63, 69, 77, 81, 93, 107, 147, 153, 159, 161, 171]
    assert flat(layer, "moduli") == [20_000_000 + x for x in last]
    assert (layer.n_rows, layer.padding_rows, layer.head_dim) == (320_001_536, 90, 160)
    found = {x["encoding"]: x for x in describe_tables(str(spec.path))["encodings"]}
    assert found["iq4_nl"]["bytes_on_disk"] == 90 * 320_001_536
    assert "q4_k" not in found  # 160 values are no whole blocks of it


def test_qwen4_exp_windows():
    """Which past a token sees: an end token sees its own, what follows it none."""
    eos = 99
    layer = {"ple_layer_ids": [1], "ngram_vocab_size_base": 11, "ple_embed_dim": 32, "heads_per_ngram": 1}
    config = {"ngram_size": 3, "seed": 1, "vocab_size": 100, "eos_token_id": eos} | layer
    from engram_local.config import EngramConfig

    engram = EngramConfig.from_dict(qwen4_exp.block_of_config(config, "config.json"))
    m = qwen4_exp.multipliers(1, 0, 100, 3)
    stream = [10, 20, eos, 30, 40]
    windows = [[10, eos, eos], [20, 10, eos], [eos, 20, 10], [30, eos, eos], [40, 30, eos]]
    rows = row_ids_numpy(engram, 0, np.array(stream))
    for row, window in zip(rows, windows, strict=True):
        mixed = [window[0] * m[0] ^ window[1] * m[1]]
        mixed.append(mixed[0] ^ window[2] * m[2])
        assert row.tolist() == [mixed[0] % 11, mixed[1] % 13 + 11]


def test_a_second_layer_of_qwen4_exp_goes_on_with_the_primes():
    assert qwen4_exp.head_sizes(11, 2, 3) == [17, 19, 23]


def test_longcat(tmp_path):
    spec = spec_of(tmp_path, LONGCAT)
    (layer,) = spec.engram.layers
    m = 78 * 131072
    assert (layer.n_rows, layer.n_heads, layer.head_dim) == (122_683_536, 12, 256)
    assert [o.moduli[0] for o in layer.orders] == [m + 2 * t + 1 for t in range(12)]
    rng = np.random.default_rng(0)
    ids = rng.integers(3, 131072, 9)
    ids[4] = 2
    rows = row_ids_numpy(spec.engram, 0, ids)
    for p in range(9):
        start = 5 if p > 4 else 0
        for t in range(12):
            size, order = m + 2 * t + 1, 2 + t // 4
            past = [int(ids[p - s]) if p - s >= start else 0 for s in range(order)]
            want = sum(x * 131072**s for s, x in enumerate(past)) % size
            assert rows[p, t] - layer.orders[t].offsets[0] == want


def test_the_demos_default_config(tmp_path):
    spec = read_table_spec(write(tmp_path / "engram_config.json", DEMO).parent)
    first, second = spec.engram.layers
    assert (first.n_rows, second.n_rows, first.head_dim) == (10_344_164, 10_348_242, 64)
    assert flat(first, "moduli")[:4] == [646403, 646411, 646421, 646423]
    assert flat(second, "moduli")[-2:] == [646873, 646879]
    assert not spec.can_hash  # its tokenizer is not there


def test_engram_peft(tmp_path):
    config = {
        "engram_vocab_size_per_ngram": [1131200, 1131200],
        "ngram_sizes": [2, 3],
        "n_head_per_ngram": 8,
        "embedding_dim": 1280,
        "target_layers": [1, 14],
        "hc_mult": 4,
        "conv_kernel_size": 4,
        "compressed_vocab_size": 77000,
        "pad_id": 0,
        "seed": 0,
    }
    spec = spec_of(tmp_path, config)
    assert spec.family == "engram-peft" and not spec.can_hash
    assert [x.n_heads for x in spec.engram.layers] == [16, 16] and spec.engram.layers[0].head_dim == 80
    assert flat(spec.engram.layers[0], "moduli")[0] == 141403  # from 1131200 // 8 on
    raw = spec_of(tmp_path, config | {"enable_tokenizer_compression": False})
    assert raw.can_hash


def test_a_gguf(tmp_path):
    pytest.importorskip("gguf")
    from tiny_qwen4 import MODULI, MULTIPLIERS, N_ROWS, write_qwen4

    write_qwen4(tmp_path / "m.gguf", "IQ4_NL", n_parts=3)
    path = tmp_path / "m-00001-of-00003.gguf"
    spec = read_table_spec(path)
    (layer,) = spec.engram.layers
    assert (layer.n_rows, spec.stored, multipliers(layer)) == (N_ROWS, "iq4_nl", list(MULTIPLIERS))
    assert flat(layer, "moduli") == list(MODULI)


def test_a_gguf_of_deepseek_v41(tmp_path):
    gguf = pytest.importorskip("gguf")

    path = write_v41(gguf, tmp_path / "m.gguf")
    spec = read_table_spec(path)
    assert spec.stored == "q8_0" and spec.note and spec.can_hash
    assert [x.layer_id for x in spec.engram.layers] == [1, 2] and spec.engram.n_ids == 5
    pytest.importorskip("llama_cpp")
    from engram_local.tools.link import link

    with pytest.raises(EngramError, match=r"cannot run yet.* inspect shows its tables"):
        link(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_tables_of_deepseek_v41_are_read_where_they_lie(tmp_path):
    """fp8 rows with a power of two for every 32 values, in shards; and in a GGUF."""
    from engram_local.tables.encodings import E4M3_VALUES
    from engram_local.tools.checkpoints.linked_rows import find_engram_rows

    rng = np.random.default_rng(0)
    codes, scales = rng.integers(0, 120, (9, 64), np.uint8), rng.integers(120, 130, (9, 2), np.uint8)
    entries, data = {}, b""
    for name, dtype, values in (("weight", "F8_E4M3", codes), ("scale", "F8_E8M0", scales)):
        span = [len(data), len(data) + values.nbytes]
        entries[f"layers.1.engram.embed.{name}"] = {"dtype": dtype, "shape": values.shape, "data_offsets": span}
        data += values.tobytes()
    header = json.dumps(entries).encode()
    (tmp_path / "model-1.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + data)
    rows = find_engram_rows(tmp_path, 1)
    assert rows.encoding == "fp8_e4m3"
    expected = E4M3_VALUES[codes] * np.repeat(np.ldexp(np.float32(1), scales.astype(int) - 127), 32, axis=1)
    assert np.array_equal(rows.read(0, 9), expected)
    assert spec_of(tmp_path, V41).stored == "fp8_e4m3"
    with pytest.raises(EngramError, match=r"has no tensor layers\.14\.engram\.embed\.weight; fetch the files"):
        find_engram_rows(tmp_path, 14)
    gguf = pytest.importorskip("gguf")
    table = find_engram_rows(write_v41(gguf, tmp_path / "m.gguf"), 2)
    assert table.n_rows == 13 and np.allclose(table.read(0, 13), 1, atol=1e-2)


def write_v41(gguf, path):
    writer = gguf.GGUFWriter(path, "deepseek41")
    array = gguf.GGUFValueType.ARRAY
    for key, value in {"head_count": 1, "key_length": 32, "max_ngram_size": 2, "pad_id": 2}.items():
        writer.add_uint32(f"deepseek41.engram.{key}", value)
    for key, values, kind in (
        ("layer_ids", [1, 2], gguf.GGUFValueType.UINT32),
        ("multipliers", [3, 5, 7, 9], gguf.GGUFValueType.UINT64),
        ("primes", [11, 13], gguf.GGUFValueType.UINT64),
        ("offsets", [0, 0], gguf.GGUFValueType.UINT64),
        ("token_map", [0, 1, 2, 3, 4, 3], gguf.GGUFValueType.INT32),
    ):
        writer.add_key_value(f"deepseek41.engram.{key}", values, array, kind)
    kind = gguf.GGMLQuantizationType.Q8_0
    for layer, n in ((1, 11), (2, 13)):
        rows = gguf.quants.quantize(np.ones((n, 32), np.float32), kind)
        writer.add_tensor(f"blk.{layer}.engram_embd.weight", rows, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


# ---------------------------------------------------------------- the command


def run(*arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "engram_local.cli", "inspect", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_the_command(tmp_path):
    path = write(tmp_path / "config.json", QWEN)
    shown = run(path, "--ram-limit", "2GiB")
    assert shown.returncode == 0, shown.stderr
    assert "320,001,536" in shown.stdout and "26.8 GiB" in shown.stdout and "% of the rows" in shown.stdout
    limited = json.loads(run(tmp_path, "--json", "--ram-limit", "30GiB").stdout)["encodings"]
    under = {x["encoding"]: x["under_limit"] for x in limited}
    assert under["iq4_nl"]["access"] == "resident" and under["int8"]["access"] == "direct"
    assert 0 < under["int8"]["share"] < 1


def test_rows_of_a_text(tmp_path, tiny_path):
    import shutil

    config = QWEN["text_config"] | {"vocab_size": 2000, "eos_token_id": 1}
    path = write(tmp_path / "config.json", config)
    refused = run(path, "--rows", "w1")
    assert refused.returncode == 1 and "no tokenizer.json lies beside it" in refused.stderr
    shutil.copyfile(tiny_path / "tokenizer.json", tmp_path / "tokenizer.json")
    shown = json.loads(run(path, "--rows", "w1 w2", "--json").stdout)
    engram = read_table_spec(path).engram
    expected = row_ids_numpy(engram, 1, np.array(shown["tokens"]))
    assert shown["rows"]["1"] == expected.tolist() and len(shown["tokens"]) == 2


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"ple_layer_ids": None}, "lacks ple_layer_ids"),
        ({"eos_token_id": None}, "eos_token_id is 'None'"),
        ({"ple_embed_dim": 2561}, "do not fit"),
        ({"heads_per_ngram": "8"}, "heads_per_ngram is '8', not an integer"),
        ({"heads_per_ngram": 10**6, "ple_embed_dim": 2 * 10**6}, "2000000 heads are too many"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, change, match):
    path = write(tmp_path / "config.json", {"text_config": QWEN["text_config"] | change})
    with pytest.raises(EngramError, match=match) as info:
        read_table_spec(path)
    assert "\n" not in str(info.value)


def test_other_refusals(tmp_path):
    for config, match in (
        ({"model_type": "llama", "hidden_size": 8}, "describes no n-gram tables"),
        (LONGCAT | {"ngram_exclude_sp_token": True}, "ngram_exclude_sp_token is set"),
        (V41["text_config"] | {"engram_num_embeddings": [5, 6]}, "has 5 rows for layer 1, its heads make 384006168"),
    ):
        with pytest.raises(EngramError, match=match):
            spec_of(tmp_path, config)
    done = run(write(tmp_path / "config.json", {"model_type": "llama"}))
    assert done.returncode == 1 and done.stderr.count("\n") == 1
