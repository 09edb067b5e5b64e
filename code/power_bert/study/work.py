"""What there is to do in a cell of a study, and what of it is done."""

from __future__ import annotations

from power_bert.config import Experiment
from power_bert.corpus.manifest import Corpus
from power_bert.errors import UserError
from power_bert.pretrain.folder import refuse_other_settings
from power_bert.pretrain.settings import PretrainingSettings, resolve_settings
from power_bert.run_dir import PHASES
from power_bert.settings import list_differences
from power_bert.study.definition import Cell, FineTuning, Start, Study
from power_bert.study.folder import CellDir
from power_bert.study.parameters import count_parameters, match_parameters
from power_bert.train.run_folder import different_settings


def resolve_cell(study: Study, cell: Cell, corpus: Corpus) -> PretrainingSettings:
    """The cell's settings, with the feed-forward that makes its parameters those to match."""
    settings = cell.pretraining(corpus.folder)
    if study.match is None:
        return settings
    vocabulary_size = corpus.tokenizer.vocabulary_size
    reference = resolve_settings({**study.match, "corpus": str(corpus.folder)})
    target = count_parameters(reference, vocabulary_size, corpus.length)
    return match_parameters(settings, target, vocabulary_size, corpus.length)


def fine_tunings(study: Study) -> list[Start]:
    """Each fine-tuning of a cell."""
    if study.fine_tuning is None:
        return []
    weights = (False, True) if study.fine_tuning.untrained else (False,)
    seeds = study.fine_tuning.seeds or (None,)
    return [Start(task, untrained, seed) for untrained in weights for task in study.fine_tuning.tasks for seed in seeds]


def resolve_fine_tuning(fine_tuning: FineTuning, cell: Cell, cell_dir: CellDir, start: Start) -> Experiment:
    """The experiment of one fine-tuning of a cell."""
    checkpoint = cell_dir.untrained_model(start.seed) if start.untrained else cell_dir.pretraining.model
    similarity = str(cell.settings.get("similarity", "dot"))
    seed = cell.seed if start.seed is None else start.seed
    return fine_tuning.experiment(start.task, checkpoint, cell_dir.fine_tuning(start).path, similarity, seed)


def refuse_other_cell(study: Study, cell: Cell, cell_dir: CellDir, corpus: Corpus) -> None:
    """Raises a UserError where the folder of a cell holds a pre-training or a fine-tuning with other settings."""
    settings = resolve_cell(study, cell, corpus)
    if cell_dir.pretraining.settings.is_file():
        refuse_other_settings(cell_dir.pretraining, settings)
    if study.fine_tuning is None:
        return
    for start in fine_tunings(study):
        run_dir = cell_dir.fine_tuning(start)
        if not run_dir.config.is_file():
            continue
        different = different_settings(run_dir, resolve_fine_tuning(study.fine_tuning, cell, cell_dir, start))
        for folder in ("checkpoint_path", "data_dir"):
            different.pop(folder, None)  # it may have been moved
        if different:
            listed = list_differences(different)
            raise UserError(f"{run_dir.path} holds another fine-tuning ({listed}); choose another --out, or delete it")


def is_done(study: Study, cell_dir: CellDir) -> bool:
    """Whether nothing of a cell is left to do."""
    return cell_dir.pretraining.is_done and all(
        cell_dir.fine_tuning(start).phase(PHASES[0]).is_done for start in fine_tunings(study)
    )
