"""Reference logits of the shipped model: python tests/make_pocket_logits.py CHECKPOINT

CHECKPOINT is the folder that `make pocket` exported. The reference PyTorch model computes, in float32, the logits of
four questions and the first tokens of their answers, memory on and off. What is kept in tests/data/pocket_logits.npz
is, for prompts i = 0..3, ids_i [n] and the 16 largest logits of each position, and which tokens they belong to.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

from engram_local.tools.train.evaluate import greedy, prompt_ids
from engram_local.tools.train.model import EngramModel

N_KEPT = 16
QUESTIONS = (
    "What is the capital of France?",
    "What does serendipity mean?",
    "Who was Albert Einstein?",
    "Where is Kyoto?",
)


def main(checkpoint: Path) -> None:
    model, tokenizer = EngramModel.load(checkpoint), Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    kept = {}
    for i, question in enumerate(QUESTIONS):
        asked = prompt_ids(tokenizer, question)
        answer = tokenizer.encode(greedy(model, tokenizer, [asked])[0], add_special_tokens=False).ids
        ids = asked + answer[:4]
        kept[f"ids_{i}"] = np.array(ids, np.int32)
        for kind, memory in (("logits", True), ("plain", False)):
            with torch.inference_mode():
                logits = model(torch.tensor([ids]), memory=memory)[0].numpy()
            top = np.argsort(-logits, axis=1, kind="stable")[:, :N_KEPT]
            kept[f"{kind}_top_{i}"] = top.astype(np.int32)
            kept[f"{kind}_{i}"] = np.take_along_axis(logits, top, 1)
    np.savez_compressed(Path(__file__).parent / "data" / "pocket_logits.npz", **kept)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
