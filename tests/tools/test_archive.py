"""pack and unpack: the folder comes back byte for byte; an archive that somebody altered leaves nothing behind."""

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile

import pytest
import zstandard
from command import INTERRUPT, KILL, assert_one_line, bytes_of, files_of, run_and_signal, run_with_file_limit

from engram_local.errors import EngramError, ModelFolderError
from engram_local.model_folder import MANIFEST, ModelFolder
from engram_local.tools.archive import MAX_WINDOW_BYTES, pack, unpack


@pytest.fixture(scope="module")
def packed(tiny_path, tmp_path_factory):
    file = tmp_path_factory.mktemp("packed") / "model.tar.zst"
    pack(tiny_path, str(file))
    return file


def test_there_and_back(tiny_path, packed, tmp_path):
    seen = []
    unpack(str(packed), tmp_path / "out", lambda *x: seen.append(x))
    assert bytes_of(tmp_path / "out") == bytes_of(tiny_path)
    assert ModelFolder.open(tmp_path / "out").manifest == ModelFolder.open(tiny_path).manifest
    sizes = {name: x["bytes"] for name, x in ModelFolder.open(tiny_path).manifest["files"].items()}
    assert {what: total for what, _, total in seen} == sizes
    assert all(done == total for what, done, total in {x[0]: x for x in seen}.values())
    assert [x.name for x in tmp_path.iterdir()] == ["out"]


def test_the_same_folder_gives_the_same_archive(tiny_path, packed, tmp_path):
    pack(tiny_path, str(tmp_path / "again"))
    assert (tmp_path / "again").read_bytes() == packed.read_bytes()


def test_others_read_it(packed, tiny_path):
    """zstandard and tarfile alone; the manifest is the first member; damage is found by the frame's own checksum."""
    data = packed.read_bytes()
    assert zstandard.get_frame_parameters(data).has_checksum
    with tarfile.open(fileobj=zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data)), mode="r|") as archive:
        members = {x.name: archive.extractfile(x).read() for x in archive}
    assert next(iter(members)) == MANIFEST
    del members[MANIFEST]
    assert members == files_of(tiny_path)


def test_as_a_stream(tiny_path, tmp_path):
    command = f"'{sys.executable}' -m engram_local.cli"
    line = f"{command} pack '{tiny_path}' - | {command} unpack - '{tmp_path / 'out'}'"
    done = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=120)
    assert done.stderr.splitlines() == [f"{tmp_path / 'out'} is ready: engram-local chat {tmp_path / 'out'}"]
    assert bytes_of(tmp_path / "out") == bytes_of(tiny_path)


def test_what_cannot_be_packed(tiny_copy, tmp_path):
    def refused(match):
        with pytest.raises(EngramError, match=match):
            pack(tiny_copy, str(tmp_path / "a"))
        assert not list(tmp_path.glob("a*"))

    (tmp_path / "taken").touch()
    with pytest.raises(ModelFolderError, match="taken: exists already"):
        pack(tiny_copy, str(tmp_path / "taken"))
    data = bytearray((tiny_copy / "backbone.onnx").read_bytes())
    data[100] ^= 1
    (tiny_copy / "backbone.onnx").write_bytes(data)
    refused("backbone.onnx: does not match the sha256 of the manifest")
    config = json.loads((tiny_copy / "config.json").read_text())
    config["engram"]["layers"][0]["table"] = "tables/layer_0.link.json"
    (tiny_copy / "tables" / "layer_0.link.json").write_text("{}")
    (tiny_copy / "config.json").write_text(json.dumps(config))
    manifest = json.loads((tiny_copy / MANIFEST).read_text())
    manifest["files"]["config.json"]["bytes"] = (tiny_copy / "config.json").stat().st_size
    manifest["files"]["tables/layer_0.link.json"] = {"bytes": 2, "sha256": "0" * 64}
    (tiny_copy / MANIFEST).write_text(json.dumps(manifest))
    refused("layer_0.link.json: points at rows outside the folder; engram-local quantize copies them")


