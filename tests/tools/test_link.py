"""A GGUF with an n-gram table of its own, linked: stock llama.cpp's logits to the bit, its table under our reader."""

import json
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("llama_cpp")
from stock_llama import FLOAT32_CACHE, stock_logits
from tiny_gguf import VOCAB, write_gguf
from tiny_qwen4 import EOS, MODULI, MULTIPLIERS, N_ROWS, OFFSETS, ROW, write_qwen4

import engram_local
from engram_local.backends.base import Work
from engram_local.errors import EngramError, ModelFolderError
from engram_local.tables.table import Table, read_layout
from engram_local.tools.link import link
from engram_local.verification import verify

EXACT = {"kv_type": "float32", "flash_attention": "off", "threads": 1}
IDS = np.random.default_rng(0).integers(4, VOCAB - 2, 60)
IDS[17] = EOS
IDS[18:21] = IDS[:3]  # the same n-grams on both sides of a segment's end


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A folder with the files as somebody published them; not to be altered."""
    folder = tmp_path_factory.mktemp("published")
    write_qwen4(folder / "model.gguf")
    write_qwen4(folder / "zero.gguf", zero_table=True)
    write_qwen4(folder / "parts.gguf", n_parts=4)
    return folder


@pytest.fixture(scope="module")
def path(published, tmp_path_factory):
    link(published / "model.gguf", out := tmp_path_factory.mktemp("linked") / "model")
    return out


@pytest.fixture(scope="module", params=["resident", "direct"])
def model(request, path):
    with engram_local.load(path, table_access=request.param, **EXACT) as model:
        yield model


def test_the_logits_are_stock_llama_cpps(model, published):
    stock = stock_logits(published / "model.gguf", IDS, **FLOAT32_CACHE)
    assert np.array_equal(model.session().forward(IDS, "all"), stock)
    assert np.abs(stock - stock_logits(published / "zero.gguf", IDS, **FLOAT32_CACHE)).max() > 0.1


def test_without_memory_the_rows_are_zeros(model, published):
    stock = stock_logits(published / "zero.gguf", IDS, **FLOAT32_CACHE)
    assert np.array_equal(model.session(memory=False).forward(IDS, "all"), stock)


@pytest.mark.parametrize("cuts", [[1], [7, 8, 9, 40], list(range(1, 60))], ids=["1", "uneven", "decode"])
def test_chunks_equal_the_whole(model, cuts):
    whole, session = model.session().forward(IDS, "all"), model.session()
    assert np.abs(np.concatenate([session.forward(x, "all") for x in np.split(IDS, cuts)]) - whole).max() < 2e-5


def test_rewind_is_exact(model):
    session = model.session()
    session.forward(IDS[:30])
    session.forward(IDS[30:31])
    session.forward(IDS[31:50])
    session.rewind(31)
    fresh = model.session()
    fresh.forward(IDS[:30])
    fresh.forward(IDS[30:31])
    assert np.array_equal(session.forward(IDS[5:20], "all"), fresh.forward(IDS[5:20], "all"))


def test_sequences_with_and_without_memory_share_a_step(model):
    alone = [model.session(x).forward(IDS[:9], "all") for x in (True, False)]
    contexts = [model.backend.context(x) for x in (True, False)]
    session = model.session()
    ids = model.hasher.row_ids(IDS[:9], 1)

    class Rows:
        def wait(self, layer_id):
            return model.tables[1].gather(ids).reshape(9, -1)

    works = [Work(contexts[0], IDS[:9], Rows(), "all"), Work(contexts[1], IDS[:9], None, "all")]
    for output, expected in zip(model.backend.forward(works), alone, strict=True):
        assert np.abs(output.logits - expected).max() < 1e-5
    session.close()


def test_a_split_runs_where_its_parts_lie(published, tmp_path):
    link(published / "parts-00001-of-00004.gguf", tmp_path / "model")
    with engram_local.load(tmp_path / "model", **EXACT) as model:
        logits = model.session().forward(IDS, "all")
        assert model.prompt_ids("hi") == model.tokenizer.encode("<user>hi<bot>")
    assert np.array_equal(logits, stock_logits(published / "model.gguf", IDS, **FLOAT32_CACHE))
    assert sum(x.stat().st_size for x in (tmp_path / "model").rglob("*") if x.is_file()) < 20_000


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "IQ4_NL", "MXFP4"])
def test_tables_of_every_type(kind, tmp_path):
    (file,) = write_qwen4(tmp_path / "m.gguf", kind)
    if kind == "MXFP4":  # random exponents make rows of infinite size; their bits are held in tests/backends
        info = link(write_qwen4(tmp_path / "f.gguf")[0], tmp_path / "other")
        assert info["table"]["encoding"] == "float32"
        return
    assert link(file, tmp_path / "model")["table"]["encoding"] in (kind.lower(), "float16", "bfloat16")
    with engram_local.load(tmp_path / "model", **EXACT) as model:
        logits = model.session().forward(IDS, "all")
    assert np.array_equal(logits, stock_logits(file, IDS, **FLOAT32_CACHE))


def test_another_table_stands_in(published, path, tmp_path):
    """The same rows from a table file of ours, which can have another encoding than the GGUF's."""
    from engram_local.tables.file import TableWriter

    with Table(read_layout(path / "tables" / "table.link.json")) as table:
        rows = table.gather(np.arange(N_ROWS))
    with TableWriter(tmp_path / "own.safetensors", "float32", N_ROWS, ROW) as writer:
        writer.append(rows)
    link(published / "zero.gguf", tmp_path / "model", table=tmp_path / "own.safetensors")
    link(published / "zero.gguf", tmp_path / "linked", table=path / "tables" / "table.link.json")
    stock = stock_logits(published / "model.gguf", IDS, **FLOAT32_CACHE)
    for name in ("model", "linked"):
        with engram_local.load(tmp_path / name, **EXACT) as model:
            assert np.array_equal(model.session().forward(IDS, "all"), stock)


