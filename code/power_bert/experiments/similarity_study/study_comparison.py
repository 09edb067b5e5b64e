"""Comparisons of a study, as differences seed by seed.

Cells with the same seed see the same records in the same order and with the same masks, so their difference varies less
than the figures themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import pandas as pd

from power_bert.experiments.similarity_study.study_results import (
    REPETITION,
    CellResult,
    Figure,
    settings_of,
    values_frame,
)
from power_bert.result_tables import over_seeds

DOT, SIMILARITY = "dot", "similarity"


def against_dot(results: Sequence[CellResult], figures: Mapping[str, Figure]) -> pd.DataFrame:
    """Return the differences of every other similarity from dot-product attention, all other settings being equal.

    Args:
        results: Results of all cells.
        figures: Name → figure to compare.

    Returns:
        Statistics of `over_seeds`, one row per combination of settings; empty if the grid has no pair to compare.
    """
    values = values_frame(results, figures).astype(dict.fromkeys(figures, float))
    if SIMILARITY not in values:
        return pd.DataFrame()
    is_dot = values[SIMILARITY] == DOT
    shared = [name for name in (*results[0].cell.values, REPETITION) if name != SIMILARITY]
    pairs = values[~is_dot].merge(values[is_dot], on=shared, suffixes=("", " of dot"))
    for name in figures:
        pairs[name] -= pairs[f"{name} of dot"]
    return over_seeds(pairs, settings_of(results), [*figures])


def against_untrained(results: Sequence[CellResult], tasks: Sequence[str]) -> pd.DataFrame:
    """Return the differences of scores from pre-trained weights and scores from random weights, in percent.

    Args:
        results: Results of all cells.
        tasks: Tasks of the fine-tunings.

    Returns:
        Statistics of `over_seeds`, one row per combination of settings that has such a difference.
    """
    if not tasks:
        return pd.DataFrame()
    gains = values_frame(results, {task: partial(CellResult.pretraining_gains, task=task) for task in tasks})
    return over_seeds(gains.dropna(subset=[*tasks], how="all"), settings_of(results), tasks)
