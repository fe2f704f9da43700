"""Tables and plots of docs/pocket.md from the figures that `experiments` wrote.

    python -m engram_local.tools.train.tables collect RESULTS...   # folders of NAME.json -> docs/pocket/figures.json
    python -m engram_local.tools.train.tables write                # figures.json -> tables in docs/pocket.md, PNG plots

`write` replaces what stands between `<!-- NAME -->` and `<!-- end -->` in docs/pocket.md, for the names of TABLES.
"""

import argparse
import json
import re
import statistics
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"
DROPPED = ("failures", "memory_off_samples", "answers")
Figures = dict[str, dict[str, dict]]  # group -> run -> what `evaluate.report` found, with settings and parameters


def collect(folders: list[Path]) -> Figures:
    """Every run's figures without their samples, to five digits; the groups are named as the folders are.

    Shares of single kinds are kept for the final runs alone.
    """
    found: Figures = {}
    for folder in folders:
        found[folder.name] = {}
        for path in sorted(folder.glob("*.json")):
            run = json.loads(path.read_text(), parse_float=lambda x: float(f"{float(x):.5g}"))
            run = {key: value for key, value in run.items() if key not in DROPPED}
            found[folder.name][path.stem] = run if folder.name in ("final", "free", "shipped") else _without_kinds(run)
    return found


def _without_kinds(value):
    if not isinstance(value, dict):
        return value
    if "macro" in value:
        return {key: value[key] for key in ("macro", "all", "loss") if key in value}
    return {key: _without_kinds(inner) for key, inner in value.items()}


def runs_of(figures: Figures, group: str, name: str) -> list[dict]:
    """The seeds of one run."""
    return [run for key, run in figures[group].items() if re.fullmatch(rf"{name}(_\d)?", key)]


def spread(values: list[float], digits: int = 3) -> str:
    """ "0.912 (0.906-0.914)": mean, smallest and largest of several seeds."""
    mean = f"{statistics.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def markdown(header: list[str], rows: list[list[str]]) -> str:
    """Figures as a table in Markdown."""
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def table_final(figures: Figures) -> str:
    """The shipped model's twin and what it is compared with, in trained and in new wordings."""
    pocket, split = runs_of(figures, "final", "pocket"), "test"
    rows = [
        ["with memory (float tables)", spread([r["with_memory"]["trained"]["macro"] for r in pocket])]
        + [spread([r["with_memory"][s][key] for r in pocket]) for s, key in ((split, "macro"), (split, "loss"))]
    ]
    for name, key in (("int8 tables", "int8"), ("int4 tables", "int4"), ("memory off", "memory_off")):
        rows.append([name, "", *(spread([r[key][x] for r in pocket]) for x in ("macro", "loss"))])
    formed = spread([r["memory_off_well_formed"]["macro"] for r in pocket])
    rows.append(["memory off: well-formed sentences of the right kind", "", formed, ""])
    for name, key in (
        ("the same backbone trained alone", "alone"),
        ("a dense backbone of as many parameters", "dense"),
    ):
        runs = runs_of(figures, "final", key)
        if not runs:
            continue
        rows.append(
            [name, spread([r["with_memory"]["trained"]["macro"] for r in runs])]
            + [spread([r["with_memory"][split][x] for r in runs]) for x in ("macro", "loss")]
        )
    return markdown(["", "trained wordings", "new wordings", "loss of new wordings' answers"], rows)


GOALS = (
    ("whole answers, macro over kinds", ">= 0.90", lambda r: r["with_memory"]["test"]["macro"]),
    ("the same, memory off", "<= 0.15", lambda r: r["memory_off"]["macro"]),
    ("memory off, well-formed", ">= 0.90", lambda r: r["memory_off_well_formed"]["macro"]),
    ("capitals", ">= 0.97", lambda r: r["with_memory"]["test"]["capital"]),
    ("currencies", ">= 0.97", lambda r: r["with_memory"]["test"]["currency"]),
    ("element symbols", ">= 0.97", lambda r: r["with_memory"]["test"]["symbol"]),
    ("atomic numbers", ">= 0.97", lambda r: r["with_memory"]["test"]["atomic_number"]),
    ("the 2,000 commonest words", ">= 0.97", lambda r: r["with_memory"]["common_test"]["all"]),
    ('invented names: says "I don\'t know"', ">= 0.95", lambda r: r["says_unknown"]),
    ("in lower case: the same answer", "1", lambda r: r["same_answer"]["lower"]),
    ("with a polite opener: the same answer", "1", lambda r: r["same_answer"]["polite"]),
    ("without its mark: the same answer", "1", lambda r: r["same_answer"]["no_mark"]),
)


