"""Tests of power_bert.reports.repeating_call."""

from typing import Any

import pytest

from power_bert.config.experiment import resolve_experiment
from power_bert.reports.repeating_call import repeating_call


@pytest.mark.parametrize(
    ("given", "call"),
    [
        ({}, "power-bert run"),
        ({"effort": "quick"}, "EFFORT=quick power-bert run"),
        ({"epochs": 4, "speedup": 2.0, "width": False}, "EPOCH=4 SPEEDUP=2 WIDTH=0 power-bert run"),
        ({"regularization": 3e-3, "cased": "1"}, "LAMBDA=0.003 CASED=1 power-bert run"),
        ({"task": "rte", "data_dir": "/data/my RTE"}, "TASK=rte DATA_DIR='my RTE' power-bert run"),
        ({"retention_config": "1.0,0.5,[CLS]"}, "RETENTION_CONFIG=1.0,0.5,0.0001 power-bert run"),
    ],
)
def test_only_what_differs_from_the_defaults(given: dict[str, Any], call: str) -> None:
    assert repeating_call(resolve_experiment(given)) == call
