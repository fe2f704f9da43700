"""What an answer's tokens looked up, for eyes: a table, or the text itself once a layer in colours."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from engram_local.foreign_text import clean
from engram_local.gates import TokenGates

if TYPE_CHECKING:
    from rich.text import Text

NO_GATES = "There are no gates to show: the memory is off, or this model's layers have none."
# (a gate at least as wide, the colour behind its token): black letters on these can be read on any terminal
COLOURS = ((0.8, 208), (0.6, 214), (0.4, 221), (0.2, 229), (0.1, 230))


def gate_lines(found: Sequence[TokenGates]) -> list[str]:
    """One line a token: its text, how far each layer's gate opened, the n-gram that it looked up."""
    if not found:
        return [NO_GATES]
    layers = list(found[0].gates)
    width = max(5, *(len(_shown(x.text)) for x in found))
    lines = [f"{'token':<{width}}{''.join(f'  layer {i}' for i in layers)}  n-gram"]
    for x in found:
        gates = "".join(f"{gate:>{8 + len(str(i))}.2f}" for i, gate in x.gates.items())
        lines.append(f"{_shown(x.text):<{width}}{gates}  {_shown(x.ngram)}")
    return lines


def coloured_table(found: Sequence[TokenGates]) -> Iterator["Text"]:
    """`gate_lines` with the token behind a colour that says how far the widest gate opened."""
    from rich.text import Text

    for i, line in enumerate(gate_lines(found)):
        text = Text(line, style="bold" if i == 0 and found else "")
        if i and found:
            x = found[i - 1]
            text.stylize(colour(max(x.gates.values())), 0, len(_shown(x.text)))
        yield text


def heat(found: Sequence[TokenGates]) -> Iterator["Text"]:
    """The text once a layer, each token behind its gate's colour, then the n-grams at which gates opened widest."""
    from rich.text import Text

    if not found:
        yield Text(NO_GATES)
        return
    layers = list(found[0].gates)
    width = max(len(f"layer {i}") for i in layers)
    for layer_id in layers:
        line = Text(f"{f'layer {layer_id}':<{width}}  ")
        for x in found:
            line.append(_shown(x.text, strip=False), style=colour(x.gates[layer_id]))
        yield line
    widest = sorted(found, key=lambda x: -max(x.gates.values()))[:3]
    ngrams = ", ".join(f"{max(x.gates.values()):.2f} '{_shown(x.ngram)}'" for x in widest)
    yield Text(f"widest: {ngrams}")


def colour(gate: float) -> str:
    """The style of a token. Example: colour(0.9) -> "black on color(208)"; colour(0.05) -> ""."""
    return next((f"black on color({number})" for least, number in COLOURS if gate >= least), "")


def _shown(text: str, strip: bool = True) -> str:
    """A token on one line."""
    text = clean(text).replace("\n", "\\n").replace("\t", "\\t")
    return text.strip() or "_" * len(text) if strip else text
