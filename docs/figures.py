"""Draws the figures of the pages as SVG files in docs/figures.

    PYTHONPATH=code python docs/figures.py

The figures of the method call the functions that they explain. Those of results read the tables of their pages, so that
a figure and its table cannot differ.
"""

import itertools
import os
import re
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.ticker import MultipleLocator

from power_bert.elimination.retention import Retention
from power_bert.elimination.search import step_profile
from power_bert.pictures import COLORS, MARKERS

_DOCS = Path(__file__).parent
# The same bytes from the same tables; text stays text, in the font of the reader.
matplotlib.rcParams.update({"svg.hashsalt": "power-bert", "svg.fonttype": "none", "font.size": 10})
_GRAY = "#d0d7de"


def main() -> None:
    """Draw all figures."""
    titles = {
        elimination: "Tokens left after each block, of a text of 30 tokens",
        block: "An encoder block with token elimination",
        step_profiles: "Retention parameters of one block, by the fraction of tokens to keep",
        similarity: "Similarities of the attention, by width",
        distillation: "A BiLSTM with and without teachers, on four data sets",
        devices: "Score against latency of exported files, area: model size",
        targets: "Runs with a target: change of the score against speed-up",
        servers: "Latency of exported files, one text after another",
        pretraining: "Gain of pre-training a BERT-tiny, over random weights",
    }
    for draw, title in titles.items():
        figure = draw()
        figure.suptitle(title, fontsize=11)
        figure.savefig(_DOCS / "figures" / f"{draw.__name__}.svg", metadata={"Date": None, "Creator": None})


def elimination() -> Figure:
    """Draw the tokens left after each block, with the configuration that a search found for STS-B."""
    retention, length = Retention.parse("0.999,0.984,0.755,0.501,0.234,0.016"), 30
    left = [length, *(retention.left_after(block, length) for block in range(len(retention.values)))]
    figure, panel = _one_panel(7, 2.8)
    labels = ["input", *(f"block {number}" for number in range(1, len(left)))]
    panel.bar(labels, length, color=_GRAY, width=0.7, label="eliminated")
    bars = panel.bar(labels, left, color=COLORS[0], width=0.7, label="left")
    panel.bar_label(bars, padding=2)
    panel.set(ylabel="tokens", ylim=(0, length * 1.15))
    panel.legend(loc="upper right", frameon=False, ncols=2)
    return figure


def block() -> Figure:
    """Draw an encoder block with extraction between self-attention and feed-forward."""
    figure, panel = _one_panel(8, 2.2)
    panel.set(xlim=(0, 16), ylim=(0, 4))
    panel.axis("off")
    parts = (
        ("hidden states\nn × hidden", "white"),
        ("self-attention,\nresidual, norm", _GRAY),
        ("extraction:\nkeep the most\nsignificant", "#ddf4ff"),
        ("feed-forward,\nresidual, norm", _GRAY),
        ("hidden states\nkept × hidden", "white"),
    )
    for number, (text, color) in enumerate(parts):
        panel.add_patch(FancyBboxPatch((3.2 * number + 0.2, 0.4), 2.4, 1.8, "round,pad=0.1", fc=color, ec="black"))
        panel.text(3.2 * number + 1.4, 1.3, text, ha="center", va="center", fontsize=9)
        if number:
            panel.add_patch(_arrow((3.2 * number - 0.5, 1.3), (3.2 * number + 0.1, 1.3)))
    panel.add_patch(_arrow((4.6, 2.4), (7.6, 2.4), "arc3,rad=-0.35"))
    panel.text(6.1, 3.35, "significance: attention that each token receives", ha="center", fontsize=9)
    return figure


def _arrow(start: tuple[float, float], end: tuple[float, float], shape: str = "arc3") -> FancyArrowPatch:
    return FancyArrowPatch(start, end, connectionstyle=shape, arrowstyle="-|>", mutation_scale=12, color="black")


def step_profiles() -> Figure:
    """Draw the retention parameters by significance rank, for several fractions of tokens to keep."""
    figure, panel = _one_panel(6, 2.8)
    parameters = 200
    for color, fraction in zip(COLORS, (0.9, 0.6, 0.3), strict=False):
        values = step_profile(fraction, parameters)
        ranks = [rank / parameters for rank in range(parameters)]
        panel.plot(ranks, [float(value) for value in values], color=color, label=f"fraction learned: {fraction}")
    panel.set(xlabel="rank of significance / number of tokens", ylabel="retention parameter r")
    panel.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    panel.grid(alpha=0.3)
    return figure