def hugging_face(folder, model, **constants):
    """The table of `model`, a linked folder, as a checkpoint's shards, with the buffers of its hash."""
    from safetensors.numpy import save_file

    with Table(read_layout(model / "tables" / "table.link.json")) as table:
        rows = table.gather(np.arange(N_ROWS))
    prefix = "model.language_model.layers.1.ple.ple_embedding."
    folder.mkdir()
    for i, part in enumerate(np.array_split(rows, 4)):
        save_file({f"{prefix}ngram_embedding.shard_{i}.weight": part}, folder / f"model-{i}.safetensors")
    known = {"layer_multipliers": MULTIPLIERS, "ngram_heads_vocab_sizes": MODULI, "ngram_heads_offsets": OFFSETS}
    buffers = {prefix + k: np.array(v, np.int64) for k, v in (known | constants).items()}
    save_file(buffers, folder / "model-9.safetensors")
    return folder


def test_hugging_faces_shards_stand_in(published, path, tmp_path):
    hf = hugging_face(tmp_path / "hf", path)
    link(published / "zero.gguf", tmp_path / "model", table=hf)
    stock = stock_logits(published / "model.gguf", IDS, **FLOAT32_CACHE)
    with engram_local.load(tmp_path / "model", table_access="direct", **EXACT) as model:
        assert np.array_equal(model.session().forward(IDS, "all"), stock)
    link(published / "zero.gguf", tmp_path / "other", table=published / "model.gguf")
    with engram_local.load(tmp_path / "other", **EXACT) as model:
        assert np.array_equal(model.session().forward(IDS, "all"), stock)


def test_shards_that_hash_otherwise_are_refused(published, path, tmp_path):
    hf = hugging_face(tmp_path / "hf", path, layer_multipliers=(3, 5, 7))
    match = r"hf: its layer_multipliers are \[3, 5, 7\], .* has \[1000003, 998244353, 20011\]: not the same model"
    refused(match, published / "model.gguf", tmp_path / "out", table=hf)


