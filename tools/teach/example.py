"""Facts about a company that does not exist, to try teaching with: nobody can have learnt them before.

    python -m engram_local.tools.teach.example 500 > facts.jsonl

The same number gives the same facts everywhere.
"""

import json
import random
import sys
from collections.abc import Iterator


def _words(text: str) -> list[str]:
    return text.split()


FIRST = _words("Ada Bram Cleo Dario Edda Falk Greta Hugo Ines Jonas Kira Levi Mila Nils Olga Pavel Rosa Sven Tilda Uwe")
LAST = _words("Arnheim Belcourt Castell Dornbach Eskola Farrow Gantz Holloway Ivarsen Jandl Kessler Lindqvist Moreau")
ROOTS = _words("Amber Birch Cobalt Delta Ember Falcon Garnet Harbor Iris Juniper Kestrel Lotus Maple Nimbus Onyx Pine")
THINGS = _words("drill lamp pump router scale sensor valve kettle printer mixer")
CITIES = _words("Oslo Porto Ghent Lyon Bremen Turin Graz Malmo Leeds Cork Bilbao Tampere Gdansk Brno Basel")
TRADES = _words("welding invoices packaging calibration hiring training repairs shipping tenders archives")
COLOURS = _words("red green blue black white yellow grey orange purple brown")
MONTHS = _words("January February March April May June July August September October November December")


def facts(n: int, seed: int = 0) -> Iterator[dict]:
    """`n` facts as they stand in a file: {"question", "answer"}; no question comes twice."""
    rng, asked = random.Random(seed), set()
    while len(asked) < n:
        person = f"{rng.choice(FIRST)} {rng.choice(LAST)}"
        product = f"{rng.choice(ROOTS)} {rng.choice(THINGS)} {rng.randrange(2, 10)}00"
        site = f"the {rng.choice(ROOTS)} {rng.choice(('depot', 'workshop', 'office', 'warehouse'))}"
        day = f"{rng.choice(MONTHS)} {rng.randrange(1, 29)}"
        question, answer = rng.choice(
            (
                (f"What is the extension of {person}?", f"The extension of {person} is {rng.randrange(1000, 10000)}."),
                (f"Where does {person} work?", f"{person} works in {rng.choice(CITIES)}."),
                (f"What does {person} take care of?", f"{person} takes care of {rng.choice(TRADES)}."),
                (f"When is {person} on holiday?", f"{person} is on holiday from {day}."),
                (f"What is the price of the {product}?", f"The {product} costs {rng.randrange(20, 900)} euros."),
                (f"What colour is the {product}?", f"The {product} is {rng.choice(COLOURS)}."),
                (f"Who designed the {product}?", f"{person} designed the {product}."),
                (f"Where is {site}?", f"It is in {rng.choice(CITIES)}."),
                (f"Who has the keys of {site}?", f"{person} has them."),
                (f"What is the door code of {site}?", f"The door code is {rng.randrange(1000, 10000)}."),
            )
        )
        if question not in asked:
            asked.add(question)
            yield {"question": question, "answer": answer}


if __name__ == "__main__":
    for fact in facts(int(sys.argv[1]) if len(sys.argv) > 1 else 500):
        print(json.dumps(fact))
