"""The main job: from an experiment to a finished run folder."""

from __future__ import annotations

import json
import os
import platform
import time
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import keras
from rich.console import Console

from power_bert.config import DEFAULT_CHECKPOINT, SAMPLE_FOLDER, Experiment
from power_bert.errors import UserError
from power_bert.files import atomic_write_text
from power_bert.model.preprocessor import PowerBertTokenizer
from power_bert.model.pretrained import Pretrained, check_max_length, load_pretrained
from power_bert.run_dir import PHASES, RunDir, read_json, write_json
from power_bert.text.download import fetch_minilm
from power_bert.text.examples import data_fingerprint, read_examples
from power_bert.text.sample_cola import write_sample
from power_bert.text.task import SPLITS
from power_bert.train.phases import fine_tune, retrain, search
from power_bert.train.reporting import Reporter
from power_bert.train.training import RunContext, Split

_RECORDED_PACKAGES = ("tensorflow", "jax", "keras", "keras-hub", "tokenizers", "numpy", "scikit-learn", "scipy")


def run_experiment(experiment: Experiment, resume: bool = True, console: Console | None = None) -> RunDir:
    """Fine-tune, search, re-train; whatever an earlier, interrupted run of the same experiment finished is kept.

    Args:
        experiment: what to run.
        resume: False sets an earlier run in the same folder aside and starts anew.
        console: where to print; the terminal by default.

    Raises:
        UserError: bad input; nothing finished is lost.
    """
    run_dir = check_run_dir(experiment, resume)
    prepare_embedded_default(experiment, console or Console())
    task = experiment.task_definition
    examples = {split: read_examples(task, split, experiment.data_dir) for split in SPLITS}
    keras.utils.set_random_seed(experiment.seed)
    _make_deterministic()

    @cache
    def pretrained() -> Pretrained:
        changes: dict[str, Any] = {"similarity": experiment.similarity}
        if experiment.dropout is not None:
            changes.update(dropout=experiment.dropout, attention_dropout=experiment.dropout)
        return load_pretrained(
            experiment.checkpoint_path, experiment.bert_config_path, experiment.vocab_path, experiment.cased, **changes
        )

    first_phase = run_dir.phase(PHASES[0])
    if resume and first_phase.is_done:
        tokenizer = PowerBertTokenizer.from_preset(str(first_phase.existing_model())).word_pieces
    else:
        tokenizer = pretrained().tokenizer.word_pieces
        check_max_length(experiment.max_length, pretrained().backbone)
    splits = {name: Split.of(part, tokenizer, experiment.max_length) for name, part in examples.items()}
    # All input has been read and checked: only now does the run leave a trace.
    if not resume:
        set_aside(run_dir)
    write_run_description(experiment, run_dir)

    with Reporter(run_dir.log, run_dir.tensorboard, console) as reporter:
        reporter.say(f"run folder {run_dir.path}")
        reporter.log(f"experiment {experiment.to_json()}")
        context = RunContext(experiment, run_dir, reporter, **splits)
        lengths = context.train.encoded.lengths
        reporter.say(
            f"{task.name}: {len(lengths)} training, {len(context.dev.encoded)} dev and {len(context.test.encoded)} "
            f"test examples, {lengths.mean():.1f} word pieces on average, {lengths.max()} at most"
        )
        previous = fine_tune(context, pretrained)
        previous = search(context, previous)
        retrain(context, previous)
    return run_dir


def prepare_embedded_default(experiment: Experiment, console: Console) -> None:
    """Generate the sample data and fetch the default checkpoint where the experiment uses them and they are absent."""
    data_dir, checkpoint = Path(experiment.data_dir), Path(experiment.checkpoint_path)
    sample = SAMPLE_FOLDER / "CoLA"
    if data_dir.resolve() == sample.resolve() and not sample.exists():
        console.print(f"generating the sample data set in {sample}", markup=False)
        write_sample(sample)
    if checkpoint.resolve() == DEFAULT_CHECKPOINT.resolve() and not DEFAULT_CHECKPOINT.exists():
        console.print(f"fetching the pretrained encoder all-MiniLM-L6-v2 into {DEFAULT_CHECKPOINT}", markup=False)
        fetch_minilm(DEFAULT_CHECKPOINT)


