"""The figures of the table comparison as a picture: rows a second against the batch, cost against the table's size."""

from pathlib import Path


def plot(figures: dict, path: str) -> None:
    """Write the picture; the suffix of `path` chooses the format. Needs matplotlib."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    panels = [x for x in ("cold", "resident") if x in figures] + (["growth"] if "growth" in figures else [])
    figure, axes = pyplot.subplots(1, len(panels), figsize=(6 * len(panels), 5), squeeze=False)
    for axis, panel in zip(axes[0], panels, strict=True):
        for name, by_n in figures[panel].items():
            sizes = [int(n) for n in by_n]
            medians = [by_n[n]["median"] for n in by_n]
            if panel == "growth":
                axis.plot(sizes, [1e6 * x for x in medians], marker="o", label=name)
            else:
                axis.plot(sizes, [n / x for n, x in zip(sizes, medians, strict=True)], marker="o", label=name)
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.grid(alpha=0.3)
        if panel == "growth":
            axis.set(
                xlabel="rows in the table", ylabel="µs for 48 rows", title="resident: cost against the table's size"
            )
        else:
            if panel == "cold" and figures["fio_iops"]:
                depth, iops = max(figures["fio_iops"].items())
                axis.axhline(iops, color="black", linestyle=":", label=f"fio, depth {depth}")
            axis.set(xlabel="rows in a batch", ylabel="rows a second", title=panel)
        axis.legend(fontsize=7)
    figure.tight_layout()
    partial = Path(path).with_name(Path(path).stem + ".partial" + Path(path).suffix)
    figure.savefig(partial)
    partial.replace(path)
    pyplot.close(figure)
