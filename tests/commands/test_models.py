"""Models by name: found, listed, removed, and fetched from a server that speaks the hub's API."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command import bytes_of
from hub_server import serve
from tiny_model import make_tiny_model
from typer.testing import CliRunner

from engram_local.cli import make_app
from engram_local.errors import ModelFolderError, UsageError
from engram_local.model_folder import write_manifest
from engram_local.model_store import find, installed, models_folder, place_of
from engram_local.tools.archive import pack


def invoke(*arguments, code=0, text=None):
    result = CliRunner().invoke(make_app(), [str(x) for x in arguments], input=text)
    assert result.exit_code == code, (result.output, result.exception)
    return result


@pytest.fixture
def model():
    """A model with a name."""
    return make_tiny_model(models_folder() / "tiny-1.0")


def test_the_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("ENGRAM_LOCAL_MODELS", str(tmp_path / "elsewhere"))
    assert models_folder() == tmp_path / "elsewhere" and installed() == []
    monkeypatch.delenv("ENGRAM_LOCAL_MODELS")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    if sys.platform == "linux":
        assert models_folder() == tmp_path / "engram_local" / "models"


def test_a_name_stands_for_its_folder(model, tmp_path, monkeypatch):
    assert find("tiny-1.0") == model and find(str(tmp_path)) == tmp_path
    assert json.loads(invoke("inspect", "tiny-1.0", "--json").stdout)["model"] == str(model)
    assert json.loads(invoke("inspect", "-m", "tiny-1.0", "--json").stdout)["model"] == str(model)
    invoke("pack", "tiny-1.0", tmp_path / "tiny.tar.zst")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny-1.0").mkdir()  # a path that is there counts first
    assert find("tiny-1.0") == Path("tiny-1.0")
    with pytest.raises(ModelFolderError, match=r"none: no such folder, and no model of that name in .*list\)"):
        find("none")


BAD_NAMES = [
    "",
    ".",
    "..",
    "../x",
    "a/b",
    "/etc",
    "a\\b",
    ".hidden",
    "x.partial",
    "x.",
    "a\0b",
    "ü",
    "x" * 97,
    "a b",
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_lead_nowhere_else(name, model):
    with pytest.raises(UsageError, match="is no model's name"):
        place_of(name)
    before = bytes_of(models_folder().parent)
    assert "is no model's name" in str(invoke("rm", name, "--yes", code=1).exception)
    if name:  # which stands for the repository's
        assert "is no model's name" in str(invoke("get", "a/b", "--name", name, code=1).exception)
    assert bytes_of(models_folder().parent) == before


def test_list(model):
    assert invoke("list").stdout.split("  ")[0] == "tiny-1.0"
    (models_folder() / "no-model").mkdir()
    (models_folder() / "half.partial").mkdir()
    told = json.loads(invoke("list", "--json").stdout)
    (entry,) = told["models"]
    assert told["folder"] == str(models_folder()) and entry["name"] == "tiny-1.0"
    assert entry["bytes"] == sum(
        x.stat().st_size for x in model.rglob("*") if x.is_file() and x.name != "manifest.json"
    )
    shutil.rmtree(model)
    empty = invoke("list")
    assert empty.stdout == "" and "engram-local get REPO" in empty.stderr


def test_rm(model):
    beside = models_folder() / "beside"
    beside.mkdir()
    assert "--yes" in str(invoke("rm", "tiny-1.0", code=1).exception) and model.is_dir()
    assert "is deleted" in invoke("rm", "tiny-1.0", "-y").stderr
    assert list(models_folder().iterdir()) == [beside]
    assert "no model of that name" in str(invoke("rm", "tiny-1.0", "-y", code=1).exception)


@pytest.mark.skipif(os.name == "nt", reason="needs links and a pseudo-terminal")
def test_rm_touches_nothing_but_model_folders(model, tmp_path):
    (models_folder() / "notes").mkdir()
    (models_folder() / "notes" / "mine.txt").write_text("mine")
    other = make_tiny_model(tmp_path / "other")
    (models_folder() / "link").symlink_to(other)
    before = bytes_of(models_folder()), bytes_of(other)
    assert "manifest.json" in str(invoke("rm", "notes", "-y", code=1).exception)
    assert "is a link to somewhere else" in str(invoke("rm", "link", "-y", code=1).exception)
    assert (bytes_of(models_folder()), bytes_of(other)) == before and (models_folder() / "link").is_symlink()


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
@pytest.mark.parametrize(("answer", "code", "left"), [("n\n", 1, True), ("\n", 1, True), ("y\n", 0, False)])
def test_rm_asks(model, answer, code, left):
    main, side = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "engram_local", "rm", "tiny-1.0"], stdin=side, stderr=subprocess.PIPE
    )
    os.close(side)
    os.write(main, answer.encode())
    _, err = process.communicate(timeout=60)
    os.close(main)
    assert (process.returncode, model.is_dir()) == (code, left)
    assert f"Delete {model} (" in err.decode()


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A server with a model folder, a packed one, and what is neither."""
    pytest.importorskip("huggingface_hub", minversion="2.0")  # the floor of the extra
    folder = make_tiny_model(tmp_path / "somebody" / "tiny")
    (folder / "README.md").write_text("a page of the hub, not of the model")
    packed = tmp_path / "somebody" / "packed"
    packed.mkdir()
    pack(folder, str(packed / "tiny.tar.zst"))
    two, none = tmp_path / "somebody" / "two", tmp_path / "somebody" / "none"
    shutil.copytree(packed, two)
    shutil.copy(two / "tiny.tar.zst", two / "other.tar.zst")
    none.mkdir()
    (none / "model.safetensors").write_bytes(b"x")
    repos = {f"somebody/{x.name}": x for x in (folder, packed, two, none)}
    with serve(repos) as hub:
        template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)  # HF_ENDPOINT, which is read once
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)  # other tests set the variable
        monkeypatch.setattr("time.sleep", lambda _: None)  # huggingface_hub's, between two tries
        hub.model = {x: y for x, y in bytes_of(folder).items() if x != "README.md"}
        yield hub