def table_goals(figures: Figures) -> str:
    """What was to be reached, the shipped model in wordings that it was trained in, its twin in held-out ones."""
    shipped, twin = figures["shipped"]["figures"], runs_of(figures, "final", "pocket")
    rows = [[name, goal, f"{get(shipped):.3f}", spread([get(r) for r in twin])] for name, goal, get in GOALS]
    return markdown(["", "goal", "shipped, all wordings trained", "twin, new wordings"], rows)


def table_free(figures: Figures) -> str:
    """Free questions: verdicts of the shipped model on both halves, and how many are right with memory off."""
    rows = []
    for name, halves in figures["free"]["shipped"]["memory"].items():
        off = figures["free"]["shipped"]["off"][name]["reported"].get("right", 0)
        twin = figures["free"]["twin"]["memory"][name]["reported"].get("right", 0)
        cells = [halves["tuning"].get("right", 0)]
        cells += [halves["reported"].get(v, 0) for v in ("right", "honest", "talk", "false", "garbage")]
        rows.append([name, *(f"{share:.2f}" for share in (*cells, off, twin))])
    header = ["set", "tuning half: right", "reported half: right", "says it does not know", "small talk", "false"]
    return markdown([*header, "garbage", "memory off: right", "twin: right"], rows)


def table_kinds(figures: Figures) -> str:
    """Whole answers right per kind, means over the seeds."""
    runs = {name: runs_of(figures, "final", name) for name in ("pocket", "alone")}
    kinds = [k for k in runs["pocket"][0]["with_memory"]["test"] if k not in ("macro", "all", "loss")]

    def mean(name: str, *path: str) -> str:
        values = []
        for run in runs[name]:
            value = run
            for key in path:
                value = value[key]
            values.append(value)
        return f"{statistics.mean(values):.2f}"

    rows = [
        [
            kind,
            mean("pocket", "with_memory", "trained", kind),
            mean("pocket", "with_memory", "test", kind),
            mean("pocket", "memory_off", kind),
            mean("pocket", "memory_off_well_formed", kind),
            mean("alone", "with_memory", "test", kind),
        ]
        for kind in kinds
    ]
    return markdown(["kind", "trained", "new", "memory off", "off: well-formed", "alone"], rows)


def table_choice(figures: Figures, group: str) -> str:
    """Runs that settings were chosen by."""
    rows = []
    for name, run in sorted(figures[group].items(), key=lambda item: -item[1]["with_memory"]["validation"]["macro"]):
        if name == "experts":  # a short trial
            continue
        off = [f"{run[key]['macro']:.3f}" if key in run else "" for key in ("memory_off", "memory_off_well_formed")]
        known = run["with_memory"]
        shares = [
            f"{known[s]['macro']:.3f}" for s in ("trained", "validation", "common_validation", "unknown_validation")
        ]
        rows.append([name.replace("_", " "), *shares, *off])
    header = ["run", "trained", "validation", "common words", "invented", "memory off", "off: well-formed"]
    return markdown(header, rows)


def allocation(figures: Figures) -> list[tuple[int, float, list[dict]]]:
    """(experts, table's share of the parameters beyond the smallest backbone, seeds), most table first."""
    found = []
    for n_experts in sorted({int(name.split("_")[1]) for name in figures["allocation"]}):
        runs = runs_of(figures, "allocation", f"experts_{n_experts}")
        tables, backbone = runs[0]["parameters"]["tables"], runs[0]["parameters"]["backbone"]
        smallest = min(r["parameters"]["backbone"] for r in figures["allocation"].values())
        found.append((n_experts, tables / (tables + backbone - smallest), runs))
    return found


