import signal

import pytest
from tiny_model import make_tiny_model

import engram_local

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a shell's background jobs: programs under test inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def own_state_folder(tmp_path_factory, monkeypatch):
    """The chat's history goes to a temporary folder, and nobody's settings and models count."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
    monkeypatch.setenv("ENGRAM_LOCAL_MODELS", str(tmp_path_factory.mktemp("data") / "models"))


@pytest.fixture(scope="session")
def pocket():
    """The model that ships with the package, loaded once. Two threads."""
    with engram_local.load(threads=2) as model:
        yield model


@pytest.fixture(scope="session")
def tiny_path(tmp_path_factory):
    """A model folder with random float32 weights; not to be altered."""
    return make_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="session")
def tiny(tiny_path):
    with engram_local.load(tiny_path, threads=1) as model:
        yield model


@pytest.fixture
def tiny_copy(tmp_path):
    """A model folder that a test may damage."""
    return make_tiny_model(tmp_path / "model")