def leftovers():
    return [x.name for x in models_folder().glob("*.partial")]


@pytest.mark.parametrize("repo", ["somebody/tiny", "somebody/packed"])
def test_get(hub, repo):
    name = repo.split("/")[1]
    result = invoke("get", repo, "--json")
    told = json.loads(result.stdout)
    assert told["name"] == name and told["repo"] == repo and len(told["commit"]) == 40
    assert f"{name} is ready: engram-local chat {name}" in result.stderr
    assert bytes_of(models_folder() / name) == hub.model and leftovers() == []
    assert invoke("inspect", name).exit_code == 0
    assert "exists already" in str(invoke("get", repo, code=1).exception)
    invoke("get", repo, "--name", "another")
    assert [x for x, _ in installed()] == sorted(["another", name])


def test_which_archive(hub):
    assert "several archives (other.tar.zst, tiny.tar.zst)" in str(invoke("get", "somebody/two", code=1).exception)
    invoke("get", "somebody/two", "--file", "other.tar.zst")
    assert bytes_of(models_folder() / "two") == hub.model
    refused = invoke("get", "somebody/two", "--file", "../../x.tar.zst", "--name", "x", code=1)
    assert "holds no '../../x.tar.zst'" in str(refused.exception)


@pytest.mark.parametrize(
    ("repo", "complaint"),
    [
        ("somebody/none", "holds neither a manifest.json nor a .tar.zst"),
        ("somebody/nowhere", "somebody/nowhere: cannot be fetched ("),
        ("some body/x", "is no repository; write OWNER/NAME"),
        ("../../etc/passwd", "is no repository; write OWNER/NAME"),
    ],
)
def test_what_cannot_be_fetched(hub, repo, complaint):
    error = str(invoke("get", repo, code=1).exception)
    assert complaint in error and "\n" not in error
    assert installed() == [] and leftovers() == []


def test_a_broken_connection_is_taken_up_within_a_run(hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 100)  # of 10 MiB
    hub.cut["backbone.onnx"] = 1000
    invoke("get", "somebody/tiny")
    assert bytes_of(models_folder() / "tiny") == hub.model
    assert [r for name, r in hub.asked if name == "backbone.onnx"] == [None, "bytes=1000-"]


def break_off(hub, monkeypatch, repo, name, n_bytes):
    """A run that ends after `n_bytes` of a file."""
    from huggingface_hub import file_download

    whole = file_download.http_get

    def broken(url, file, **options):
        if url.endswith(name):
            file.write(hub.repos[repo].joinpath(name).read_bytes()[:n_bytes])
            raise OSError("the network is gone")
        return whole(url, file, **options)

    with monkeypatch.context() as patch:
        patch.setattr(file_download, "http_get", broken)
        error = str(invoke("get", repo, code=1).exception)
    assert "the network is gone" in error and "the same command goes on behind it" in error and installed() == []