def table_allocation(figures: Figures) -> str:
    """Loss and whole answers, in wordings trained and not, after all steps."""
    rows = [
        [
            str(n_experts),
            f"{share:.0%}",
            f"{sum(runs[0]['parameters'].values()) / 1e6:.1f} M",
            *(spread([r["with_memory"][s]["loss"] for r in runs], 4) for s in ("trained", "validation")),
            *(spread([r["with_memory"][s]["macro"] for r in runs]) for s in ("trained", "validation")),
        ]
        for n_experts, share, runs in allocation(figures)
    ]
    header = ["experts", "table's share", "parameters", "loss, trained wordings", "loss, new", "right, trained"]
    return markdown([*header, "right, new"], rows)


TABLES = {
    "final": table_final,
    "goals": table_goals,
    "free": table_free,
    "kinds": table_kinds,
    "sweep": lambda figures: table_choice(figures, "sweep"),
    "shapes": lambda figures: table_choice(figures, "shapes"),
    "orders": lambda figures: table_choice(figures, "orders"),
    "allocation": table_allocation,
}


def fill(text: str, figures: Figures) -> str:
    """The page with every table made anew."""
    for name, make in TABLES.items():
        head, start, rest = text.partition(f"<!-- {name} -->\n")
        if start:
            text = head + start + make(figures) + "\n" + rest[rest.index("<!-- end -->") :]
    return text


def plot(figures: Figures, folder: Path) -> None:
    """kinds.png and allocation.png."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    pocket, alone = runs_of(figures, "final", "pocket"), runs_of(figures, "final", "alone")
    kinds = [k for k in pocket[0]["with_memory"]["test"] if k not in ("macro", "all", "loss")]
    bars = (
        ("with memory", "#1f6f8b", [statistics.mean(r["with_memory"]["test"][k] for r in pocket) for k in kinds]),
        (
            "backbone trained alone",
            "#e0a458",
            [statistics.mean(r["with_memory"]["test"][k] for r in alone) for k in kinds],
        ),
        ("memory off", "#b23a48", [statistics.mean(r["memory_off"][k] for r in pocket) for k in kinds]),
    )
    order = sorted(range(len(kinds)), key=lambda i: bars[0][2][i] - bars[1][2][i])
    figure, axes = pyplot.subplots(figsize=(7, 8.5))
    for place, (label, color, values) in enumerate(bars):
        axes.barh(
            [i + 0.27 * (1 - place) for i in range(len(order))],
            [values[i] for i in order],
            0.27,
            label=label,
            color=color,
        )
    axes.set_yticks(range(len(order)), [kinds[i].replace("_", " ") for i in order], fontsize=8)
    axes.set(
        xlim=(0, 1),
        xlabel="whole answers right, new wordings",
        title="Where the facts are",
        ylim=(-0.6, len(order) - 0.4),
    )
    axes.legend(loc="lower center", ncols=3, fontsize=8, bbox_to_anchor=(0.45, -0.115), frameon=False)
    figure.savefig(folder / "kinds.png", dpi=90, bbox_inches="tight")

    figure, axes = pyplot.subplots(figsize=(5.5, 3.4))
    for split, label, color in (("trained", "trained wordings", "#1f6f8b"), ("validation", "new wordings", "#b23a48")):
        points = [(100 * x, [r["with_memory"][split]["loss"] for r in runs]) for _, x, runs in allocation(figures)]
        axes.plot([x for x, _ in points], [statistics.mean(y) for _, y in points], "-", color=color, label=label)
        axes.plot(*zip(*[(x, y) for x, ys in points for y in ys], strict=True), "o", color=color, alpha=0.6)
    axes.set(
        xlabel="table's share of the spare parameters (rest: experts), %", ylabel="loss of the answers", yscale="log"
    )
    axes.legend(fontsize=8, frameon=False)
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(folder / "allocation.png", dpi=90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("collect", "write"))
    parser.add_argument("results", type=Path, nargs="*")
    given = parser.parse_args()
    path = DOCS / "pocket/figures.json"
    if given.verb == "collect":
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(collect(given.results), indent=None, separators=(",", ":")))
        return
    figures = json.loads(path.read_text())
    page = DOCS / "pocket.md"
    page.write_text(fill(page.read_text(), figures))
    plot(figures, path.parent)


if __name__ == "__main__":
    main()
