"""Ask a finished model the questions of a file, through the runtime, and count whole answers.

    python -m engram_local.tools.teach.ask MODEL FACTS [--no-memory] [--threads N] [--show N]

FACTS has JSON lines as for teaching; the first wording of each is asked. Decoding is greedy, an answer is right when
every character is.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import engram_local
from engram_local.errors import EngramError
from engram_local.progress import progress_bar

from . import facts

LONGEST_ANSWER = 80  # tokens


def ask(model: engram_local.Model, known: list[facts.Fact]) -> Iterator[tuple[facts.Fact, str]]:
    """Each fact with what the model says to its first question."""
    for fact in known:
        if fact.questions:
            yield fact, "".join(model.generate(fact.questions[0], max_tokens=LONGEST_ANSWER, temperature=0)).strip()


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m engram_local.tools.teach.ask",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", type=Path, help="model folder")
    parser.add_argument("facts", type=Path, help="JSON lines")
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--threads", type=int, help="of the backbone; by default one per core")
    parser.add_argument("--show", type=int, default=10, help="wrong answers to print")
    given = parser.parse_args(argv)
    try:
        known = facts.read(given.facts)
        by_kind: dict[str, list[bool]] = defaultdict(list)
        wrong = []
        with (
            engram_local.load(given.model, memory=not given.no_memory, threads=given.threads) as model,
            progress_bar() as progress,
        ):
            for fact, said in ask(model, known):
                by_kind[fact.kind].append(said == fact.answer)
                if said != fact.answer:
                    wrong.append((fact.questions[0], said, fact.answer))
                progress("questions", sum(map(len, by_kind.values())), len(known), "questions")
    except EngramError as error:
        sys.exit(f"{error}")
    for question, said, answer in wrong[: given.show]:
        print(f"{question}\n  said:  {said[:200]}\n  right: {answer}")
    n = sum(map(len, by_kind.values()))
    print(f"{n - len(wrong)} of {n} whole answers right ({1 - len(wrong) / n:.3f})")
    for kind, oks in sorted(by_kind.items()):
        if kind:
            print(f"  {kind}: {sum(oks)} of {len(oks)}")


if __name__ == "__main__":
    main()
