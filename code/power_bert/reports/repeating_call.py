"""The call of run.sh that repeats a run: its settings that differ from the defaults."""

from __future__ import annotations

import shlex

from power_bert.config.experiment import SAMPLE_FOLDER, Experiment, resolve_experiment
from power_bert.config.settings import declared_settings, number_text, usual_values
from power_bert.program_name import as_typed
from power_bert.reports.model_card import shown_setting
from power_bert.text.labeled_sets import SAMPLE

# Settings from which the defaults of others follow.
_DECISIVE = ("task", "data_dir", "checkpoint_path", "bert_config_path", "speedup", "max_loss", "effort")


def repeating_call(experiment: Experiment, options: str = "") -> str:
    """Return the call, with each path reduced to its last part.

    Args:
        experiment: Settings of the run.
        options: Command and options of the call.

    Raises:
        UserError: The data or the checkpoint are gone, from which defaults follow.
    """
    decisive = {name: getattr(experiment, name) for name in _DECISIVE}
    defaults = resolve_experiment(decisive)
    usual = usual_values(Experiment)
    if (experiment.task, experiment.data_dir) == (SAMPLE, str(SAMPLE_FOLDER / experiment.task_definition.folder)):
        usual |= {"task": experiment.task, "data_dir": experiment.data_dir}
    settings = []
    for name, declared in declared_settings(Experiment).items():
        value = getattr(experiment, name)
        expected = usual.get(name, declared.default) if name in decisive else getattr(defaults, name)
        if declared.setting.has_option and name != "output_dir" and value not in (None, expected):
            settings.append(f"{declared.variable}={shlex.quote(_text(value))}")
    return " ".join([*settings, as_typed(f"bash run.sh {options}".rstrip())])


def _text(value: object) -> str:
    if isinstance(value, int | float):
        return number_text(value)
    return ",".join(value) if isinstance(value, tuple) else shown_setting(value)
