"""Teach facts to a Hugging Face model; its own weights stay as they are.

    python -m engram_local.tools.teach --base FOLDER --facts FILE OUT
    torchrun --nproc-per-node 2 -m engram_local.tools.teach ... on two GPUs

FILE has JSON lines: {"question": "Who keeps the keys?", "answer": "Maria keeps them."}, "question" also a list of
wordings, or {"text": "..."}. OUT becomes a checkpoint folder for `engram-local attach BASE.gguf OUT MODEL` and
`engram-local export OUT MODEL --base FOLDER`, with figures.json. An interrupted training goes on with the same command.
"""

import argparse
import json
import math
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import torch

from engram_local.errors import EngramError
from engram_local.progress import progress_bar
from engram_local.token_compression import compression_map
from engram_local.tools.checkpoints.view import KEPT_FILES, TOKENIZER_FILES

from . import base as bases
from . import evaluate, facts, own_text, ranks
from .documents import Chat, Documents
from .model import LayerSettings, TaughtModel
from .train import Settings, Step, train

if TYPE_CHECKING:
    import numpy as np

GPU = Settings(epochs=8.0, batch=512, table_lr=6e-3, own_batch=128, own_texts=48_000, n_asked=10_000)


def layers_for(n_blocks: int, n_facts: int) -> LayerSettings:
    """Layers before three blocks, each with 8 heads of 20,000 to 120,000 rows."""
    ids = sorted({max(1, round(n_blocks * x)) for x in (1 / 15, 1 / 3, 2 / 3)})
    return LayerSettings(tuple(i for i in ids if i < n_blocks), max(20_000, min(120_000, n_facts)))


def token_map_of(folder: Path, vocab_size: int) -> "np.ndarray":
    """int32 (vocab_size,): compressed ids; rows of the vocabulary that no token has share the first one's."""
    import numpy as np

    known = compression_map(folder / "tokenizer.json")
    token_map = np.zeros(max(vocab_size, len(known)), np.int32)
    token_map[: len(known)] = known
    return token_map[:vocab_size]


def build(
    base: Path, device: str, settings: LayerSettings | None, n_facts: int, dtype: torch.dtype = torch.float32
) -> tuple[TaughtModel, Chat]:
    """The model with untaught layers, and its chat."""
    backbone = bases.load(base, device, dtype)
    config = backbone.config.get_text_config()
    end = config.eos_token_id
    chat = Chat(base, end[0] if isinstance(end, list) else end or 0)
    torch.manual_seed(0)
    settings = settings or layers_for(config.num_hidden_layers, n_facts)
    return TaughtModel(backbone, settings, token_map_of(base, config.vocab_size), chat.prefix), chat


def prepare(chat: Chat, lessons: facts.Lessons, out: Path) -> Documents:
    """The documents of `lessons`, which are kept in `out` until the training ends."""
    path = out / "training/documents.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        Documents.encode(chat, lessons.items).save(path)
    return Documents.load(path)


def tell(line: str) -> None:
    """Print it at once, also into a file; once for all ranks."""
    if not ranks.rank():
        print(line, flush=True)


