"""The pictures of a finished run, drawn from its files; a picture whose files are missing is left out."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from power_bert.elimination.flops import EncoderShape
from power_bert.elimination.retention import CLS, FRACTION, Retention
from power_bert.errors import UserError
from power_bert.pictures import COLORS, DOTS_PER_INCH, MARKERS, png_bytes
from power_bert.reports.elimination_cost import scored_labels
from power_bert.runs.document import Document
from power_bert.runs.resolve_model import StoredPhase
from power_bert.runs.run_dir import BASELINE, DISTILL, PHASES, PhaseDir, RunDir
from power_bert.runs.run_documents import read_configuration, read_metrics, read_object
from power_bert.runs.timings import BUCKETED, BUCKETED_ELIMINATED, FIXED_PADDING
from power_bert.storage.json_form import NUMBER, Each, Maybe
from power_bert.text.predictions import read_predictions

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FINE_TUNE, _SEARCH, _RETRAIN = PHASES
_NAMES = {
    _FINE_TUNE: "fine-tuning",
    _SEARCH: "search",
    _RETRAIN: "re-training",
    BASELINE: "baseline (nothing eliminated)",
    DISTILL: "distillation",
}
_SHAPE = {
    "config": {
        "num_layers": int,
        "num_heads": (int, list),
        "hidden_dim": int,
        "intermediate_dim": (int, list),
        "head_dim": Maybe((int, type(None))),
    }
}
_STAGE = {"flops_reduction": NUMBER, "scores": Each((*NUMBER, type(None)))}
# Largest numbers of classes for which a confusion matrix has counts in its cells, and names at its axes.
_CLASSES_WITH_FIGURES, _CLASSES_WITH_NAMES = 12, 40
_LONGEST_NAME = 24


@dataclass(frozen=True)
class RunPicture:
    """A picture of a run.

    Attributes:
        name: Name of the file, without its ending.
        title: What it shows.
        png: The picture; None if it is left out.
    """

    name: str
    title: str
    png: bytes | None


def run_pictures(stored: StoredPhase) -> list[RunPicture]:
    """Draw the pictures of the run whose final phase is given.

    Raises:
        UserError: A file of the run is damaged; the message names it.
    """
    drawings = {
        "kept": ("Kept by each block", _kept(stored.run_dir)),
        "learning_curves": ("Learning curves", _learning_curves(stored)),
        "search_path": ("Search", _search_path(stored)),
        "confusion": ("Predictions on the dev set", _predictions(stored)),
        "score_speed": ("Score against speed", _score_against_speed(stored)),
    }
    return [
        RunPicture(name, title, None if figure is None else png_bytes(figure))
        for name, (title, figure) in drawings.items()
    ]


def _figure(title: str, panels: int, height: float = 3.6) -> tuple[Figure, Sequence[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6 * max(panels, 1.5), height), dpi=DOTS_PER_INCH, layout="constrained")
    figure.suptitle(title, parse_math=False)
    return figure, figure.subplots(1, panels, squeeze=False)[0]


def _whole_numbers(panel: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    panel.xaxis.set_major_locator(MaxNLocator(integer=True))


def _kept(run_dir: RunDir) -> Figure | None:
    """Draw tokens, attention heads and feed-forward neurons that each block keeps."""
    if not run_dir.retention.exists():
        return None
    found = read_configuration(run_dir.retention)
    before = _shape_before(run_dir.phase(_FINE_TUNE))
    in_percent = found.tokens.unit == FRACTION
    tokens = [100.0 * value if in_percent else float(value) for value in found.tokens.values]
    whole: Sequence[float] | None = [100.0] * len(tokens) if in_percent else None
    bars: list[tuple[str, Sequence[float], Sequence[float] | None]] = [
        ("tokens kept (% of each example)" if in_percent else "tokens kept, at most", tokens, whole)
    ]
    for label, kept, name in (
        ("attention heads kept", found.heads, "heads"),
        ("feed-forward neurons kept", found.neurons, "neurons"),
    ):
        if kept:
            bars.append((label, kept, None if before is None else getattr(before, name)))
    figure, panels = _figure("What each encoder block keeps", len(bars))
    for panel, (label, values, of) in zip(panels, bars, strict=True):
        places = range(1, len(values) + 1)
        if of is not None and len(of) == len(values):
            panel.bar(places, of, 0.7, color="#e9ecef", label="eliminated")
        drawn = panel.bar(places, values, 0.7, color=COLORS[0], label="kept")
        if len(values) <= 12:
            pattern = "{:.3g}" if max(values) < 1000 else "{:.0f}"
            labels = [pattern.format(value) for value in values]
            if values is tokens:
                labels = [CLS if found.tokens.keeps_cls_alone(block) else text for block, text in enumerate(labels)]
            panel.bar_label(drawn, labels, padding=2, fontsize=8)
        panel.set(xlabel="encoder block", ylabel=label)
        panel.margins(y=0.12)
        _whole_numbers(panel)
    return figure


def _shape_before(fine_tuned: PhaseDir) -> EncoderShape | None:
    """Return the sizes of the fine-tuned model; None if it has been deleted."""
    path = fine_tuned.model / "config.json"
    if not path.exists():
        return None
    config = read_object(path, _SHAPE)["config"]
    try:
        return EncoderShape.of(config, 1)
    except (ValueError, ZeroDivisionError) as error:
        raise UserError(f"{path}: damaged: {error}; restore it, or delete its folder to have it made again") from None


def _learning_curves(stored: StoredPhase) -> Figure | None:
    """Draw training loss and dev score of every epoch; the baseline goes on where fine-tuning ended."""
    metric, ends, curves = stored.task.metrics[0], dict[str, int](), list[tuple[str, list[int], list[Any]]]()
    for phase, after in (
        *zip(PHASES, ("", _FINE_TUNE, _SEARCH), strict=True),
        (BASELINE, _FINE_TUNE),
        (DISTILL, ""),
    ):
        phase_dir = stored.run_dir.phase(phase)
        history = read_metrics(phase_dir.metrics).get("history", []) if phase_dir.is_done else []
        start = ends.get(after, 0)
        ends[phase] = start + len(history)
        if history:
            curves.append((phase, [start + number for number in range(1, len(history) + 1)], history))
    if not curves:
        return None
    figure, (losses, scores) = _figure("Learning curves (the losses of the phases differ)", 2)
    for (phase, epochs, history), color, marker in zip(curves, COLORS, MARKERS, strict=False):
        style: dict[str, Any] = {"color": color, "marker": marker, "label": _NAMES[phase]}
        losses.plot(epochs, [_number(entry["train_loss"]) for entry in history], **style)
        scores.plot(epochs, [100 * _number(entry["scores"].get(metric)) for entry in history], **style)
    losses.set(xlabel="epoch, counted over the phases", ylabel="training loss")
    scores.set(xlabel="epoch, counted over the phases", ylabel=f"dev {metric} (%)")
    for panel in (losses, scores):
        panel.grid(alpha=0.3)
        _whole_numbers(panel)
    _legend_below(figure, losses)
    return figure


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _legend_below(figure: Figure, panel: Axes) -> None:
    handles, labels = panel.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=9)


@dataclass(frozen=True)
class _Stage:
    """A stage of the search for a target: FLOPs reduction, configuration, and score before and after its training."""

    flops_reduction: float
    tokens: Retention
    before: float
    after: float


def _stages(stored: StoredPhase) -> Iterator[_Stage]:
    metric, run_dir = stored.task.metrics[0], stored.run_dir
    for number in itertools.count(1):
        stage = run_dir.phase(_SEARCH).stage(number)
        if not stage.retention.exists():
            return
        values = read_object(stage.retention, _STAGE)
        # The last stage is trained by phase 3.
        trained = stage if stage.metrics.exists() else run_dir.phase(_RETRAIN)
        after = read_metrics(trained.metrics)["scores"].get(metric) if trained.metrics.exists() else None
        yield _Stage(
            float(values["flops_reduction"]),
            read_configuration(stage.retention).tokens,
            _number(values["scores"].get(metric)),
            _number(after),
        )


def _search_path(stored: StoredPhase) -> Figure | None:
    """Draw the stages of a search for a target; a search with LAMBDA has none."""
    stages, metric = list(_stages(stored)), stored.task.metrics[0]
    if not stages:
        return None
    figure, (kept, scores) = _figure("Search: stages of elimination", 2)
    styles = zip(itertools.cycle(COLORS), itertools.cycle(MARKERS), strict=False)
    for number, (stage, (color, marker)) in enumerate(zip(stages, styles, strict=False), 1):
        in_percent = stage.tokens.unit == FRACTION
        values = [100 * value for value in stage.tokens.values] if in_percent else list(stage.tokens.values)
        label = f"stage {number}: {stage.flops_reduction:.2f} × fewer FLOPs"
        # Stages can keep equal numbers of tokens: an earlier one is drawn wider, so that it is seen below a later one.
        wide = 6 * (len(stages) - number) / max(len(stages) - 1, 1)
        lines = kept.plot(range(1, len(values) + 1), values, color=color, marker=marker, label=label)
        lines[0].set(linewidth=1.5 + wide, markersize=6 + wide, alpha=0.5 if wide else 1)
        kept.set(xlabel="encoder block", ylabel=f"tokens kept{' (%)' if in_percent else ''}")
    kept.set_ylim(bottom=0)
    _whole_numbers(kept)
    costs = [stage.flops_reduction for stage in stages]
    fine_tuned = stored.run_dir.phase(_FINE_TUNE)
    if fine_tuned.is_done:
        whole = _number(read_metrics(fine_tuned.metrics)["scores"].get(metric))
        scores.plot([1], [100 * whole], "k*", markersize=9, label="fine-tuned, nothing eliminated")
    for label, values, style in (
        ("after elimination", [stage.before for stage in stages], "--o"),
        ("after training", [stage.after for stage in stages], "-s"),
    ):
        color = COLORS[4] if style.startswith("--") else COLORS[0]
        scores.plot(costs, [100 * value for value in values], style, color=color, label=label)
    scores.set(xlabel="FLOPs reduction (×)", ylabel=f"dev {metric} (%)")
    for panel in (kept, scores):
        panel.grid(alpha=0.3)
        panel.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), frameon=False, fontsize=8)
    return figure


def _predictions(stored: StoredPhase) -> Figure | None:
    """Draw the confusion matrix of the dev set, or the predicted scores against the true ones."""
    path, task = stored.phase_dir.predictions("dev"), stored.task
    if not path.exists():
        return None
    predictions = read_predictions(path, task)
    try:
        labels = scored_labels(stored)
    except UserError:
        return None  # the data have been moved or changed since
    if task.class_names is None:
        figure, (panel,) = _figure(f"Predicted against true scores, {len(labels)} dev examples", 1, 4.4)
        panel.scatter(labels, predictions, s=12, alpha=0.4, color=COLORS[0], linewidths=0)
        ends = [min(labels.min(), predictions.min()), max(labels.max(), predictions.max())]
        panel.plot(ends, ends, color=COLORS[4], linewidth=1)
        panel.set(xlabel="true score", ylabel="predicted score")
        panel.grid(alpha=0.3)
        return figure
    return _confusion(labels, predictions, task.class_names)


def _confusion(labels: np.ndarray, predictions: np.ndarray, names: Sequence[str]) -> Figure:
    from sklearn.metrics import confusion_matrix

    counts = confusion_matrix(labels, predictions, labels=range(len(names)))
    shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = float(np.clip(2.6 + 0.45 * len(names), 4.0, 11.0))
    figure, (panel,) = _figure(f"Confusion matrix, {len(labels)} dev examples", 1, side)
    figure.set_figwidth(side + 1.6)
    image = panel.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    figure.colorbar(image, ax=panel, label="% of the true class", shrink=0.8)
    panel.set(xlabel="predicted class", ylabel="true class")
    if len(names) <= _CLASSES_WITH_NAMES:
        shown = [name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…" for name in names]
        size = 9 if len(names) <= _CLASSES_WITH_FIGURES else 7
        upright = len(names) > 2 and max(map(len, shown)) > 2
        panel.set_xticks(range(len(names)), shown, rotation=90 if upright else 0, fontsize=size, parse_math=False)
        panel.set_yticks(range(len(names)), shown, fontsize=size, parse_math=False)
    if len(names) <= _CLASSES_WITH_FIGURES:
        for row, column in np.ndindex(counts.shape):
            color = "white" if shares[row, column] > 60 else "black"
            panel.text(column, row, str(counts[row, column]), ha="center", va="center", color=color, fontsize=9)
    return figure


def _score_against_speed(stored: StoredPhase) -> Figure | None:
    """Draw the dev score of the models of the run against their measured time per example."""
    run_dir, metric = stored.run_dir, stored.task.metrics[0]
    if not run_dir.timings.exists():
        return None
    timings = Document.read(run_dir.timings).part("timings")
    points = [
        ("fine-tuned, batches padded to the max length", _FINE_TUNE, FIXED_PADDING),
        ("fine-tuned, length-bucketed batches", _FINE_TUNE, BUCKETED),
        ("baseline (nothing eliminated), length-bucketed batches", BASELINE, BUCKETED),
        ("with elimination, length-bucketed batches", _RETRAIN, BUCKETED_ELIMINATED),
    ]
    figure, (panel,) = _figure("Score against speed", 1, 4.0)
    for (label, phase, timed), color, marker in zip(points, COLORS, MARKERS, strict=False):
        if run_dir.phase(phase).is_done:
            score = _number(read_metrics(run_dir.phase(phase).metrics)["scores"].get(metric))
            milliseconds = 1e3 * timings.part(timed).number("seconds_per_example")
            panel.plot(milliseconds, 100 * score, marker, color=color, markersize=9, label=label)
    panel.set(xlabel="time per example (ms), measured", ylabel=f"dev {metric} (%)")
    panel.set_xlim(left=0)
    panel.margins(y=0.3)
    panel.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=1, frameon=False, fontsize=9)
    return figure
