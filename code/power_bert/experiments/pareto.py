"""Score against speed: the search for several targets from one fine-tuned model, over seeds."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from rich.console import Console

from power_bert.config.experiment import Experiment
from power_bert.pictures import COLORS, DOTS_PER_INCH, pareto_front, png_bytes
from power_bert.reports.finish_run import finish_run
from power_bert.result_tables import csv_text, over_seeds, show_over_seeds, text_table, to_frame, wrap_lines
from power_bert.runs.run_dir import BASELINE, PHASES, RunDir
from power_bert.runs.run_documents import read_metrics
from power_bert.runs.timings import read_speedups
from power_bert.storage.files import atomic_directory, atomic_write_bytes, atomic_write_text
from power_bert.train.run_experiment import run_experiment, write_run_description

_FINE_TUNE, _, _RETRAIN = PHASES
# Column → heading, factor, format of the mean.
_COLUMNS = {
    "speedup_bucketed": ("bucketed", 1.0, "{:.2f}"),
    "speedup_padded": ("padded", 1.0, "{:.2f}"),
    "flops_reduction": ("FLOPs", 1.0, "{:.2f}"),
    "score": ("score (%)", 100.0, "{:.2f}"),
    "change": ("change", 100.0, "{:+.2f}"),
}


@dataclass(frozen=True)
class TargetRun:
    """Result of the run of one target and seed.

    Attributes:
        target: FLOPs reduction that was asked for.
        seed: Random seed.
        flops_reduction: FLOPs reduction on the dev examples.
        speedup_bucketed: Measured speed-up over length-bucketed batches.
        speedup_padded: Measured speed-up over fixed padding.
        score: Dev score, a fraction.
        baseline: Dev score of the model that was trained as long with nothing eliminated.
    """

    target: float
    seed: int
    flops_reduction: float
    speedup_bucketed: float
    speedup_padded: float
    score: float
    baseline: float


def run_targets(
    experiment_of: Callable[[float, int, Path], Experiment],
    targets: Sequence[float],
    seeds: Sequence[int],
    out: Path,
    console: Console,
) -> list[TargetRun]:
    """Run every target with every seed; all targets of a seed start from the same fine-tuned model.

    What an interrupted call finished is kept. The baseline has as many epochs as the run of the largest target.

    Args:
        experiment_of: Function (target, seed, run directory) that returns the settings of a run.
        targets: FLOPs reductions.
        seeds: Random seeds.
        out: Folder of the runs, ``out/seed_S/speedup_T``.
        console: Console for progress.

    Raises:
        UserError: A setting is invalid, which is found before the first run; or a run cannot be continued.
    """
    largest_first = sorted(set(targets), reverse=True)
    # A bad value must not end the command after hours of training.
    experiments = {
        (seed, target): experiment_of(target, seed, out / f"seed_{seed}" / f"speedup_{target:g}")
        for seed in seeds
        for target in largest_first
    }
    found = []
    for seed in dict.fromkeys(seeds):
        first: RunDir | None = None
        for target in largest_first:
            experiment = experiments[seed, target]
            run_dir = RunDir(Path(experiment.output_dir))
            console.print(f"\n=== SPEEDUP={target:g}, seed {seed}: {run_dir.path}", markup=False)
            if first is not None:
                _share_fine_tuned(experiment, first, run_dir)
            finish_run(run_experiment(experiment, console=console, predict_test=False, baseline=first is None), console)
            first = first or run_dir
            found.append(_result(experiment, target, first, run_dir))
    return found


def _share_fine_tuned(experiment: Experiment, first: RunDir, run_dir: RunDir) -> None:
    """Start a run from the phase 1 of another one, which has the same settings but for the target."""
    if not run_dir.phase(_FINE_TUNE).is_done:
        write_run_description(experiment, run_dir)
        with atomic_directory(run_dir.phase(_FINE_TUNE).path) as folder:
            shutil.copytree(first.phase(_FINE_TUNE).path, folder, dirs_exist_ok=True)


def _result(experiment: Experiment, target: float, first: RunDir, run_dir: RunDir) -> TargetRun:
    metric, speedups = experiment.task_definition.metrics[0], read_speedups(run_dir.timings)
    score, baseline = (
        read_metrics(phase.metrics, (metric,))["scores"][metric]
        for phase in (run_dir.phase(_RETRAIN), first.phase(BASELINE))
    )
    return TargetRun(
        target, experiment.seed, speedups.flops, speedups.bucketed, speedups.padded, float(score), float(baseline)
    )


def write_front(folder: Path, runs: Sequence[TargetRun], metric: str, max_loss: float) -> str:
    """Write ``pareto.txt``, ``pareto.csv`` and ``pareto.png``; return the text.

    Args:
        folder: Folder of the files.
        runs: Results of all runs.
        metric: Name of the score.
        max_loss: Largest mean loss of the recommended target, in points.
    """
    frame = to_frame(runs)
    frame["change"] = frame["score"] - frame["baseline"]
    text = front_text(frame, metric, max_loss)
    atomic_write_text(folder / "pareto.txt", text)
    atomic_write_text(folder / "pareto.csv", csv_text(frame))
    atomic_write_bytes(folder / "pareto.png", front_picture(frame, metric, max_loss))
    return text


def front_text(frame: pd.DataFrame, metric: str, max_loss: float) -> str:
    """Return the table for people, and the target that it recommends."""
    scaled = frame.assign(**{heading: factor * frame[name] for name, (heading, factor, _) in _COLUMNS.items()})
    headings = {heading: pattern for heading, _, pattern in _COLUMNS.values()}
    shown = show_over_seeds(over_seeds(scaled, ["target"], [*headings]), headings)
    shown.insert(0, "SPEEDUP", [f"{target:g}" for target in shown.index])
    baselines = frame.drop_duplicates("seed")["baseline"]
    seeds = frame["seed"].nunique()
    notes = [
        f"dev {metric}; mean ± standard deviation over {seeds} seed{'s' if seeds > 1 else ''}; change: against the "
        f"baseline, a model trained as long with nothing eliminated ({100 * baselines.mean():.2f}).",
        "bucketed, padded: measured speed-up over batches of similar length, and over fixed padding; FLOPs: reduction.",
        _recommendation(_means(frame), max_loss),
    ]
    return "\n".join([*text_table(shown), "", *wrap_lines(notes)]) + "\n"


def _means(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.groupby("target")[["change", "speedup_bucketed"]].mean()


def _fastest_within(means: pd.DataFrame, max_loss: float) -> float | None:
    """Return the fastest target whose mean loss is within the limit; None if there is none."""
    within = means[(100 * means["change"]).round(6) >= -max_loss]
    return None if within.empty else within["speedup_bucketed"].idxmax()


def _recommendation(means: pd.DataFrame, max_loss: float) -> str:
    best = _fastest_within(means, max_loss)
    at_most = f"at most {max_loss:g} point{'' if max_loss == 1 else 's'} on average"
    if best is None:
        least = means["change"].idxmax()
        return (
            f"No target loses {at_most}; the least loses SPEEDUP={least:g}, "
            f"{-100 * means['change'][least]:.2f} points. Try smaller targets or more epochs."
        )
    return (
        f"Recommended: SPEEDUP={best:g}, the fastest that loses {at_most}: "
        f"{means['speedup_bucketed'][best]:.2f} times faster at {100 * means['change'][best]:+.2f} points."
    )


def front_picture(frame: pd.DataFrame, metric: str, max_loss: float) -> bytes:
    """Return a PNG: the score against the measured speed-up, with deviations, the Pareto front and the baseline.

    The recommended target has a ring around it.
    """
    from matplotlib.figure import Figure

    canvas = Figure(figsize=(7, 4.5), dpi=DOTS_PER_INCH, layout="constrained")
    panel = canvas.subplots()
    scaled = frame.assign(score=100 * frame["score"])
    statistics = over_seeds(scaled, ["target"], ["score", "speedup_bucketed"])
    speed, score = (statistics[name] for name in ("speedup_bucketed", "score"))
    front = pareto_front((-speed["mean"]).tolist(), score["mean"].tolist())
    panel.plot(speed["mean"].iloc[front], score["mean"].iloc[front], color=COLORS[0], alpha=0.5, label="Pareto front")
    panel.errorbar(
        speed["mean"], score["mean"], score["std"].fillna(0), speed["std"].fillna(0), "o", color=COLORS[0], capsize=3
    )
    for target, x, y in zip(statistics.index, speed["mean"], score["mean"], strict=True):
        panel.annotate(f"SPEEDUP={target:g}", (x, y), xytext=(6, 6), textcoords="offset points", fontsize="small")
    best = _fastest_within(_means(frame), max_loss)
    if best is not None:
        ring = (speed["mean"][best], score["mean"][best])
        panel.plot(*ring, "o", markersize=14, fillstyle="none", color=COLORS[2], label="recommended")
    baseline = 100 * frame.drop_duplicates("seed")["baseline"].mean()
    panel.axhline(baseline, color=COLORS[4], linestyle="--", label="trained as long, nothing eliminated")
    panel.set_title("Score against measured speed-up")
    panel.set_xlabel("times faster, length-bucketed batches of 32")
    panel.set_ylabel(f"dev {metric}, %")
    panel.margins(x=0.15, y=0.15)
    panel.grid(alpha=0.3)
    panel.legend(frameon=False)
    return png_bytes(canvas)
