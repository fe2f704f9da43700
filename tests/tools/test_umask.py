"""What is written can be read by whom the umask says."""

import os
import shutil

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxruntime_genai")

from engram_local.tools.archive import pack, unpack
from engram_local.tools.export.example import make_checkpoint
from engram_local.tools.export.folder import export_model
from engram_local.tools.export.format2 import upgrade
from engram_local.tools.quantize import quantize_model


@pytest.fixture(autouse=True)
def umask():
    before = os.umask(0o027)
    yield
    os.umask(before)


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_every_command_that_writes(tmp_path):
    data = os.path.join(os.path.dirname(__file__), "..", "data", "format1.tar.zst")
    checkpoint = make_checkpoint(tmp_path / "trained")
    made = tmp_path / "made"
    made.mkdir()
    export_model(checkpoint, made / "exported", weights="float32")
    export_model(checkpoint, made / "linked", link=True)
    quantize_model(made / "exported", made / "quantized", "int4")
    pack(made / "exported", str(made / "packed.tar.zst"))
    unpack(str(made / "packed.tar.zst"), made / "unpacked")
    unpack(data, made / "upgraded")
    upgrade(made / "upgraded")
    files = [x for x in made.rglob("*") if x.is_file()]
    assert len(files) > 40
    assert {oct(x.stat().st_mode & 0o777) for x in files} == {"0o640"}
    assert {oct(x.stat().st_mode & 0o777) for x in made.rglob("*") if x.is_dir()} == {"0o750"}
    shutil.rmtree(made)