def similarity() -> Figure:
    """Draw test loss and mean dev score against width, one line per similarity."""
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    panels = figure.subplots(1, 2)
    rows = _table("similarity", "Similarity, width")
    names = list(dict.fromkeys(row[0].rpartition(", ")[0] for row in rows))
    for panel, column, label in zip(panels, (2, -1), ("test loss", "mean dev score of four tasks"), strict=True):
        for name, color, marker in zip(names, COLORS, MARKERS, strict=False):
            of_name = [row for row in rows if row[0].startswith(f"{name},")]
            widths = [int(row[0].rpartition(" ")[2]) for row in of_name]
            means, deviations = zip(*(_mean_and_deviation(row[column]) for row in of_name), strict=True)
            panel.errorbar(widths, means, deviations, color=color, marker=marker, capsize=3, label=name)
        panel.set(xlabel="width (hidden size)", ylabel=label, xscale="log")
        panel.set_xticks(widths, [str(width) for width in widths])
        panel.minorticks_off()
        panel.grid(alpha=0.3)
    panels[0].legend(frameon=False)
    return figure


def distillation() -> Figure:
    """Draw the scores of the BiLSTM in each variant of its training, with that of the teacher."""
    rows = [row for row in _table("results/distillation", "Data (score") if row[1] == "BiLSTM"]
    figure, panel = _one_panel(8, 3.4)
    variants = ("no teacher", "distilled", "two teachers", "augmented")
    for number, (variant, color, marker) in enumerate(zip(variants, ("black", *COLORS), MARKERS, strict=False)):
        filled = [(place, _mean_and_deviation(row[2 + number])) for place, row in enumerate(rows) if row[2 + number]]
        places = [place + 0.2 * (number - 1.5) for place, _ in filled]
        means, deviations = zip(*(figures for _, figures in filled), strict=True)
        panel.errorbar(places, means, deviations, fmt=marker, color=color, capsize=3, label=variant)
    for place, row in enumerate(rows):
        score = float(re.findall(r"\((\d+\.\d+)", row[0])[0])
        label = "teacher" if place == 0 else None
        panel.hlines(score, place - 0.45, place + 0.45, color="black", linestyle="dashed", label=label)
    names = [re.sub(r" \(.*", "", row[0]).replace(", ", ",\n") for row in rows]
    names = ["SST-2, teacher\nof all examples" if "; teacher trained on all" in name else name for name in names]
    panel.set_xticks(range(len(rows)), names)
    panel.set(ylabel="accuracy of the BiLSTM (%)")
    panel.grid(axis="y", alpha=0.3)
    panel.legend(frameon=False, ncols=5, loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=9)
    return figure


def devices() -> Figure:
    """Draw F1 against latency of exported files of MRPC, area by model size."""
    figure, panel = _one_panel(8, 3.6)
    files = [[row[0], row[1].split(" → ")[-1], *row[2:4]] for row in _table("devices", "File") if row[1]]
    tiny, _, int8 = _table("devices", "Model")
    for (name, score, megabytes, latency), color, marker in zip([*files, int8, tiny], COLORS, MARKERS, strict=False):
        label = f"{name.replace('`', '')}, {megabytes} MB"
        x = float(latency.split()[0])
        panel.scatter(x, float(score), 5 * float(megabytes), color=color, alpha=0.7, marker=marker, label=label)
    panel.set(
        xlabel="latency p50 of one text (ms), LiteRT, 2 threads",
        ylabel="F1, MRPC dev set",
        xscale="log",
        ylim=(81, 86.8),
    )
    panel.set_xticks([0.5, 1, 2, 5, 10, 20], ["0.5", "1", "2", "5", "10", "20"])
    panel.minorticks_off()
    panel.grid(alpha=0.3)
    legend = panel.legend(frameon=False, fontsize=8, loc="lower right")
    for handle in legend.legend_handles:
        handle.set_sizes([40])
    return figure


