"""python -m engram_local.tools.compare lookup [FOLDER]: decoding with drafts out of the context beside decoding without
them.

Each prompt is answered both ways in turn, greedily, in changing order. "quoting": repeat a passage;
"free": write about something. Figures are ratios of the time that a token takes.
"""

import json
import tempfile
from pathlib import Path
from statistics import median

from engram_local.commands.bench_model import spread
from engram_local.generation import Step, generate
from engram_local.machine import physical_cores
from engram_local.model import Model, load
from engram_local.tools.compare.plain_model import make_plain_model
from engram_local.tools.compare.real_model import fetch_real_model

FREE = (
    "Write a short story about a lighthouse keeper.",
    "Explain how bread is made.",
    "Give me advice on learning to play the guitar.",
    "Describe a walk through a forest in autumn.",
)
PASSAGES = (
    "The lake lies in a valley between two ridges, nine hundred metres above the sea. In winter it freezes from the "
    "northern shore, where the water is shallow, and by January people cross it on foot to reach the mill.",
    "The ferry leaves the harbour at seven in the morning and returns at nine in the evening. Bicycles travel free of "
    "charge, dogs need a ticket, and cars must be booked two days before, by telephone or at the counter.",
    "Copper was melted here long before iron. The furnaces stood on the hill, where the wind was strong, and were "
    "built of clay and straw. Each of them was used once and broken open with a hammer to take out the metal.",
    "To keep the dough soft, warm the milk before you add the yeast, and let it stand for ten minutes. Then knead it "
    "until it no longer sticks to the table, cover it with a cloth, and wait for an hour in a warm place.",
)
REPEAT = "Repeat this text word for word and write nothing else:\n\n"
MOST = 128  # tokens of an answer


def run(folder: str | None, weights: str, rounds: int, threads: int | None, json_file: str | None) -> None:
    """Measure and print; FOLDER, a model folder with both backbones or one, None being SmolLM2-135M-Instruct."""
    figures = []
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(folder) if folder else Path(scratch) / "model"
        if not folder:
            base = fetch_real_model(Path(scratch) / "base")
            make_plain_model(base, path, ["onnx", "gguf"], weights)
        for backend in ("onnx", "gguf"):
            if (path / f"backbone.{backend}").exists():
                with load(path, backend=backend, threads=threads or physical_cores()) as model:
                    figures += [measure(model, kind, prompts, rounds) for kind, prompts in prompts_by_kind().items()]
    for x in figures:
        print(
            f"{x['backend']:5} {x['kind']:8} plain / lookup, time a token: {spread(x['ratios'])}; "
            f"{x['drafted']:.0%} of the tokens drafted, {x['same']} of {x['n']} answers the same"
        )
    if json_file:
        Path(json_file).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def prompts_by_kind() -> dict[str, list[str]]:
    """{"quoting", "free": messages}."""
    return {"quoting": [REPEAT + x for x in PASSAGES], "free": list(FREE)}


def measure(model: Model, kind: str, prompts: list[str], rounds: int) -> dict:
    """One ratio a prompt and round: seconds a token without drafts over seconds a token with them."""
    ratios, n_drafted, n_tokens, same = [], 0, 0, 0
    for i in range(rounds):
        for prompt in prompts:
            both: dict[bool, Step] = {}
            tokens: dict[bool, list[int]] = {}
            for lookup in (False, True) if i % 2 else (True, False):
                with model.session() as session:
                    ids = model.prompt_ids(prompt)
                    steps = list(generate(session, ids, max_tokens=MOST, lookup=lookup))
                both[lookup], tokens[lookup] = steps[-1], [x.token_id for x in steps]
            ratios.append(both[True].decode_tok_s / both[False].decode_tok_s)
            n_drafted, n_tokens = n_drafted + both[True].n_drafted, n_tokens + both[True].n_generated
            same += tokens[True] == tokens[False]
    return {
        "backend": model.backend.name,
        "kind": kind,
        "ratio": median(ratios),
        "ratios": ratios,
        "drafted": n_drafted / n_tokens,
        "same": same,
        "n": len(ratios),
    }