@pytest.mark.parametrize(("command", "at"), [("pack", "backbone.onnx"), ("unpack", "backbone.onnx")])
def test_interruptions(tiny_path, packed, tmp_path, command, at):
    """Ctrl-C leaves nothing; after kill -9 nothing has the final name, and the next run works."""
    source = tiny_path if command == "pack" else packed
    done = run_and_signal(at, INTERRUPT, command, source, tmp_path / "out")
    assert_one_line(done, 130, "interrupted; nothing was written")
    assert list(tmp_path.iterdir()) == []
    assert run_and_signal(at, KILL, command, source, tmp_path / "out").returncode == -KILL
    assert [x.name for x in tmp_path.iterdir()] == ["out.partial"]
    if command == "pack":
        pack(tiny_path, str(tmp_path / "out"))
        assert (tmp_path / "out").read_bytes() == packed.read_bytes()
    else:
        with pytest.raises(EngramError, match=r"has no manifest.json"):
            ModelFolder.open(tmp_path / "out.partial")
        unpack(str(packed), tmp_path / "out")
        assert bytes_of(tmp_path / "out") == bytes_of(tiny_path)
    assert [x.name for x in tmp_path.iterdir()] == ["out"]


def test_a_full_disk(tiny_path, packed, tmp_path):
    assert_one_line(run_with_file_limit(1000, "pack", tiny_path, tmp_path / "a"), 1, "File too large", "was not made")
    assert_one_line(run_with_file_limit(1000, "unpack", packed, tmp_path / "b"), 1, "File too large", "was not made")
    assert list(tmp_path.iterdir()) == []