def test_the_commands(published, tmp_path):
    def run(*arguments, text=""):
        command = [sys.executable, "-m", "engram_local.cli", *map(str, arguments)]
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout or done.stderr

    out = tmp_path / "model"
    assert "is read where it lies" in run("link", published / "model.gguf", out)
    options = ["--prompt", "the the", "--max-tokens", 6, "--json", "--threads", 1]
    on = json.loads(run("generate", out, *options, "--table-access", "direct", "--ram-limit", "16MiB"))
    off = json.loads(run("generate", out, *options, "--no-memory"))
    assert on["token_ids"] != off["token_ids"]
    assert run("chat", out, "--max-tokens", 4, "--threads", 1, text="hello\nthe\n").count("\n") >= 2
    about = json.loads(run("inspect", out, "--json"))
    size = (published / "model.gguf").stat().st_size
    assert about["backbones"] == {"gguf": size}
    assert about["bytes_in_ram"]["weights"] == {"gguf": size - 4 * N_ROWS * ROW}  # its table stays on the disk
    findings = list(verify(out))
    assert all(x.ok is not False for x in findings)
    assert any(x.ok is None and x.file == "backbone.link.json" and "no checksums" in x.text for x in findings)


def test_quantize_encodes_the_table_and_nothing_else(path, tmp_path):
    from engram_local.tools.archive import pack
    from engram_local.tools.quantize import quantize_model

    quantize_model(path, tmp_path / "model", "int8")
    with engram_local.load(path, **EXACT) as before, engram_local.load(tmp_path / "model", **EXACT) as after:
        assert after.tables[1].encoding == "int8"
        assert 0 < np.abs(before.session().forward(IDS) - after.session().forward(IDS)).max() < 0.1
    for folder, match in ((path, "rows outside the folder"), (tmp_path / "model", "a GGUF outside the folder")):
        with pytest.raises(ModelFolderError, match=match):
            pack(folder, str(tmp_path / "model.tar.zst"))


# ---------------------------------------------------------------- what is refused


def refused(match: str, *arguments, **options) -> None:
    out = arguments[1]
    with pytest.raises(EngramError, match=match) as info:
        link(*arguments, **options)
    assert "\n" not in str(info.value)
    assert list(out.parent.glob(f"{out.name}*")) == []


def test_files_of_another_kind(tmp_path):
    write_gguf(tmp_path / "llama.gguf")
    refused("has no n-gram table of its own .* use engram-local attach", tmp_path / "llama.gguf", tmp_path / "out")
    write_qwen4(tmp_path / "bare.gguf", ple=False)
    refused("has no tensor per_layer_token_embd.weight", tmp_path / "bare.gguf", tmp_path / "out")
    (tmp_path / "lfs.gguf").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 123456\n")
    refused("run git lfs pull", tmp_path / "lfs.gguf", tmp_path / "out")
    (tmp_path / "cut.gguf").write_bytes((tmp_path / "bare.gguf").read_bytes()[:3000])
    refused("header is damaged", tmp_path / "cut.gguf", tmp_path / "out")
    refused("cannot be read", tmp_path / "nothing.gguf", tmp_path / "out")
    (tmp_path / "folder").mkdir()
    refused("is a folder; link takes a GGUF of the model", tmp_path / "folder", tmp_path / "out")


def test_a_split_with_a_part_that_is_not_there(tmp_path):
    files = write_qwen4(tmp_path / "m.gguf", n_parts=3)
    files[2].rename(tmp_path / "elsewhere.gguf")
    refused("m-00003-of-00003.gguf: part 3 of 3 is missing", files[0], tmp_path / "out")
    files[1].rename(files[2])
    write_qwen4(tmp_path / "m.gguf", n_parts=2)
    (tmp_path / "m-00002-of-00002.gguf").rename(files[1])
    refused("is not part 2 of 3", files[0], tmp_path / "out")
    files[0].rename(tmp_path / "first.gguf")
    refused("is one of 3 parts, but not named", tmp_path / "first.gguf", tmp_path / "out")