def _make_deterministic() -> None:
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def check_run_dir(experiment: Experiment, resume: bool) -> RunDir:
    """The run folder, if this experiment may use it; writes nothing.

    Without `resume` it may hold any older run, which `set_aside` then moves out of the way.

    Raises:
        UserError: the folder holds another run, or something that is no run.
    """
    run_dir = RunDir(Path(experiment.output_dir))
    if run_dir.path.is_file():
        raise UserError(f"OUTPUT_DIR={run_dir.path} is a file; expected a folder or nothing there")
    if not run_dir.path.exists() or not any(run_dir.path.iterdir()):
        return run_dir
    if not run_dir.config.exists():
        raise UserError(
            f"OUTPUT_DIR={run_dir.path} is not empty and holds no run of this project (no config.json); "
            "choose another OUTPUT_DIR"
        )
    if resume and any(run_dir.phase(name).path.exists() for name in PHASES):
        _refuse_other_run(experiment, run_dir)
    return run_dir


def set_aside(run_dir: RunDir) -> None:
    """Rename the folder of an older run, if there is one, to its name with the present time."""
    if run_dir.config.exists():
        os.rename(run_dir.path, run_dir.path.with_name(f"{run_dir.path.name}.{time.strftime('%Y%m%d-%H%M%S')}"))


def write_run_description(experiment: Experiment, run_dir: RunDir) -> None:
    """``config.json`` and ``environment.json``."""
    try:
        run_dir.path.mkdir(parents=True, exist_ok=True)
        # config.json first: a folder without it is taken for somebody else's.
        atomic_write_text(run_dir.config, experiment.to_json())
        write_json(run_dir.environment, describe_environment(experiment))
    except OSError as error:
        raise UserError(
            f"OUTPUT_DIR={run_dir.path} cannot be written ({error.strerror}); choose another folder"
        ) from None


def _refuse_other_run(experiment: Experiment, run_dir: RunDir) -> None:
    stored = Experiment.from_json(run_dir.config.read_text(encoding="utf-8"), str(run_dir.config))
    old, new = json.loads(stored.to_json()), json.loads(experiment.to_json())
    # The folder may have been moved.
    different = [name for name in new if old[name] != new[name] and name != "output_dir"]
    if different:
        listed = "; ".join(f"{name}: {old[name]!r} there, {new[name]!r} now" for name in different)
        raise UserError(
            f"OUTPUT_DIR={run_dir.path} holds another run ({listed}). Choose another OUTPUT_DIR, or set RESUME=0 to "
            "set that run aside and start anew"
        )
    if run_dir.environment.exists():
        recorded = read_json(run_dir.environment).get("data_sha256", {})
        for name, digest in data_fingerprint(experiment.task_definition, experiment.data_dir).items():
            if recorded.get(name, digest) != digest:
                raise UserError(
                    f"{Path(experiment.data_dir) / name} has changed since the run in {run_dir.path} began; "
                    "restore it, choose another OUTPUT_DIR, or set RESUME=0 to start anew"
                )


def describe_environment(experiment: Experiment) -> dict[str, Any]:
    """Versions, machine, backend and data: what someone needs to reproduce the figures."""
    packages = {}
    for name in _RECORDED_PACKAGES:
        with suppress(PackageNotFoundError):  # JAX or TensorFlow may be absent
            packages[name] = version(name)
    return {
        "backend": keras.backend.backend(),
        "python": platform.python_version(),
        "packages": packages,
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cpu_count": os.cpu_count(),
        "seed": experiment.seed,
        "data_sha256": data_fingerprint(experiment.task_definition, experiment.data_dir),
    }