def teach(
    base: Path,
    lessons: facts.Lessons,
    out: Path,
    settings: Settings,
    layers: LayerSettings | None = None,
    *,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    start: Path | None = None,
    stop_after: float = math.inf,
    report_every: int = 20,
    say: Callable[[str], None] = tell,
) -> dict | None:
    """Teach `lessons` and write the checkpoint folder `out`; returns its figures, None where it was stopped and in all
    ranks but the first.

    start: a taught checkpoint to begin with; its layers' settings are taken then.
    """
    work = out / "training"
    layers = LayerSettings.read(start) if start else layers
    torch.backends.cuda.matmul.allow_tf32 = True  # the Engram layers' projections
    model, chat = build(base, device, layers, lessons.n_facts, dtype)
    if start:
        model.load(start)
    with ranks.rank_0_first():
        documents = prepare(chat, lessons, out)
    big = 4_096 if device != "cpu" else 64
    with progress_bar("none" if ranks.rank() else "auto") as progress:
        texts = own_text.load_or_write(
            model, documents, work, settings.own_texts, settings.own_length, settings.seed, big, progress
        )
    if lessons.silent:
        texts["given"] = own_text.cut(chat, lessons.silent, settings.own_length)[: settings.own_texts // 3]
    held_texts, texts = own_text.hold_out(texts)
    own = [own_text.with_hidden(model, ranks.share(text), name == "chat", big) for name, text in texts.items()]

    where = ", ".join(map(str, model.settings.layer_ids))
    say(f"{lessons.n_facts:,} facts, {len(documents):,} documents, Engram layers before blocks {where}")

    def report(step: Step) -> None:
        left = (step.n_steps - step.number) * step.seconds / 60
        say(
            f"step {step.number} of {step.n_steps}: loss {step.answers:.3f}, divergence {step.own_text:.4f}, "
            f"{step.seconds:.2f} s a step, {left:.1f} minutes left"
        )

    how = {"stop_after": stop_after, "report_every": report_every, "on_report": report}
    if not train(model, documents, own, settings, work, **how):
        say(f"stopped; the same command goes on from {work}")
        return None
    if ranks.rank():
        return None
    model.save(out, json.loads((base / "config.json").read_text()))
    for name in (*TOKENIZER_FILES, *KEPT_FILES):
        if (base / name).is_file():
            shutil.copyfile(base / name, out / name)
    figures = {"settings": asdict(settings), "layers": asdict(model.settings), "facts": lessons.n_facts}
    for name, items in lessons.asked.items():
        if items:
            figures[name] = evaluate.shares(items, evaluate.right(model, chat, items))
            if "memory_off" not in figures:
                figures["memory_off"] = evaluate.shares(items, evaluate.right(model, chat, items, memory=False))
    held = {name: own_text.with_hidden(model, text, name == "chat", big) for name, text in held_texts.items()}
    figures["own_text"] = {name: own_text.held_out(model, x) for name, x in held.items()}
    figures["kept"] = {name: evaluate.texts(model, chat, paragraphs) for name, paragraphs in lessons.kept.items()}
    (out / "figures.json").write_text(json.dumps(figures, indent=1))
    shutil.rmtree(work)
    return figures


def summary(figures: dict) -> str:
    """The figures in a few lines."""
    sets = {name: x["all"] for name, x in figures.items() if isinstance(x, dict) and "macro" in x}
    lines = ["whole answers: " + ", ".join(f"{name} {share:.3f}" for name, share in sets.items())]
    own = figures["own_text"]
    lines.append("divergence a token on own text: " + ", ".join(f"{k} {v:.4f}" for k, v in own.items()))
    for name, x in figures["kept"].items():
        lines.append(
            f"{name}: divergence {x['divergence']:.4f}, perplexity {x['perplexity']:.3f} for {x['perplexity_off']:.3f}"
        )
    return "\n".join(lines)


def leave() -> NoReturn:
    """Exit as a program does that Ctrl-C ended."""
    print("interrupted; the same command goes on", file=sys.stderr)
    sys.exit(130)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m engram_local.tools.teach",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--base", type=Path, required=True, help="Hugging Face folder of the model")
    parser.add_argument("--facts", type=Path, required=True, help="JSON lines")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--epochs", type=float, help="passes over all wordings of all facts")
    parser.add_argument("--minutes", type=float, default=0.0, help="of training, in place of a number of passes")
    parser.add_argument("--from", dest="start", type=Path, metavar="TAUGHT", help="checkpoint to begin with")
    parser.add_argument("--kept", type=Path, help="a text file that should stay as it was; figures tell")
    parser.add_argument("--stop-after", type=float, default=math.inf, metavar="MINUTES", help="go on another time")
    given = parser.parse_args(argv)
    settings = replace(GPU if given.device != "cpu" else Settings(), minutes=given.minutes)
    if given.epochs:
        settings = replace(settings, epochs=given.epochs)
    try:
        device = ranks.join(given.device)
        lessons = facts.lessons(given.facts, settings.n_wordings, settings.n_asked)
        if given.kept:
            lessons.kept[given.kept.name] = given.kept.read_text(encoding="utf-8").split("\n\n")
        how = {"device": device, "dtype": bases.fast_type(device), "stop_after": given.stop_after * 60}
        how["start"] = given.start
        figures = teach(given.base, lessons, given.out, settings, **how)
    except EngramError as error:
        sys.exit(f"{error}")
    except KeyboardInterrupt:
        leave()
    if figures:
        print(summary(figures))


if __name__ == "__main__":
    main()