def targets() -> Figure:
    """Draw what eliminating changes against a model trained as long, with its interval, against speed-up."""
    figure, panel = _one_panel(8, 3.6)
    rows = [row for row in _table("elimination", "Task, metric | `SPEEDUP` | Seed") if "±" not in row[3]]
    tasks, values = (list(dict.fromkeys(row[column] for row in rows if row[column])) for column in (0, 1))
    drawn, target = list[float](), ""
    for row in rows:
        target = row[1] or target
        speedup = _number(row[9].split()[0])
        drawn.append(speedup)
        change, low, high = map(_number, re.findall(r"[+−±]?\d+\.\d+", row[7]))
        panel.errorbar(
            speedup + 0.015 * (drawn.count(speedup) - 1),  # equal ones side by side
            change,
            [[change - low], [high - change]],
            color=COLORS[tasks.index(row[0])],
            marker=MARKERS[values.index(target)],
            capsize=3,
            linestyle="none",
            label=f"{row[0]}, target {target}" if row[1] else None,
        )
    panel.axhline(0, color="black", linewidth=1, linestyle="dashed")
    panel.xaxis.set_major_locator(MultipleLocator(0.2))
    panel.set(
        xlabel="speed-up on length-bucketed batches of 32 (×)",
        ylabel="score − score trained as long\n(points, 95 % interval)",
    )
    panel.grid(alpha=0.3)
    panel.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def servers() -> Figure:
    """Draw the median latency of one text at its real length, by model."""
    tables = _tables("servers", "Model | one by one")
    figure = Figure(figsize=(8, 0.8 + 0.3 * max(map(len, tables))), layout="constrained")
    panels = figure.subplots(1, len(tables), squeeze=False)[0]
    page = (_DOCS / "results" / "servers.md").read_text(encoding="utf-8")
    titles = re.findall(r"(?m)^## (\S+, \d+ tokens on average)$", page)
    for panel, rows, title in zip(panels, tables, titles, strict=True):
        names, latencies = [row[0] for row in rows], [_number(row[1].split()[0]) for row in rows]
        colors = [COLORS[name.startswith("eliminated")] for name in names]
        bars = panel.barh(names, latencies, color=colors, height=0.7)
        panel.bar_label(bars, [f"{latency:.2f}" for latency in latencies], padding=3, fontsize=9)
        panel.set(title=title, xlabel="latency p50 of one text (ms)", xlim=(0, 1.22 * max(latencies)))
        panel.title.set_fontsize(10)
        panel.invert_yaxis()
        panel.tick_params(axis="y", labelsize=9)
    return figure


def pretraining() -> Figure:
    """Draw the gain in dev score over random weights, by task and number of tokens of pre-training."""
    heading, rows = "Pre-trained on", _table("pretraining", "Pre-trained on")
    page = (_DOCS / "results" / "pretraining.md").read_text(encoding="utf-8")
    (tasks,) = re.findall(rf"(?m)^\| {heading} \| (.*) \|$", page)
    names = tasks.split(" | ")
    figure, panel = _one_panel(8, 3.2)
    for number, (row, color, marker) in enumerate(zip(rows, COLORS, MARKERS, strict=False)):
        gains = [_mean_and_deviation(cell.split(" (")[0]) for cell in row[1:]]
        means, deviations = zip(*gains, strict=True)
        places = [place + 0.2 * (number - (len(rows) - 1) / 2) for place in range(len(names))]
        label = re.split(r", records| \(", row[0])[0]
        label += "" if "tokens" in label else " tokens"
        panel.errorbar(places, means, deviations, fmt=marker, color=color, capsize=3, label=label)
    panel.axhline(0, color="black", linewidth=1, linestyle="dashed")
    panel.set_xticks(range(len(names)), names)
    panel.set(ylabel="gain in dev score (points),\nmean ± sd of three seeds")
    panel.grid(axis="y", alpha=0.3)
    panel.legend(frameon=False, loc="upper right")
    return figure


def _one_panel(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _table(page: str, heading: str) -> list[list[str]]:
    """Return the rows of the only such table, as `_tables`."""
    (rows,) = _tables(page, heading)
    return rows


def _tables(page: str, heading: str) -> list[list[list[str]]]:
    """Return the rows of the tables of a results page whose first line starts with a text, without bold type."""
    text = (_DOCS / "results" / f"{page.removeprefix('results/')}.md").read_text(encoding="utf-8")
    found = re.findall(rf"^\| {re.escape(heading)}.*\n\|[-|]+\n((?:\|.*\n)+)", text, flags=re.MULTILINE)
    return [_rows(table) for table in found]


def _rows(table: str) -> list[list[str]]:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.replace("**", "").splitlines()]
    for before, row in itertools.pairwise(rows):
        row[0] = row[0].replace("the same, int8", before[0].replace("float32", "int8")) or before[0]
    return rows


def _mean_and_deviation(cell: str) -> tuple[float, float]:
    mean, _, deviation = cell.partition(" ± ")
    return _number(mean), float(deviation or 0)


def _number(text: str) -> float:
    return float(text.replace("−", "-").replace("±", ""))


if __name__ == "__main__":
    main()
