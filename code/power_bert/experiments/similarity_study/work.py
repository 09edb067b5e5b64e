"""The work of a cell of a study: its settings, its fine-tunings, and whether they are done."""

from __future__ import annotations

from power_bert.config.experiment import Experiment
from power_bert.config.pretraining import PretrainingSettings, resolve_settings
from power_bert.config.validation import list_differences
from power_bert.corpus.manifest import Corpus
from power_bert.errors import UserError
from power_bert.experiments.similarity_study.study_definition import Cell, FineTuning, FineTuningRun, Study
from power_bert.experiments.similarity_study.study_folder import CellDir
from power_bert.experiments.similarity_study.study_parameters import count_parameters, match_parameters
from power_bert.pretrain.pretraining_folder import refuse_other_settings
from power_bert.runs.run_dir import PHASES
from power_bert.runs.run_folder import differing_run_settings


def resolve_cell(study: Study, cell: Cell, corpus: Corpus) -> PretrainingSettings:
    """Return the settings of a cell, with the feed-forward width that matches the parameter count of the study."""
    settings = cell.pretraining(corpus.folder)
    if study.match is None:
        return settings
    vocabulary_size = corpus.tokenizer.vocabulary_size
    reference = resolve_settings({**study.match, "corpus": str(corpus.folder)})
    target = count_parameters(reference, vocabulary_size, corpus.length)
    return match_parameters(settings, target, vocabulary_size, corpus.length)


def fine_tunings(study: Study) -> list[FineTuningRun]:
    """Return all fine-tunings of a cell."""
    if study.fine_tuning is None:
        return []
    weights = (False, True) if study.fine_tuning.untrained else (False,)
    seeds = study.fine_tuning.seeds or (None,)
    return [
        FineTuningRun(task, untrained, seed)
        for untrained in weights
        for task in study.fine_tuning.tasks
        for seed in seeds
    ]


def resolve_fine_tuning(fine_tuning: FineTuning, cell: Cell, cell_dir: CellDir, run: FineTuningRun) -> Experiment:
    """Return the experiment of one fine-tuning of a cell."""
    checkpoint = cell_dir.untrained_model(run.seed) if run.untrained else cell_dir.pretraining.model
    similarity = str(cell.settings.get("similarity", "dot"))
    seed = cell.seed if run.seed is None else run.seed
    return fine_tuning.experiment(run.task, checkpoint, cell_dir.fine_tuning(run).path, similarity, seed)


def refuse_other_cell(study: Study, cell: Cell, cell_dir: CellDir, corpus: Corpus) -> None:
    """Raise a UserError if the folder of a cell holds a pre-training or a fine-tuning with other settings."""
    settings = resolve_cell(study, cell, corpus)
    if cell_dir.pretraining.settings.is_file():
        refuse_other_settings(cell_dir.pretraining, settings)
    if study.fine_tuning is None:
        return
    for run in fine_tunings(study):
        run_dir = cell_dir.fine_tuning(run)
        if not run_dir.config.is_file():
            continue
        experiment = resolve_fine_tuning(study.fine_tuning, cell, cell_dir, run)
        if different := differing_run_settings(run_dir, experiment, may_move=["checkpoint_path", "data_dir"]):
            listed = list_differences(different)
            raise UserError(f"{run_dir.path} holds another fine-tuning ({listed}); choose another --out, or delete it")


def is_done(study: Study, cell_dir: CellDir) -> bool:
    """Return whether the pre-training and all fine-tunings of a cell are done."""
    return cell_dir.pretraining.is_done and all(
        cell_dir.fine_tuning(run).phase(PHASES[0]).is_done for run in fine_tunings(study)
    )
