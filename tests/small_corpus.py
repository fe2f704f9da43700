"""A corpus of a hundred facts, made without any downloaded package."""

from pathlib import Path

from tokenizers import Tokenizer

from engram_local.tools.train import corpus
from engram_local.tools.train.facts import Fact

SIZE = corpus.Size(n_form=20, n_invented=200, n_brakes=100, n_premises=50, vocab_size=600, split="train")
FACTS = """Paris France hot cold|Rome Italy big small|Tokyo Japan old new|Lima Peru fast slow|Cairo Egypt open shut
Oslo Norway near far|Quito Ecuador early late|Delhi India light heavy|Sofia Bulgaria hard soft|Minsk Belarus full empty
Accra Ghana high low|Hanoi Vietnam happy sad|Seoul Korea dark bright|Kabul Afghanistan young aged
Dakar Senegal clean dirty|Tunis Tunisia strong weak|Praia Verde warm cool|Male Maldives loud quiet"""


def known() -> list[Fact]:
    found = []
    for place, row in enumerate(FACTS.replace("\n", "|").split("|")):
        city, country, word, other = row.split()
        found += [
            Fact("capital", country, city, (country,), 6),
            Fact("city", city, country, (city,), 6),
            Fact("population", country, f"about {place + 2} million", (country,), 4),
            Fact("antonym", word, other, (word,), 6),
            Fact("define", word, f"the quality that is the contrary of {other}", (word,), 6),
        ]
    return found


def make(out: Path, seed: int = 0, size: corpus.Size = SIZE, tokenizer: Tokenizer | None = None) -> Path:
    texts = ["He said that it was cold and dark.", "The city lies by the sea."] * 20
    corpus.write(known(), texts, out, size, seed, tokenizer)
    return out