def test_a_part_of_another_model(tmp_path):
    """Both splits have three parts; the second's n-gram table is not in them, so its parts hold other tensors."""
    files = write_qwen4(tmp_path / "m.gguf", n_parts=3)
    write_qwen4(tmp_path / "bare.gguf", n_parts=3, ple=False)
    good = files[2].read_bytes()
    files[2].write_bytes((tmp_path / "bare-00003-of-00003.gguf").read_bytes())
    refused("one of them is (a part )?of another model: fetch it again", files[0], tmp_path / "out")
    files[2].write_bytes(good)
    files[1].write_bytes((tmp_path / "bare-00002-of-00003.gguf").read_bytes())
    refused("one of them is (a part )?of another model: fetch it again", files[0], tmp_path / "out")


def altered(file, out, **keys):
    """A copy with other values for keys of architecture qwen4exp; None leaves a key out."""
    import gguf

    reader = gguf.GGUFReader(file)
    writer = gguf.GGUFWriter(out, "qwen4exp")
    for name, value in reader.fields.items():
        short = name.removeprefix("qwen4exp.")
        if name.startswith("GGUF.") or name == "general.architecture" or keys.get(short, "") is None:
            continue
        kinds = value.types[0], value.types[-1] if len(value.types) > 1 else None
        writer.add_key_value(name, keys.get(short, value.contents()), *kinds)
    for x in reader.tensors:
        writer.add_tensor(x.name, x.data, raw_dtype=x.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return out


@pytest.mark.parametrize(
    ("keys", "match"),
    [
        ({"ple.layers": None}, r"has no key ple\.layers; it was made without its n-gram layer, or by other tools"),
        ({"ple.layer_multipliers": None}, r"has no key ple\.layer_multipliers"),
        ({"ple.layers": [1, 2]}, r"has n-gram layers \[1, 2\]; one is known here"),
        ({"ple.head_vocab_sizes": [211, 223, 227]}, r"its ple\.\* keys contradict each other \(3 heads, n-grams to 3"),
        ({"ple.head_vocab_sizes": [9211, 223, 227, 229]}, r"table has 912 rows, its heads need 9890; fetch it again"),
        ({"ple.head_offsets": [1, 211, 434, 661]}, r"have a head at row 1, but the rows before it end at 0"),
        ({"embedding_length_per_layer_input": 160}, r"takes rows of 160 values, the table's have 32"),
    ],
)
def test_keys_that_are_missing_or_wrong(published, tmp_path, keys, match):
    file = altered(published / "model.gguf", tmp_path / "m.gguf", **keys)
    refused(match, file, tmp_path / "out")


def test_a_table_of_a_kind_that_cannot_be_read_is_named(tmp_path):
    """Whatever type the table has, the error says which."""
    (file,) = write_qwen4(tmp_path / "m.gguf", "F32")
    data = bytearray(file.read_bytes())
    at = data.index(b"per_layer_token_embd.weight") + len(b"per_layer_token_embd.weight") + 4 + 16
    data[at : at + 4] = (34).to_bytes(4, "little")  # TQ1_0
    file.write_bytes(data)
    refused(r"tensor 'per_layer_token_embd\.weight' \(ggml type 34, .*\) cannot be read in place; known are", file,
            tmp_path / "out")  # fmt: skip


def test_a_table_that_does_not_fit(published, tmp_path):
    from engram_local.tables.file import TableWriter

    for n, dim, match in ((100, ROW, "table has 100 rows, its heads need 890"), (N_ROWS, 8, "takes rows of 32 values")):
        table = tmp_path / f"{n}-{dim}.safetensors"
        with TableWriter(table, "float32", n, dim) as writer:
            writer.append(np.zeros((n, dim), np.float32))
        refused(match, published / "model.gguf", tmp_path / "out", table=table)


def test_what_was_linked_and_changed_is_named(tmp_path):
    (file,) = write_qwen4(tmp_path / "m.gguf")
    link(file, tmp_path / "model")
    data = file.read_bytes()
    file.write_bytes(data + b"more")
    with pytest.raises(EngramError, match=r"m\.gguf"):
        engram_local.load(tmp_path / "model")
    assert any(x.ok is False and "m.gguf" in x.text for x in verify(tmp_path / "model"))
    file.unlink()
    with pytest.raises(EngramError, match=r"m\.gguf: cannot be read"):
        engram_local.load(tmp_path / "model")
    with pytest.raises(ModelFolderError, match="exists"):
        link(file, tmp_path / "model")