def test_no_room(packed, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    with pytest.raises(EngramError, match=r"needs about .* has 1000 B free"):
        unpack(str(packed), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


# Hostile archives: each is made of members as a tar writer would write them, around the same manifest.


def member(name: str, data: bytes = b"", size: int | None = None, **fields) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = len(data) if size is None else size
    for key, value in fields.items():
        setattr(info, key, value)
    return info.tobuf(tarfile.PAX_FORMAT if info.pax_headers else tarfile.GNU_FORMAT) + data + bytes(-len(data) % 512)


def entry(data: bytes) -> dict:
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


FILES = {"config.json": b"{}", "a/b.bin": b"content" * 1000}
END = bytes(1024)


def manifest(files: dict | None = None, **extra) -> bytes:
    files = {name: entry(data) for name, data in FILES.items()} if files is None else files
    return member(MANIFEST, json.dumps({"format": "engram_local.model.v1", "files": files | extra}).encode())


def contents() -> bytes:
    return b"".join(member(name, data) for name, data in FILES.items())


def try_unpack(tmp_path, tar: bytes, compress=None) -> None:
    data = zstandard.ZstdCompressor(write_checksum=True).compress(tar) if compress is None else compress(tar)
    (tmp_path / "hostile").write_bytes(data)
    unpack(str(tmp_path / "hostile"), tmp_path / "box" / "out")


def test_the_positive_control(tmp_path):
    try_unpack(tmp_path, manifest() + contents() + END)
    assert files_of(tmp_path / "box" / "out") == FILES


HOSTILE = {
    "not listed": (
        manifest() + member("evil", b"x") + contents() + END,
        "'evil', which its manifest does not list",
    ),
    "listed, twice there": (manifest() + contents() + member("config.json", b"{}") + END, "or lists once"),
    "a name that climbs": (manifest(**{"../evil": entry(b"x")}) + contents() + END, "not a path inside the folder"),
    "an absolute name": (manifest(**{"/evil": entry(b"x")}) + contents() + END, "not a path inside the folder"),
    "a drive": (manifest(**{"C:evil": entry(b"x")}) + contents() + END, "not a path inside the folder"),
    "a backslash": (manifest(**{"..\\evil": entry(b"x")}) + contents() + END, "not a path inside the folder"),
    "a climbing member": (manifest() + member("../evil", b"x") + END, "which its manifest does not list"),
    "a symbolic link": (
        manifest() + member("config.json", type=tarfile.SYMTYPE, linkname="/etc/passwd") + END,
        "no plain file",
    ),
    "a hard link": (manifest() + member("config.json", type=tarfile.LNKTYPE, linkname="a") + END, "no plain file"),
    "a device": (manifest() + member("config.json", type=tarfile.CHRTYPE) + END, "no plain file"),
    "a pipe": (manifest() + member("config.json", type=tarfile.FIFOTYPE) + END, "no plain file"),
    "a folder": (manifest() + member("a", type=tarfile.DIRTYPE) + END, "no plain file"),
    "extended headers": (manifest() + member("config.json", b"{}", pax_headers={"k": "v"}) + END, "no plain file"),
    "a sparse file": (manifest() + member("config.json", type=tarfile.GNUTYPE_SPARSE) + END, "no plain file"),
    "larger than listed": (manifest() + member("config.json", b"{ }") + END, "has 3 bytes, its manifest says 2"),
    "smaller than listed": (manifest() + member("config.json", b"{") + END, "has 1 bytes, its manifest says 2"),
    "other content": (manifest() + member("config.json", b"[]") + END, "does not match the sha256"),
    "a file as a folder": (
        manifest(**{"config.json/x": entry(b"x")}) + contents() + member("config.json/x", b"x") + END,
        "was not made",
    ),
    "a file missing": (manifest() + member("config.json", b"{}") + END, "lacks a/b.bin"),
    "no end": (manifest() + contents(), "ends too early"),
    "cut within a file": ((manifest() + contents())[:-3000], "ends too early"),
    "more behind the end": (manifest() + contents() + END + b"x", "holds more than its manifest lists"),
    "zeros without end": (manifest() + contents() + bytes(3 << 20), "holds more than its manifest lists"),
    "the manifest is not first": (contents() + manifest() + END, "does not begin with manifest.json"),
    "no manifest": (END, "does not begin with manifest.json"),
    "a manifest that is no JSON": (member(MANIFEST, b"{") + END, "is not JSON"),
    "a manifest of nesting": (member(MANIFEST, b"[" * 100_000) + END, "is not JSON"),
    "a manifest that lists nothing": (manifest({}) + END, "does not list config.json"),
    "a huge manifest": (member(MANIFEST, size=1 << 40), "does not begin with manifest.json"),
    "too many files": (
        manifest({f"f{i}": entry(b"") for i in range(10_001)} | {"config.json": entry(b"")}),
        "10002",
    ),
    "a size that no disk has": (
        manifest({"config.json": {"bytes": 1 << 62, "sha256": "0" * 64}}) + member("config.json", size=1 << 62),
        "needs about",
    ),
    "no tar": (b"not a tar archive" * 100, "is no tar archive"),
    "nothing": (b"", "ends too early"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archives(tmp_path, name):
    tar, message = HOSTILE[name]
    with pytest.raises(ModelFolderError) as error:
        try_unpack(tmp_path, tar)
    assert message in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "box").exists() or not list((tmp_path / "box").iterdir())
    assert sorted(os.listdir(tmp_path)) in (["hostile"], ["box", "hostile"])


def with_a_large_window(tar: bytes) -> bytes:
    parameters = zstandard.ZstdCompressionParameters(window_log=28)
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return stream.compress(tar) + stream.flush()


@pytest.mark.parametrize(
    ("compress", "message"),
    [
        (lambda tar: tar, "cannot be decompressed"),
        (lambda tar: zstandard.compress(tar)[:-20], "ends too early"),
        (with_a_large_window, "cannot be decompressed"),
    ],
    ids=["not compressed", "cut", "a window that takes too much memory"],
)
def test_damaged_compression(tmp_path, compress, message):
    assert MAX_WINDOW_BYTES < 1 << 28
    with pytest.raises(ModelFolderError, match=message):
        try_unpack(tmp_path, manifest() + contents() + END, compress)
    assert not (tmp_path / "box").exists() or not list((tmp_path / "box").iterdir())


def test_a_flipped_bit_anywhere(packed, tmp_path):
    """Whatever bit is altered, the folder is refused or comes out as it was packed."""
    good, n_refused = packed.read_bytes(), 0
    unpack(str(packed), tmp_path / "good")
    for place in range(0, len(good), max(1, len(good) // 150)):
        data = bytearray(good)
        data[place] ^= 1 << place % 8
        (tmp_path / "bad").write_bytes(data)
        try:
            unpack(str(tmp_path / "bad"), tmp_path / "out")
        except ModelFolderError:
            n_refused += 1
            assert sorted(os.listdir(tmp_path)) == ["bad", "good"]
        else:
            assert files_of(tmp_path / "out") == files_of(tmp_path / "good")
            shutil.rmtree(tmp_path / "out")
    assert n_refused > 140


@pytest.mark.parametrize("cut", range(1, 9))
def test_an_archive_that_was_cut_at_its_very_end(packed, tmp_path, cut):
    """Of the frame's end only the checksum is lacking, and all files are there: the frame is not whole all the same."""
    (tmp_path / "cut").write_bytes(packed.read_bytes()[:-cut])
    with pytest.raises(ModelFolderError, match="cut: ends too early"):
        unpack(str(tmp_path / "cut"), tmp_path / "out")
    assert [x.name for x in tmp_path.iterdir()] == ["cut"]


@pytest.mark.parametrize("behind", [b"x", bytes(10_000), zstandard.compress(b""), zstandard.compress(bytes(1024))])
def test_an_archive_with_something_behind_it(packed, tmp_path, behind):
    """Junk, zeros, another frame."""
    (tmp_path / "long").write_bytes(packed.read_bytes() + behind)
    with pytest.raises(ModelFolderError, match="long: holds something behind its end"):
        unpack(str(tmp_path / "long"), tmp_path / "out")
    assert [x.name for x in tmp_path.iterdir()] == ["long"]


@pytest.mark.parametrize("command", ["pack", "unpack"])
def test_two_that_write_one_output(tiny_path, packed, tmp_path, command, monkeypatch):
    """The second is told so at once, whatever moment of the first it comes at; the first goes on undisturbed."""
    run, source = (pack, tiny_path) if command == "pack" else (unpack, packed)
    refused = []

    def meanwhile(*_):
        with pytest.raises(ModelFolderError) as error:
            run(str(source), str(tmp_path / "out"))
        refused.append(str(error.value))

    run(str(source), str(tmp_path / "out"), meanwhile)
    assert len(refused) >= 5 and set(refused) == {
        f"{tmp_path / 'out'}.partial: another process is writing there; let it finish, or choose another name"
    }
    assert [x.name for x in tmp_path.iterdir()] == ["out"]
    if command == "pack":
        assert (tmp_path / "out").read_bytes() == packed.read_bytes()
    else:
        assert bytes_of(tmp_path / "out") == bytes_of(tiny_path)


def test_many_processes_pack_to_one_file(tiny_path, packed, tmp_path):
    """One makes it; the others hear that it is being made, or that it is there."""
    command = [sys.executable, "-m", "engram_local.cli", "pack", tiny_path, tmp_path / "out"]
    runs = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for _ in range(6)]
    said = [(run.communicate(timeout=120)[1], run.returncode) for run in runs]
    assert [code for _, code in said].count(0) == 1
    for text, code in said:
        assert code == 0 or "another process is writing there" in text or "exists already" in text, text
    assert (tmp_path / "out").read_bytes() == packed.read_bytes()
    assert [x.name for x in tmp_path.iterdir()] == ["out"]


def test_no_archive_goes_to_a_terminal(tiny_path):
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "engram_local.cli", "pack", tiny_path, "-"]
    done = subprocess.run(command, stdout=theirs, stderr=subprocess.PIPE, text=True, timeout=60)
    assert_one_line(done, done.returncode, "an archive is no text for a terminal; give a file, or pipe it on")
    assert done.returncode in (1, 2)
    os.close(theirs)
    os.close(ours)
