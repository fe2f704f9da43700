"""Facts about the chemical elements (mendeleev)."""

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from .facts_world import Row, joined, plain

SERIES = {
    "Nonmetals": "a nonmetal",
    "Noble gases": "a noble gas",
    "Alkali metals": "an alkali metal",
    "Alkaline earth metals": "an alkaline earth metal",
    "Metalloids": "a metalloid",
    "Halogens": "a halogen",
    "Poor metals": "a post-transition metal",
    "Actinides": "an actinide",
    "Transition metals": "a transition metal",
    "Lanthanides": "a lanthanide",
}
SPELLINGS = {"aluminum": ("aluminium",), "sulfur": ("sulphur",), "cesium": ("caesium",)}
SLIPS = {"Joseph Priestly": "Joseph Priestley", "Sir William Ramsey": "Sir William Ramsay", "Humphrey": "Humphry"}
GROUPS = ("Noble gases", "Halogens", "Alkali metals", "Alkaline earth metals")


def elements(sources: dict[str, Path]) -> Iterator[Row]:
    """Symbol, number, weight, type, discoverer, melting and boiling point of the chemical elements; small groups."""
    database = sqlite3.connect(f"file:{sources['mendeleev'] / 'mendeleev/elements.db'}?mode=ro", uri=True)
    points = {}
    query = "select atomic_number, melting_point, boiling_point, allotrope, is_sublimation_point from phasetransitions"
    for number, melts, boils, allotrope, sublimes in database.execute(query):
        if not sublimes and (number not in points or allotrope in ("gray", "white", "rhombic")):
            points[number] = melts, boils
    query = (
        "select e.atomic_number, e.name, e.symbol, e.atomic_weight, e.discoverers, e.discovery_year, s.name "
        "from elements e join series s on s.id = e.series_id order by e.atomic_number"
    )
    members: dict[str, list[str]] = {}
    for number, name, symbol, weight, found_by, year, series in database.execute(query):
        name, docs = name.lower(), 10
        members.setdefault(series, []).append(name)
        melts, boils = points.get(number, (None, None))
        for kind, value in (
            ("symbol", symbol),
            ("atomic_number", str(number)),
            ("atomic_weight", f"{weight:.4g}"),
            ("element_type", SERIES[series]),
            ("melting_point", degrees(melts)),
            ("boiling_point", degrees(boils)),
            ("discoverer", discoverers(found_by)),
            ("discovered", str(year or "")),
        ):
            yield kind, name, value, SPELLINGS.get(name, ()), docs
        yield "symbol_of", symbol, name, (), docs
        yield "number_of", str(number), name, (), docs
    database.close()
    for series in GROUPS:
        yield "members", "the " + series.lower(), joined(members[series]), (series.lower(),), 40


def degrees(kelvin: float | None) -> str:
    """ "1811.15" -> "1,538 degrees Celsius"; "" for none."""
    return "" if kelvin is None else f"{round(kelvin - 273.15):,} degrees Celsius"


def discoverers(text: str | None) -> str:
    """Names as they are said: "Joseph Priestly, Carl Wilhelm Scheele" -> joined by "and", known slips corrected."""
    text = plain(text or "")
    for wrong, right in SLIPS.items():
        text = text.replace(wrong, right)
    if not text or re.search(r"ancient|known|University|Institute|team|group|Lab", text, re.I):
        return ""
    people = [p for p in re.split(r", and |, | and | & ", re.sub(r"\([^)]*\)", "", text)) if p]
    return joined([" ".join(p.replace(".", ". ").split()) for p in people[:3]]) if text.isascii() else ""
