"""Freshness of a run over time, with the faults marked, as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from chaos.history import Entry

_COLOURS = {
    "N1": "#c0392b", "N2": "#e67e22", "N3": "#2980b9", "N4": "#8e44ad", "N5": "#8e44ad", "N6": "#8e44ad", "N7": "#16a085",
    "N8": "#d35400", "N9": "#27ae60", "N10": "#7f8c8d", "N11": "#7f8c8d", "N12": "#7f8c8d", "N14": "#f39c12",
    "N15": "#2980b9", "N19": "#34495e", "N20": "#34495e",
}  # fmt: skip


def freshness(history: Sequence[Entry], path: Path) -> None:
    """Age of the newest change that the view shows, by dataset, in seconds; each fault from its begin to normal again."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "onewindow"  # the same run gives the same file
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(12, 4), layout="constrained")
    reads = [entry for entry in history if entry["kind"] == "read"]
    for dataset in sorted({name for read in reads for name in read["lag"]}):
        points = [(read["at"] / 60, max(read["lag"][dataset], 0.01)) for read in reads if dataset in read["lag"]]
        axes.plot(*zip(*points, strict=True), linewidth=0.8, label=dataset)
    spans: dict[int, dict[str, Entry]] = {}
    for entry in history:
        if entry["kind"] == "fault":
            spans.setdefault(entry["number"], {})[entry["phase"]] = entry
    named = set()
    for phases in spans.values():
        if "begin" not in phases:
            continue
        begin, end = phases["begin"], phases.get("end", phases["begin"])
        label = begin["nemesis"] if begin["nemesis"] not in named else None
        named.add(begin["nemesis"])
        until = max(end["at"], begin["at"] + 0.3) / 60
        low = 0.0 if begin.get("beside") else 0.06
        axes.axvspan(
            begin["at"] / 60, until, ymin=low, ymax=0.05 if begin.get("beside") else 1.0,
            color=_COLOURS.get(begin["nemesis"], "#999999"), alpha=0.35, linewidth=0, label=label,
        )  # fmt: skip
    axes.set_yscale("log")
    axes.set_xlabel("minutes")
    axes.set_ylabel("age of the newest change shown, seconds")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(ncol=9, fontsize=7, loc="upper right")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
