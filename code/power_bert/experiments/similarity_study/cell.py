"""One cell of a study: a pre-training and its fine-tunings."""

from __future__ import annotations

import keras
from rich.console import Console

from power_bert.config.pretraining import PretrainingSettings
from power_bert.corpus.manifest import Corpus, open_corpus
from power_bert.errors import UserError
from power_bert.experiments.similarity_study.study_definition import Cell, Study
from power_bert.experiments.similarity_study.study_folder import CellDir, StudyDir
from power_bert.experiments.similarity_study.work import fine_tunings, resolve_cell, resolve_fine_tuning
from power_bert.pretrain.masked_lm_training import make_model
from power_bert.pretrain.outputs import for_fine_tuning, write_preset
from power_bert.pretrain.run_pretraining import pretrain
from power_bert.runs.run_dir import PHASES
from power_bert.train.run_experiment import run_experiment


def run_cell(study: Study, cell: Cell, folder: StudyDir, console: Console | None = None) -> None:
    """Run the pre-training and the fine-tunings that are not done yet; one that fails does not stop the others.

    Raises:
        UserError: The pre-training or some fine-tunings failed; finished ones are kept.
    """
    console = console or Console(highlight=False, soft_wrap=True)
    cell_dir, corpus = folder.cell(cell.name), open_corpus(folder.corpus)
    settings = resolve_cell(study, cell, corpus)
    pretrain(settings, cell_dir.pretraining.path, console)
    if study.fine_tuning is None:
        return
    errors = []
    for run in fine_tunings(study):
        run_dir = cell_dir.fine_tuning(run)
        if run_dir.phase(PHASES[0]).is_done:
            continue
        if run.untrained and not cell_dir.untrained_model(run.seed).exists():
            _write_untrained(settings, corpus, cell_dir, run.seed)
        experiment = resolve_fine_tuning(study.fine_tuning, cell, cell_dir, run)
        try:
            run_experiment(experiment, console=console, predict_test=False, only_fine_tune=True)
        except UserError as error:
            errors.append(f"{run_dir.path.name}: {error}")
    if errors:
        raise UserError("; ".join(errors))


def _write_untrained(settings: PretrainingSettings, corpus: Corpus, cell_dir: CellDir, seed: int | None) -> None:
    """Write the encoder with the initial weights of a pre-training from the seed; None is the seed of the cell."""
    keras.utils.set_random_seed(settings.seed if seed is None else seed)
    masked_lm = make_model(settings, corpus).masked_lm
    write_preset(cell_dir.untrained_model(seed), for_fine_tuning(masked_lm), corpus.tokenizer)
