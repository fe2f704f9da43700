"""int4 on a real trained model, which random weights say little about: what it loses beside q4_k_m of the same size."""

import pytest

pytest.importorskip("onnxruntime_genai")
pytest.importorskip("llama_cpp")

from engram_local.errors import EngramError
from engram_local.tools.compare.quality import compare
from engram_local.tools.compare.real_model import fetch_real_model

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    try:
        return fetch_real_model(tmp_path_factory.mktemp("real") / "base")
    except EngramError as reason:
        pytest.skip(str(reason))


def test_int4_keeps_the_model(base, tmp_path):
    found, notes = compare(base, tmp_path, ["int8", "int4"], ["onnx", "gguf"], 1024)
    assert not notes
    by_name = {(x.weights, x.backend): x for x in found}
    int4, q4_k_m = by_name["int4", "onnx"], by_name["int4", "gguf"]
    assert int4.megabytes < 1.02 * q4_k_m.megabytes
    assert int4.kl < 1.05 * q4_k_m.kl
    assert by_name["int8", "onnx"].kl < 0.01
