"""The named training runs behind docs/pocket.md, run side by side on one device.

    python -m engram_local.tools.train.experiments GROUP CORPUS OUT [--at-once N] [--device cuda]

GROUP is a name of GROUPS. Every run is a process of its own: one that fails leaves the others alone.
OUT gets NAME.json (figures), NAME.log, and for the groups in KEEP the checkpoint folder NAME/.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import torch
from tokenizers import Tokenizer

from . import evaluate
from .model import EngramSettings
from .train import Settings, finish, train

POCKET = Settings()
# the shape that the settings were chosen with
EARLIER = Settings(
    hidden_size=192,
    intermediate_size=512,
    head_dim=48,
    steps=5_500,
    lr=4e-3,
    decisive=1.0,
    engram=EngramSettings(rows=15_500),
)
ALONE = replace(POCKET, engram=None)


def sweep() -> dict[str, Settings]:
    """Settings compared on validation wordings, on an early corpus with fewer wordings."""
    engram = EngramSettings(n_heads=4, head_dim=32)
    base = replace(EARLIER, engram=engram, steps=2_000, lr=2e-3, table_lr=2.0)
    return {
        "base": base,
        "alone": replace(base, engram=None),
        "drop_80": replace(base, question_drop=0.8),
        "drop_20": replace(base, question_drop=0.2),
        "table_lr_4": replace(base, table_lr=4.0),
        "table_lr_1": replace(base, table_lr=1.0),
        "lr_4e-3": replace(base, lr=4e-3, table_lr=1.0),
        "orders_2345": replace(base, engram=replace(engram, ngram_sizes=(2, 3, 4, 5), n_heads=3)),
        "orders_23": replace(base, engram=replace(engram, ngram_sizes=(2, 3), n_heads=6)),
        "orders_1234": replace(base, engram=replace(engram, ngram_sizes=(1, 2, 3, 4), n_heads=3)),
        "heads_2x64": replace(base, engram=replace(engram, n_heads=2, head_dim=64)),
        "layers_0_2": replace(base, engram=replace(engram, layer_ids=(0, 2))),
        "layers_1_3": replace(base, engram=replace(engram, layer_ids=(1, 3))),
        "deep": replace(base, hidden_size=160, n_layers=6, intermediate_size=432, head_dim=40),
        "narrow": replace(base, hidden_size=128, n_layers=6, intermediate_size=384, head_dim=32),
    }


def shapes() -> dict[str, Settings]:
    """The winners of the sweep together, and deeper shapes, on the corpus with combined wordings."""
    engram = EngramSettings(ngram_sizes=(2, 3, 4), rows=22_000)
    deep = replace(EARLIER, hidden_size=160, n_layers=6, intermediate_size=448, engram=engram, steps=4_000)
    return {
        "deep": deep,
        "alone": replace(deep, engram=None),
        "wide": replace(deep, hidden_size=192, n_layers=4, intermediate_size=512),
        "layers_1_3": replace(deep, engram=replace(engram, layer_ids=(1, 3))),
        "lr_6e-3": replace(deep, lr=6e-3, table_lr=0.67),
        "deeper": replace(deep, hidden_size=128, n_layers=10, intermediate_size=384, n_heads=3, n_kv_heads=1),
        "orders_2345": replace(deep, engram=replace(engram, ngram_sizes=(2, 3, 4, 5), head_dim=48)),
        "one_layer": replace(deep, engram=replace(engram, layer_ids=(1,), n_heads=4)),
    }


def orders() -> dict[str, Settings]:
    """Orders at equal table size on the final corpus, and whether experts train."""
    short = replace(EARLIER, steps=4_000, engram=replace(EARLIER.engram, rows=16_500))
    return {
        "orders_2345": short,
        "alone": replace(short, engram=None),
        "orders_234": replace(short, engram=replace(short.engram, ngram_sizes=(2, 3, 4), rows=22_000)),
        "experts": replace(short, steps=400, n_experts=6, engram=replace(short.engram, rows=10_000)),
    }


def final() -> dict[str, Settings]:
    """The shipped model's twin and what it is compared with, three seeds each; the enlarged backbone once.

    To be run on the twin's corpus, whose held-out wordings are in no training.
    """
    alone = replace(POCKET, engram=None)
    dense = replace(alone, hidden_size=512, intermediate_size=1_376, n_layers=6, n_heads=8, n_kv_heads=4, lr=2e-3)
    runs = {f"pocket_{seed}": replace(POCKET, seed=seed) for seed in range(3)}
    runs |= {f"alone_{seed}": replace(alone, seed=seed) for seed in range(3)}
    order = ("pocket_0", "pocket_1", "alone_0", "alone_1", "pocket_2", "dense_0", "alone_2")  # evens out two GPUs
    return {name: (runs | {"dense_0": dense})[name] for name in order}


EXPERT = 4 * 3 * 192 * 512  # parameters of one expert in all layers of that backbone
ALLOCATION_EXPERTS = (1, 3, 6, 9, 12, 15)


def allocation() -> dict[str, Settings]:
    """The same number of parameters, and the same number at work for a token, split between experts and table."""
    budget = 14 * EXPERT  # beyond the dense backbone of one expert
    runs = {}
    for seed in range(3):
        for n_experts in ALLOCATION_EXPERTS:
            rows = round((budget - (n_experts - 1) * EXPERT) / (2 * 8 * 64))  # 2 layers, 8 heads of 64
            engram = replace(EARLIER.engram, rows=rows) if rows else None
            n = 0 if n_experts == 1 else n_experts
            runs[f"experts_{n_experts}_{seed}"] = replace(EARLIER, seed=seed, n_experts=n, engram=engram)
    return runs


GROUPS = {
    "sweep": sweep,
    "shapes": shapes,
    "orders": orders,
    "final": final,
    "allocation": allocation,
}
CHOOSING = (
    "sweep",
    "shapes",
    "orders",
    "allocation",
)  # groups that settings are chosen by: validation wordings, never test
KEEP = ("pocket_0",)  # runs whose checkpoint is kept


def run(name: str, settings: Settings, corpus: Path, out: Path, device: str, compiled: bool, group: str) -> None:
    """Train and evaluate one run; writes NAME.json, and the checkpoint if its group keeps it."""
    began = time.perf_counter()
    speeds: list[float] = []
    losses: dict[int, float] = {}

    def log(step: int, loss: float, tokens_a_second: float) -> None:
        speeds.append(tokens_a_second)
        losses[step] = loss
        if step % 200 == 0 or step == 20:
            seconds = time.perf_counter() - began
            print(f"{name} {step} loss {loss:.4f} {tokens_a_second / 1e6:.2f} M tok/s {seconds:.0f} s", flush=True)

    model = train(settings, corpus, out / f"{name}_run", device=device, compiled=compiled, on_step=log)
    trained = time.perf_counter() - began
    tokenizer = Tokenizer.from_file(str(corpus / "tokenizer.json"))
    if name in KEEP:
        finish(model, corpus, out / name)
    figures = {
        "name": name,
        "settings": asdict(settings),
        "parameters": model.count_parameters(),
        "train_seconds": trained,
        "train_loss": {step: loss for step, loss in losses.items() if step % 200 == 0},
        "tokens_per_second": sorted(speeds)[len(speeds) // 2] if speeds else 0,
        **evaluate.report(
            model.eval(),
            tokenizer,
            corpus,
            "validation" if group in CHOOSING else "test",
            every=10 if device == "cpu" else 1,
            briefly=group == "allocation",
        ),
    }
    (out / f"{name}.json").write_text(json.dumps(figures))
    print(name, "done", evaluate.summary(figures), f"{time.perf_counter() - began:.0f} s", flush=True)


def side_by_side(names: list[str], arguments: list[str], out: Path, at_once: int, n_gpus: int) -> list[str]:
    """Run the named runs, `at_once` processes at a time, spread over the GPUs; returns the names that failed."""
    out.mkdir(parents=True, exist_ok=True)
    waiting, running, failed = list(names), {}, []
    gpus = [str(gpu) for gpu in range(n_gpus)] or [""]
    gpus = os.environ["CUDA_VISIBLE_DEVICES"].split(",") if n_gpus and "CUDA_VISIBLE_DEVICES" in os.environ else gpus
    while waiting or running:
        while waiting and len(running) < at_once:
            name = waiting.pop(0)
            used = [gpu for _, gpu in running.values()]
            gpu = min(gpus, key=used.count)
            with (out / f"{name}.log").open("w") as log:
                process = subprocess.Popen(
                    [sys.executable, "-m", __spec__.name, *arguments, "--only", name],
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=os.environ | ({"CUDA_VISIBLE_DEVICES": gpu} if n_gpus else {}),
                )
            running[name] = process, gpu
        for name, (process, _) in list(running.items()):
            if process.poll() is not None:
                del running[name]
                failed += [name] * (process.returncode != 0)
                print((out / f"{name}.log").read_text().strip().rpartition("\n")[2], flush=True)
        time.sleep(0.5)
    return failed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("group", choices=GROUPS)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--at-once", type=int, default=1, help="processes at a time")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--compile", action="store_true", help="torch.compile the training step")
    parser.add_argument("--only", help="one run of the group, in this process")
    given = parser.parse_args()
    runs = GROUPS[given.group]()
    if given.only:
        run(given.only, runs[given.only], given.corpus, given.out, given.device, given.compile, given.group)
        return
    n_gpus = torch.cuda.device_count() if given.device == "cuda" else 0
    failed = side_by_side(list(runs), sys.argv[1:], given.out, given.at_once, n_gpus)
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