@pytest.mark.parametrize("repo, name", [("somebody/tiny", "backbone.onnx"), ("somebody/packed", "tiny.tar.zst")])
def test_the_next_run_goes_on_where_it_stopped(hub, monkeypatch, repo, name):
    break_off(hub, monkeypatch, repo, name, 700)
    assert len(leftovers()) == 1
    hub.asked.clear()
    invoke("get", repo)
    assert bytes_of(models_folder() / repo.split("/")[1]) == hub.model and leftovers() == []
    assert dict(hub.asked)[name] == "bytes=700-"
    assert [x for x, _ in hub.asked if x == "config.json"] == (["config.json"] if repo == "somebody/tiny" else [])


def test_a_beginning_of_another_revision_is_fetched_anew(hub, monkeypatch):
    break_off(hub, monkeypatch, "somebody/tiny", "config.json", 10)
    partial = models_folder() / "tiny.partial"
    (partial / "config.json").write_bytes(b"{" * 20)
    (partial / "old.bin").write_bytes(b"of another revision")
    invoke("get", "somebody/tiny")
    assert bytes_of(models_folder() / "tiny") == hub.model


@pytest.mark.parametrize("name", ["config.json", "tables/layer_0.safetensors"])
@pytest.mark.parametrize("kind", ["altered", "shorter", "longer"])
def test_what_the_manifest_does_not_list_is_refused(hub, name, kind):
    content = (hub.repos["somebody/tiny"] / name).read_bytes()
    hub.replaced[name] = {"altered": b"X" + content[1:], "shorter": content[:-1], "longer": content + b"X"}[kind]
    assert "do not trust" in str(invoke("get", "somebody/tiny", code=1).exception)
    assert installed() == []
    hub.replaced.clear()
    invoke("get", "somebody/tiny")
    assert bytes_of(models_folder() / "tiny") == hub.model


@pytest.mark.parametrize("name", ["../../outside", "/etc/outside", "tables/../../outside", "manifest.json.partial"])
def test_a_manifest_that_leads_out_of_its_folder_is_refused(hub, name):
    manifest = json.loads((hub.repos["somebody/tiny"] / "manifest.json").read_text())
    manifest["files"][name] = {"bytes": 1, "sha256": "0" * 64}
    hub.replaced["manifest.json"] = json.dumps(manifest).encode()
    assert "trust" in str(invoke("get", "somebody/tiny", code=1).exception)
    assert [x.name for x in models_folder().parent.rglob("*")] == ["models"]


def test_a_damaged_archive_is_refused_and_forgotten(hub):
    path = hub.repos["somebody/packed"] / "tiny.tar.zst"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    hub.replaced["tiny.tar.zst"] = bytes(content)
    assert "fetch the archive again" in str(invoke("get", "somebody/packed", code=1).exception)
    assert installed() == [] and leftovers() == []


def test_offline_is_one_line(monkeypatch):
    pytest.importorskip("huggingface_hub", minversion="2.0")  # the floor of the extra
    env = {**os.environ, "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "engram_local", "get", "somebody/tiny"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=env)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("engram-local: somebody/tiny: cannot be fetched (")


def test_the_endpoint_is_the_environments(hub, tmp_path):
    env = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "hf")}
    command = [sys.executable, "-m", "engram_local", "get", "somebody/tiny", "--progress", "json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=env)
    assert done.returncode == 0, done.stderr
    assert bytes_of(models_folder() / "tiny") == hub.model
    *lines, ready = done.stderr.splitlines()
    assert {json.loads(x)["what"] for x in lines} == set(hub.model) and "is ready" in ready
    assert not (tmp_path / "hf").exists()


def test_a_manifest_that_lists_more_than_there_is(hub):
    folder = hub.repos["somebody/tiny"]
    (folder / "README.md").unlink()
    (folder / "more.bin").write_bytes(b"more")
    write_manifest(folder)
    (folder / "more.bin").unlink()
    assert "lacks more.bin, which its manifest.json lists" in str(invoke("get", "somebody/tiny", code=1).exception)
