"""The model card of a run: Markdown with a metadata header, as the hubs of models read it.

It lies beside the weights (``<phase>/model/README.md``), so that it goes with them. Every figure comes from a file of
the run; what nobody has measured is said to be not measured.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from power_bert.analysis.timings import read_speedups
from power_bert.config import Experiment
from power_bert.distill_config import Distillation, Ensemble, is_zero
from power_bert.errors import UserError
from power_bert.files import atomic_write_text
from power_bert.run_dir import PHASES, PhaseDir, RunDir
from power_bert.run_documents import read_card_rows, read_environment, read_metrics, read_object
from power_bert.settings import TrainingSettings
from power_bert.spread import show_spread, spread_of
from power_bert.text.custom_task import CUSTOM
from power_bert.train.evaluation import score_test_predictions
from power_bert.train.metrics import format_score, is_defined
from power_bert.train.run_folder import is_set_aside
from power_bert.train.stored_run import find_stored_phase

CARD = "README.md"
# What compare measures of a run; the card quotes it.
FIGURES = "figures.json"
_FINE_TUNE, _SEARCH, _ = PHASES
_INNER_WEIGHTS = ("hidden_weight", "cosine_weight", "attention_weight")


def write_model_card(run_dir: RunDir) -> Path:
    """Write the card of a run whose last phase is done; returns its path.

    Raises:
        UserError: a file of the run is missing or damaged.
    """
    stored = find_stored_phase(run_dir.path)
    settings, phase_dir = stored.experiment, stored.phase_dir
    scores = {"dev": read_metrics(phase_dir.metrics, settings.task_definition.metrics)["scores"]}
    if test := score_test_predictions(settings, phase_dir):
        scores["test"] = test
    lines = [
        f"# {_title(settings, phase_dir)}",
        "",
        *_section("Data", _data(settings, run_dir)),
        *_section("Recipe", _recipe(settings, phase_dir)),
        *_section("Scores", _scores(run_dir, settings, phase_dir, scores)),
        *_section("Size and time", _sizes(run_dir, phase_dir)),
        *_section("Limits", _limits(settings)),
        *_section("Use", _use(phase_dir)),
    ]
    path = phase_dir.model / CARD
    atomic_write_text(
        path, f"---\n{_metadata(settings, phase_dir, scores)}\n---\n\n" + "\n".join(lines).rstrip() + "\n"
    )
    return path


def finish_with_card(run_dir: RunDir, console: Console | None = None) -> None:
    """Write the card of a run, and say where things lie."""
    console = console or Console(highlight=False, soft_wrap=True)
    card = write_model_card(run_dir)
    console.print(f"model       {card.parent}\nmodel card  {card}\nlog         {run_dir.log}", markup=False)


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return [f"## {title}", "", *lines, ""]


def _table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    return [
        f"| {' | '.join(header)} |",
        f"|{'---|' * len(header)}",
        *(f"| {' | '.join(str(cell).replace('|', '/') for cell in row)} |" for row in rows),
    ]


def _title(settings: TrainingSettings, phase_dir: PhaseDir) -> str:
    task = "a task of the user" if settings.task == CUSTOM else settings.task
    if isinstance(settings, Distillation):
        return f"{settings.student} {'distilled' if settings.teachers else 'trained'} for {task}"
    if isinstance(settings, Ensemble):
        return f"Ensemble for {task}"
    return f"{'BERT fine-tuned' if phase_dir.path.name == _FINE_TUNE else 'PoWER-BERT'} for {task}"


def _metadata(settings: TrainingSettings, phase_dir: PhaseDir, scores: Mapping[str, Mapping[str, Any]]) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    task, is_score = settings.task_definition, settings.task_definition.is_regression
    results = [
        EvalResult(
            task_type="text-classification",
            dataset_type=settings.task,
            dataset_name=settings.task,
            dataset_split="validation" if split == "dev" else split,
            metric_type=name,
            metric_value=round(value, 6),
        )
        for split, of_split in scores.items()
        for name, value in of_split.items()
        if is_defined(value)
    ]
    data = ModelCardData(
        language=None if settings.task == CUSTOM else "en",
        library_name="keras-hub",
        pipeline_tag="text-classification",
        tags=["power-bert", *_tags(settings, phase_dir), *(["regression"] if is_score else [])],
        datasets=None if settings.task == CUSTOM else [settings.task],
        metrics=list(task.metrics),
        model_name=_title(settings, phase_dir) if results else None,
        eval_results=results or None,
    )
    return str(data.to_yaml())


def _tags(settings: TrainingSettings, phase_dir: PhaseDir) -> list[str]:
    if isinstance(settings, Distillation):
        return [settings.student, *(["distillation"] if settings.teachers else [])]
    if isinstance(settings, Ensemble):
        return ["ensemble"]
    return ["bert" if phase_dir.path.name == _FINE_TUNE else "word-vector elimination"]


def _data(settings: TrainingSettings, run_dir: RunDir) -> list[str]:
    task = settings.task_definition
    labels = "a score" if task.labels is None else f"{len(task.labels)} classes: {', '.join(task.labels)}"
    lines = [f"Task `{settings.task}`, {'pairs of texts' if task.is_pair else 'single texts'}; {labels}.", ""]
    digests = read_environment(run_dir.environment).get("data_sha256", {})
    return lines + (_table(["File", "sha256 or version"], list(digests.items())) if digests else [])


def _recipe(settings: TrainingSettings, phase_dir: PhaseDir) -> list[str]:
    metrics = read_metrics(phase_dir.metrics)
    lines = []
    for teacher in metrics.get("teachers", []):
        shown = ", ".join(f"{name} {format_score(score)}" for name, score in teacher["scores"].items())
        lines.append(f"Teacher `{Path(teacher['name']).name}`: dev {shown}; sha256 `{teacher['sha256'][:16]}`.")
    if parts := metrics.get("transfer_examples"):
        lines.append(f"Learnt from {', '.join(f'{count} {name}' for name, count in parts.items())} texts.")
    if phase_dir.retention.exists() or isinstance(settings, Experiment):
        lines.append(f"Retention configuration: {_retention(phase_dir)}.")
    left_out = {"task", "data_dir", "output_dir", "labels", "kind", *_idle_settings(settings)}
    values = {
        field.name: getattr(settings, field.name)
        for field in dataclasses.fields(settings)  # type: ignore[arg-type]
        if field.name not in left_out
    }
    rows = [(name, shown_setting(value)) for name, value in values.items() if value not in (None, (), "")]
    return [*lines, *([""] if lines else []), *_table(["Setting", "Value"], rows)]


def _idle_settings(settings: TrainingSettings) -> set[str]:
    """Settings that have done nothing in this run."""
    if not isinstance(settings, Distillation):
        return set()
    idle = set() if settings.augment else {"augment_copies", "mask_rate", "class_rate", "ngram_rate", "lm_rate"}
    idle |= {name for name in _INNER_WEIGHTS if is_zero(getattr(settings, name))}
    if set(_INNER_WEIGHTS) <= idle:
        idle.add("attention_loss")
    return idle if settings.teachers else idle | {"alpha", "temperature", "loss", "weighting"}


def _retention(phase_dir: PhaseDir) -> str:
    config = read_object(phase_dir.model / "config.json").get("config")
    retention = config.get("retention") if isinstance(config, dict) else None
    return ", ".join(map(str, retention)) if retention else "nothing is eliminated"


def shown_setting(value: Any) -> str:
    """A setting, without the folders of the machine that it was given on."""
    if isinstance(value, tuple):
        return ", ".join(shown_setting(part) for part in value)
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else str(value)


def _scores(
    run_dir: RunDir, settings: TrainingSettings, phase_dir: PhaseDir, scores: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    names = list(settings.task_definition.metrics)
    rows: list[list[str]] = []
    for name in PHASES if isinstance(settings, Experiment) else ():
        phase = run_dir.phase(name)
        if phase.is_done and name not in (_SEARCH, phase_dir.path.name):
            stored = read_metrics(phase.metrics, names)["scores"]
            rows.append([f"dev, {name}", *(format_score(stored[metric]) for metric in names)])
    rows += [[split, *(format_score(of_split[metric]) for metric in names)] for split, of_split in scores.items()]
    note = " The dev set has also chosen the epoch that was kept." if _keeps_best_epoch(settings) else ""
    lines = [
        f"In percent, seed {settings.seed}.{note}",
        "",
        *_table(["Split", *names], rows),
    ]
    of_seeds = {**_other_seeds(run_dir, settings), settings.seed: scores["dev"]}
    if len(of_seeds) > 1:
        by_metric = [[of_seed[metric] for of_seed in of_seeds.values()] for metric in names]
        spreads = [spread_of(100 * score if is_defined(score) else None for score in column) for column in by_metric]
        shown = [show_spread(spread, "{:.2f}") for spread in spreads]
        rows = [
            [str(seed), *(format_score(of_seed[metric]) for metric in names)]
            for seed, of_seed in sorted(of_seeds.items())
        ]
        lines += ["", "The same recipe from other seeds, dev:", ""]
        lines += _table(["Seed", *names], [*rows, ["mean ± deviation", *shown]])
    return lines


def _keeps_best_epoch(settings: TrainingSettings) -> bool:
    """Whether dev scores chose among epochs; an ensemble has none, and pruning and clustering keep the last."""
    if isinstance(settings, Distillation):
        return not settings.sparsity and not settings.clusters
    return not isinstance(settings, Ensemble)


def _other_seeds(run_dir: RunDir, settings: TrainingSettings) -> dict[int, dict[str, Any]]:
    """Seed → dev scores of the finished runs beside this one that differ in the seed alone."""
    try:
        folders = sorted(path for path in run_dir.path.parent.iterdir() if path != run_dir.path)
    except OSError:
        return {}  # what lies beside a run is no reason for it to fail
    found = {}
    for folder in folders:
        if is_set_aside(folder):
            continue
        try:
            other = find_stored_phase(folder)
            if same_but_seed(other.experiment, settings):
                found[other.experiment.seed] = read_metrics(other.phase_dir.metrics, settings.task_definition.metrics)[
                    "scores"
                ]
        except (UserError, OSError, UnicodeDecodeError):
            continue  # no run, not finished or not to be read
    return found


def same_but_seed(one: TrainingSettings, other: TrainingSettings) -> bool:
    """Whether two runs have the same settings apart from the seed and the folder."""
    if type(one) is not type(other):
        return False
    return without_seed(one) == without_seed(other)


def without_seed(settings: TrainingSettings) -> dict[str, Any]:
    """The settings but for the seed and the folder."""
    values = dataclasses.asdict(settings)  # type: ignore[call-overload]
    return {name: value for name, value in values.items() if name not in ("seed", "output_dir")}


def _sizes(run_dir: RunDir, phase_dir: PhaseDir) -> list[str]:
    weights = sum(path.stat().st_size for path in phase_dir.model.glob("*.h5"))
    rows = [["weights on disk", f"{weights / 1e6:.2f} MB"]]
    metrics = read_metrics(phase_dir.metrics)
    if "parameters" in metrics:
        rows.insert(0, ["parameters", f"{metrics['parameters']:,}"])
    if "seconds" in metrics:
        rows.append(["training of this phase", f"{metrics['seconds']:.0f} s"])
    if run_dir.timings.exists():
        faster = read_speedups(run_dir.timings)
        rows.append(["FLOPs against no elimination", f"{faster.flops:.2f} × fewer"])
        rows.append(["time against length-bucketed batches", f"{faster.bucketed:.2f} × faster"])
    figures = phase_dir.path / FIGURES
    rows += read_card_rows(figures) if figures.exists() else []
    machine = read_environment(run_dir.environment)
    conditions = f"Trained on {machine.get('processor')}, {machine.get('cpu_count')} cores, {machine.get('backend')}."
    lines = [*_table(["What", "Value"], rows), "", *([conditions] if machine else [])]
    if not figures.exists() and not run_dir.timings.exists():
        lines.append("Latency has not been measured; `bash run.sh compare RUN` does.")
    return lines


def _limits(settings: TrainingSettings) -> list[str]:
    task = settings.task_definition
    lines = [f"- Reads {settings.max_length} word pieces of a text at most; the rest is cut off."]
    if settings.task != CUSTOM:
        lines.append("- Trained and scored on English texts of this data set alone; other kinds of text are untested.")
    if task.labels is not None:
        lines.append("- Always names one of its classes, also where none fits.")
    if isinstance(settings, Distillation) and settings.teachers:
        lines.append("- Learns its teachers' mistakes with their knowledge.")
    return [*lines, "- Fairness and robustness have not been examined."]


def _use(phase_dir: PhaseDir) -> list[str]:
    return [
        "```python",
        "from power_bert.model.classifier import PowerBertTextClassifier",
        "",
        f'classifier = PowerBertTextClassifier.from_preset("{phase_dir.model.name}")',
        'classifier.predict(["a text"])',
        "```",
    ]
