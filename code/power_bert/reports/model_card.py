"""The model card of a run: Markdown with the metadata header that model hubs read.

It is stored with the weights (``<phase>/model/README.md``). Every figure comes from a file of the run, and the card
states what has not been measured.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from power_bert.config.distillation import Distillation, Ensemble
from power_bert.config.experiment import Experiment
from power_bert.config.validation import TrainingSettings
from power_bert.predict.evaluation import score_test_predictions
from power_bert.predict.metrics import format_score, is_defined
from power_bert.reports.card_scores import phase_warnings, score_lines
from power_bert.reports.model_origin import find_origin
from power_bert.result_tables import markdown_table, to_frame
from power_bert.runs.public_data import why_not_public
from power_bert.runs.resolve_model import StoredPhase, finished_phase
from power_bert.runs.run_dir import PHASES, PhaseDir, RunDir
from power_bert.runs.run_documents import read_card_rows, read_environment, read_metrics
from power_bert.runs.timings import read_speedups
from power_bert.storage.files import atomic_write_text
from power_bert.text.custom_task import CUSTOM
from power_bert.text.labeled_sets import SAMPLE

CARD = "README.md"
# Figures that `compare` measured; the card quotes them.
FIGURES = "figures.json"
_FINE_TUNE, *_ = PHASES


def write_model_card(run_dir: RunDir) -> Path:
    """Write the card of a run whose last phase is done; return its path.

    Raises:
        UserError: A file of the run is missing or damaged.
    """
    stored = finished_phase(run_dir)
    settings, phase_dir = stored.experiment, stored.phase_dir
    scores = {"dev": read_metrics(phase_dir.metrics, settings.task_definition.metrics)["scores"]}
    if test := score_test_predictions(settings, phase_dir):
        scores["test"] = test
    not_public = why_not_public(settings.task_definition, phase_dir)
    warnings = [f"- `{phase}`: {warning}" for phase, warning in phase_warnings(stored)]
    lines = [
        f"# {_title(settings, phase_dir)}",
        "",
        *_section("Data", _data(settings, run_dir, not_public)),
        *_section("Origin", [find_origin(settings).sentence()]),
        *_section("Recipe", _recipe(stored)),
        *(_section("Warnings", warnings) if warnings else []),
        *_section("Scores", score_lines(stored, scores)),
        *_section("Model size and latency", _sizes(run_dir, phase_dir)),
        *_section("Limits", _limits(settings)),
        *_section("Use", _use(phase_dir)),
    ]
    path = phase_dir.model / CARD
    atomic_write_text(
        path,
        f"---\n{_metadata(settings, phase_dir, scores, not not_public)}\n---\n\n" + "\n".join(lines).rstrip() + "\n",
    )
    return path


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return [f"## {title}", "", *lines, ""]


def _title(settings: TrainingSettings, phase_dir: PhaseDir) -> str:
    task = "a task of the user" if settings.task == CUSTOM else settings.task
    if isinstance(settings, Distillation):
        return f"{settings.student} {'distilled' if settings.teachers else 'trained'} for {task}"
    if isinstance(settings, Ensemble):
        return f"Ensemble for {task}"
    return f"{'BERT fine-tuned' if phase_dir.path.name == _FINE_TUNE else 'PoWER-BERT'} for {task}"


def _metadata(
    settings: TrainingSettings, phase_dir: PhaseDir, scores: Mapping[str, Mapping[str, Any]], is_public: bool
) -> str:
    """Return the header; scores that are not scores on a public data set are not listed under its name."""
    from huggingface_hub import EvalResult, ModelCardData

    task, is_score = settings.task_definition, settings.task_definition.is_regression
    origin = find_origin(settings)
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
        if is_defined(value) and (is_public or settings.task in (CUSTOM, SAMPLE))
    ]
    data = ModelCardData(
        license=origin.license,
        base_model=origin.hub_name or None,
        language=None if settings.task == CUSTOM else "en",
        library_name="keras-hub",
        pipeline_tag="text-classification",
        tags=["power-bert", *_tags(settings, phase_dir), *(["regression"] if is_score else [])],
        datasets=[settings.task] if is_public else None,
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
    return ["bert" if phase_dir.path.name == _FINE_TUNE else "token elimination"]


def _data(settings: TrainingSettings, run_dir: RunDir, not_public: str) -> list[str]:
    task = settings.task_definition
    labels = "a score" if task.labels is None else f"{len(task.labels)} classes: {', '.join(task.class_names or ())}"
    lines = [f"Task `{settings.task}`, {'pairs of texts' if task.is_pair else 'single texts'}; {labels}.", ""]
    if not_public:
        lines += [f"No score here is a score on a public data set: {not_public}.", ""]
    digests = read_environment(run_dir.environment).get("data_sha256", {})
    return lines + (markdown_table(to_frame(digests.items(), ["File", "sha256 or version"])) if digests else [])


def _recipe(stored: StoredPhase) -> list[str]:
    settings, phase_dir = stored.experiment, stored.phase_dir
    metrics = read_metrics(phase_dir.metrics)
    lines = []
    for teacher in metrics.get("teachers", []):
        shown = ", ".join(f"{name} {format_score(score)}" for name, score in teacher["scores"].items())
        lines.append(f"Teacher `{Path(teacher['name']).name}`: dev {shown}; sha256 `{teacher['sha256'][:16]}`.")
    if parts := metrics.get("transfer_examples"):
        lines.append(f"Trained on {', '.join(f'{count} {name}' for name, count in parts.items())} texts.")
    if phase_dir.retention.exists() or isinstance(settings, Experiment):
        fuses = isinstance(settings, Experiment) and settings.fuse
        shown = stored.retention.shown(fuses) if stored.retention else "no elimination"
        lines.append(f"Retention configuration: {re.sub(', *', ', ', shown)}.")
    rows = [(settings.spelled(name), shown_setting(value)) for name, value in settings.shown().items()]
    return [*lines, *([""] if lines else []), *markdown_table(to_frame(rows, ["Setting", "Value"]))]


def shown_setting(value: Any) -> str:
    """Return a setting as text, with absolute paths reduced to their last part."""
    if type(value) is tuple:
        return ", ".join(shown_setting(part) for part in value)
    if isinstance(value, dict):
        return ", ".join(f"{name}={part}" for name, part in value.items())
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else str(value)


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
        rows.append(["FLOPs reduction by elimination", f"{faster.flops:.2f} ×"])
        rows.append(["speed-up over no elimination, length-bucketed batches", f"{faster.bucketed:.2f} ×"])
    figures = phase_dir.path / FIGURES
    rows += read_card_rows(figures) if figures.exists() else []
    machine = read_environment(run_dir.environment)
    conditions = f"Trained on {machine.get('processor')}, {machine.get('cpu_count')} cores, {machine.get('backend')}."
    lines = [*markdown_table(to_frame(rows, ["What", "Value"])), "", *([conditions] if machine else [])]
    if not figures.exists() and not run_dir.timings.exists():
        lines.append("Latency has not been measured; `bash run.sh compare RUN` measures it.")
    return lines


def _limits(settings: TrainingSettings) -> list[str]:
    task = settings.task_definition
    lines = [f"- Max length {settings.max_length} tokens; longer texts are truncated."]
    if settings.task != CUSTOM:
        lines.append("- Trained and scored on English texts of this data set only; other kinds of text are untested.")
    if task.labels is not None:
        lines.append("- Always predicts one of its classes, even if none of them fits.")
    if isinstance(settings, Distillation) and settings.teachers:
        lines.append("- Trained to imitate its teachers, mistakes included.")
    return [*lines, "- Fairness and robustness have not been examined."]


def _use(phase_dir: PhaseDir) -> list[str]:
    return [
        "The model needs the package `power_bert` of the project that wrote this card; keras-hub alone does not know "
        "its classes. In a checkout of the project, `pip install .` installs it with Keras, keras-hub and TensorFlow; "
        "where these are installed already (`pip install -r requirements.txt`), `PYTHONPATH=code` is enough.",
        "",
        "```python",
        "from power_bert import PowerBertTextClassifier",
        "",
        f'classifier = PowerBertTextClassifier.from_preset("{phase_dir.model.name}")',
        'classifier.predict(["a text"])',
        "```",
    ]
