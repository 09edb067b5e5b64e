"""What there is to do in a cell of a study, and what of it is done."""

from __future__ import annotations

from power_bert.corpus.manifest import Corpus
from power_bert.pretrain.settings import PretrainingSettings, resolve_settings
from power_bert.run_dir import PHASES
from power_bert.study.definition import Cell, Study
from power_bert.study.folder import CellDir
from power_bert.study.parameters import count_parameters, match_parameters


def resolve_cell(study: Study, cell: Cell, corpus: Corpus) -> PretrainingSettings:
    """The cell's settings, with the feed-forward that makes its parameters those to match."""
    settings = cell.pretraining(corpus.folder)
    if study.match is None:
        return settings
    vocabulary_size = corpus.tokenizer.vocabulary_size
    reference = resolve_settings({**study.match, "corpus": str(corpus.folder)})
    target = count_parameters(reference, vocabulary_size, corpus.length)
    return match_parameters(settings, target, vocabulary_size, corpus.length)


def fine_tunings(study: Study) -> list[tuple[str, bool]]:
    """(task, whether from random weights) of each fine-tuning of a cell."""
    if study.fine_tuning is None:
        return []
    starts = (False, True) if study.fine_tuning.untrained else (False,)
    return [(task, untrained) for untrained in starts for task in study.fine_tuning.tasks]


def is_done(study: Study, cell_dir: CellDir) -> bool:
    """Whether nothing of a cell is left to do."""
    return cell_dir.pretraining.is_done and all(
        cell_dir.fine_tuning(*each).phase(PHASES[0]).is_done for each in fine_tunings(study)
    )
