"""Search and re-training of a classifier that the user has fine-tuned in Keras."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from power_bert.config.experiment import Experiment, defaults_for_encoder, resolve_experiment
from power_bert.errors import UserError
from power_bert.model.backbone import PowerBertBackbone
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.classifier_building import build_without_elimination
from power_bert.model.trained_classifier import load_own_classifier
from power_bert.predict.evaluation import evaluate
from power_bert.runs.run_dir import PHASES, RunDir, write_run_json
from power_bert.runs.trained_model import TrainedModel, stored_max_length
from power_bert.storage.files import atomic_write_text, is_empty
from power_bert.text.custom_task import CUSTOM, CUSTOM_DEFAULTS
from power_bert.train.run_experiment import run_experiment, write_run_description

# Texts, or a tuple of two lists for pairs; and their labels.
Examples = tuple[Any, Sequence[Any]]
_COLUMNS = ("text", "second_text")
_FINE_TUNE, _, _RETRAIN = PHASES


def speed_up(
    classifier: PowerBertTextClassifier,
    train: Examples,
    dev: Examples,
    speedup: float = 2.0,
    output_dir: str | Path | None = None,
    verbose: bool = True,
    **settings: Any,
) -> PowerBertTextClassifier:
    """Search which tokens each block of a fine-tuned classifier needs, and re-train it with only those.

    This runs phases 2 and 3 of `bash run.sh`; the given classifier is the result of phase 1 and stays as it is. If it
    eliminates tokens already, the search starts from its weights with nothing eliminated.

    Args:
        classifier: Fine-tuned classifier or regressor with a preprocessor, on a `PowerBertBackbone`.
        train: Training examples: (texts, labels), where pairs are a tuple of two lists and labels are names, class
            indices or, for a regressor, scores.
        dev: Dev examples in the same form. The best epoch is chosen on them.
        speedup: Target FLOPs reduction.
        output_dir: New folder for the run, which all commands can use then; None keeps only the returned model.
        verbose: Whether progress is printed.
        settings: Further settings of a run by their names in small letters, such as `epochs=5`, `seed=1`,
            `batch_size=16` or `metric="macro_f1"` (docs/settings.md).

    Returns:
        A classifier with hard extraction.

    Raises:
        UserError: An argument or a label is invalid, or the folder is not empty.

    Example:
        >>> fast = power_bert.speed_up(classifier, train, dev, speedup=2, epochs=1, verbose=False)
        >>> fast.backbone.extraction, len(fast.backbone.retention.values) == fast.backbone.num_layers
        ('hard', True)
    """
    if not isinstance(classifier.backbone, PowerBertBackbone) or classifier.preprocessor is None:
        raise UserError("speed_up takes a classifier with a preprocessor on a PowerBertBackbone, and this is none")
    with tempfile.TemporaryDirectory() as scratch:
        run_dir = RunDir(Path(output_dir or Path(scratch) / "run").absolute())
        if run_dir.path.exists() and not is_empty(run_dir.path):
            raise UserError(f"{run_dir.path}: not empty; give the path of a new folder as output_dir")
        experiment = _experiment(classifier, run_dir.path, isinstance(train[0], tuple), speedup, settings)
        for name, examples in (("train", train), ("dev", dev)):
            _write_examples(Path(experiment.data_dir) / f"{name}.jsonl", experiment, examples)
        write_run_description(experiment, run_dir)
        console = Console(highlight=False, soft_wrap=True, quiet=not verbose)
        _store_as_phase_1(classifier, experiment, run_dir, console)
        run_experiment(experiment, console=console, predict_test=False)
        return load_own_classifier(run_dir.phase(_RETRAIN).existing_model())


def _experiment(
    classifier: PowerBertTextClassifier, folder: Path, is_pair: bool, speedup: float, settings: dict[str, Any]
) -> Experiment:
    """Describe the run as one on the user's own data, which are written into its folder."""
    defaults = defaults_for_encoder(CUSTOM_DEFAULTS, classifier.backbone.hidden_dim)
    names = classifier.labels or tuple(str(index) for index in range(classifier.num_classes))
    values = {
        "task": CUSTOM,
        "data_dir": str(folder / "data"),
        "checkpoint_path": str(RunDir(folder).phase(_FINE_TUNE).model),
        "output_dir": str(folder),
        "text_columns": _COLUMNS if is_pair else _COLUMNS[:1],
        "label_column": "label",
        "labels": None if classifier.is_regressor else tuple(names),
        "metric": "spearman" if classifier.is_regressor else "accuracy",
        "max_length": stored_max_length(classifier),
        "lr_bert": defaults.lr_bert,
        "batch_size": defaults.batch_size,
        "similarity": classifier.backbone.similarity,
        "speedup": float(speedup),
    }
    return resolve_experiment({**values, **settings})


def _write_examples(path: Path, experiment: Experiment, examples: Examples) -> None:
    texts, labels = examples
    columns = texts if isinstance(texts, tuple) else (texts,)
    lines = []
    for number, (*row, label) in enumerate(zip(*columns, labels, strict=True)):
        target: str | float = float(label) if experiment.labels is None else _label_name(experiment.labels, label)
        if not all(isinstance(text, str) for text in row):
            raise UserError(f"example {number} of the {path.stem} data is {row}: expected texts")
        lines.append(json.dumps({**dict(zip(_COLUMNS, row, strict=False)), "label": target}) + "\n")
    atomic_write_text(path, "".join(lines))


def _label_name(names: Sequence[str], label: Any) -> str:
    """Return the name of a label that is a name or a class index."""
    if not isinstance(label, str) and 0 <= int(label) < len(names):
        return names[int(label)]
    if label not in names:
        raise UserError(f"label {label!r}: expected one of {', '.join(names)}, or an index below {len(names)}")
    return str(label)


def _store_as_phase_1(
    classifier: PowerBertTextClassifier, experiment: Experiment, run_dir: RunDir, console: Console
) -> None:
    """Store the classifier and its dev scores as fine-tuning leaves them, so that the run goes on from there."""
    phase_dir = run_dir.phase(_FINE_TUNE)
    plain = classifier if classifier.backbone.extraction is None else build_without_elimination(classifier)
    plain.save_to_preset(str(phase_dir.model))
    model = TrainedModel(
        str(phase_dir.model),
        plain,
        experiment.task_definition,
        experiment.data_dir,
        experiment.max_length,
        "none: nothing is eliminated",
    )
    scores = evaluate(model, "dev", console, phase_dir.predictions("dev")).scores
    write_run_json(phase_dir.metrics, {"phase": _FINE_TUNE, "scores": scores, "history": [], "seconds": 0.0})
    phase_dir.mark_done()
