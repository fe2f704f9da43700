"""The figures of the table comparison as a picture: rows a second against the batch, cost against the table's size."""

from pathlib import Path

from engram_local.sizes import format_size

_OWN = ("#1f77b4", "#6baed6", "#08306b", "#17becf")  # blues
_OTHERS = ("#ff7f0e", "#bcbd22", "#d62728", "#9467bd", "#2ca02c", "#8c564b")


def plot(figures: dict, path: str) -> None:
    """Write the picture; the suffix of `path` chooses the format. Needs matplotlib."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    panels = [x for x in ("cold", "resident", "growth") if x in figures]
    figure, axes = pyplot.subplots(1, len(panels), figsize=(5.6 * len(panels), 5.6), squeeze=False)
    names = list(dict.fromkeys(name for panel in panels for name in figures[panel]))
    styles = {}
    for own, colours, markers in ((True, _OWN, "oooo"), (False, _OTHERS, "s^vDP*")):
        group = [name for name in names if name.startswith("engram_local") == own]
        styles |= {name: (colours[i % len(colours)], markers[i % len(markers)]) for i, name in enumerate(group)}
    lines = {}
    for axis, panel in zip(axes[0], panels, strict=True):
        for name, by_n in figures[panel].items():
            sizes, medians = [int(n) for n in by_n], [by_n[n]["median"] for n in by_n]
            values = (
                [1e6 * x for x in medians]
                if panel == "growth"
                else [n / x for n, x in zip(sizes, medians, strict=True)]
            )
            colour, marker = styles[name]
            (lines[name],) = axis.plot(sizes, values, color=colour, marker=marker, markersize=5, label=name)
        if panel == "cold" and figures["fio_iops"]:
            depth, iops = max((int(depth), iops) for depth, iops in figures["fio_iops"].items())
            lines["fio"] = axis.axhline(iops, color="black", linestyle=":", label=f"the disk: fio, depth {depth}")
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.grid(alpha=0.3, which="both")
        axis.spines[["top", "right"]].set_visible(False)
        if panel == "growth":
            axis.set(xlabel="rows in the table", ylabel="µs for 48 rows", title="in memory: one token, growing table")
        else:
            title = {"cold": "cold: nothing in the page cache", "resident": "resident: all in memory"}[panel]
            axis.set(xlabel="random rows in one batch", ylabel="rows a second", title=title)
    table, host = figures["table"], figures["machine"]
    figure.suptitle(
        f"Lookups in a table of {table['rows'] / 1e6:.1f} M rows of {table['dim']} {table['encoding']} values "
        f"({format_size(table['bytes'])}); {host['cpu']}, {host['disk']}, kernel {host['kernel']}; medians"
    )
    figure.tight_layout(rect=(0, 0.13, 1, 1))
    figure.legend(handles=list(lines.values()), loc="lower center", ncols=3, fontsize=9, frameon=False)
    partial = Path(path).with_name(Path(path).stem + ".partial" + Path(path).suffix)
    figure.savefig(partial, dpi=110)
    partial.replace(path)
    pyplot.close(figure)
