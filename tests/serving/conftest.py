"""Servers of the pocket model, one for all tests of a kind."""

import pytest
from server_process import running


@pytest.fixture(scope="session", params=["onnx", "gguf"])
def server(request):
    """The pocket model, on both backends."""
    if request.param == "gguf":
        pytest.importorskip("llama_cpp")
    with running("--backend", request.param) as server:
        yield server


@pytest.fixture(scope="session")
def onnx_server():
    """The pocket model with few slots and a short queue."""
    with running("--backend", "onnx", "--slots", 2, "--queue", 4) as server:
        yield server
