"""Implementation of `bash run.sh pretrain`: from settings to a finished run directory."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import keras
from rich.console import Console

from power_bert.config.pretraining import PretrainingSettings
from power_bert.corpus.manifest import Corpus, open_corpus
from power_bert.errors import UserError
from power_bert.pretrain.devices import training_devices
from power_bert.pretrain.masked_lm_training import Pretraining, make_model, summarize, train_masked_lm
from power_bert.pretrain.outputs import write_outputs
from power_bert.pretrain.pretraining_folder import PretrainingDir, corpus_fingerprint, start_pretraining_dir
from power_bert.pretrain.tracking import NoTracker, Tracker, WandbTracker
from power_bert.runs.run_dir import write_run_json
from power_bert.storage.locks import writes
from power_bert.train.machine import describe_machine, make_deterministic
from power_bert.train.reporting import Reporter


@writes(lambda settings, out, *_, **__: out)
def pretrain(
    settings: PretrainingSettings, out: str | Path, console: Console | None = None, wandb: str | None = None
) -> PretrainingDir:
    """Pre-train an encoder by masked language modeling; resumes an interrupted pre-training.

    Args:
        settings: Settings of the model, the training and the corpus.
        out: Run directory of this pre-training.
        console: Console for messages; the terminal by default.
        wandb: Weights & Biases project to report to; None reports to none.

    Raises:
        UserError: An input is invalid, or the loss is not finite; finished results are kept.
    """
    folder = PretrainingDir(Path(out))
    corpus = open_corpus(settings.corpus)
    _check_corpus(corpus, settings)
    start_pretraining_dir(folder, settings, {**describe_machine(), "corpus": corpus_fingerprint(corpus)})
    with Reporter(folder.log, folder.tensorboard, console) as reporter:
        if folder.is_done:
            reporter.say(f"{folder.path}: already done")
            return folder
        reporter.say(f"pre-training in {folder.path}")
        reporter.log(f"settings {settings.to_json()}")
        tracker: Tracker = NoTracker()
        if wandb:
            tracker = WandbTracker(wandb, folder.path, dataclasses.asdict(settings), folder.wandb_id)
        try:
            _run(Pretraining(settings, corpus, folder, reporter, tracker))
        finally:
            tracker.finish()
    return folder


def _run(pretraining: Pretraining) -> None:
    settings, folder, reporter = pretraining.settings, pretraining.folder, pretraining.reporter
    keras.utils.set_random_seed(settings.seed)
    make_deterministic()
    with training_devices(settings.devices):
        model = make_model(settings, pretraining.corpus)
        history = train_masked_lm(pretraining, model)
    for note in write_outputs(folder, model.masked_lm, pretraining.corpus.tokenizer):
        reporter.say(note)
    metrics = {**summarize(history), "parameters": model.num_parameters, "history": history}
    write_run_json(folder.metrics, metrics)
    folder.mark_done()
    folder.training_state.unlink(missing_ok=True)  # no longer needed once DONE exists
    reporter.say(
        f"done: perplexity {metrics['perplexity']:.2f}, masked accuracy {metrics['masked_accuracy']:.3f}; "
        f"{metrics['tokens_per_second']:,.0f} tokens/s, {metrics['waiting_share']:.1%} of the time waiting for data "
        f"(preparing them kept one core busy for {metrics['preparing_share']:.1%} of it)"
    )
    reporter.say(
        f"the encoder: CHECKPOINT_PATH={folder.model} (for others: {folder.hugging_face}, {folder.tf1_prefix})"
    )


def _check_corpus(corpus: Corpus, settings: PretrainingSettings) -> None:
    if settings.positions and settings.positions < corpus.length:
        raise UserError(
            f"positions={settings.positions}, but {corpus.folder} has records of {corpus.length} tokens; give at "
            "least as many, or prepare the corpus with a smaller --length"
        )
    if not corpus.side("test"):
        raise UserError(f"{corpus.folder}: has no test split to evaluate on; prepare it with a --test-share above 0")
