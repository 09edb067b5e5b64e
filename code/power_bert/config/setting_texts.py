"""Texts about settings, generated from the declarations: for `--help` and for the page docs/settings.md.

Command that writes the page:
    PYTHONPATH=code python -c "from power_bert.config.setting_texts import settings_page as page; print(page(), end='')"
"""

from __future__ import annotations

from typing import Any

from power_bert.config.distillation import DEFAULT_STUDENT, Distillation
from power_bert.config.experiment import Experiment, RunFlags
from power_bert.config.pretraining import PretrainingSettings
from power_bert.config.settings import REQUIRED, Declared, Settings, declared_settings, number_text
from power_bert.config.shared_settings import DEFAULT_TASK
from power_bert.model.student_kinds import student_defaults
from power_bert.text.custom_task import CUSTOM
from power_bert.text.glue_tasks import get_task


def help_text(declared: Declared, default: str | None = None) -> str:
    """Describe a setting, its choices and its default for `--help`; `default` is that of a command, if it differs."""
    default = default_text(declared) if default is None else default
    return f"{description(declared)}{f' [default: {default}]' if default else ''}."


def description(declared: Declared) -> str:
    """Describe a setting and its choices."""
    setting = declared.setting
    choices = [
        f"{choice} ({setting.meanings[choice]})" if choice in setting.meanings else choice
        for choice in declared.choices
    ]
    return f"{setting.help}: {', '.join(choices)}" if choices else setting.help


def default_text(declared: Declared) -> str:
    """Describe the default; "" if an absent setting has no effect."""
    setting = declared.setting
    if setting.default_of == "task":
        of_task = f"{_shown(getattr(get_task(DEFAULT_TASK).defaults, declared.name))} for {DEFAULT_TASK}"
        return setting.default_text.format(task=of_task) or of_task
    if setting.default_text:
        return setting.default_text
    if setting.default_of == "student":
        return f"{_shown(getattr(student_defaults(DEFAULT_STUDENT), declared.name))} for {DEFAULT_STUDENT}"
    default = setting.default if setting.default is not None else declared.default
    return "" if default in (None, REQUIRED, (), {}) else _shown(default)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    if type(value) is tuple:
        return ",".join(value)
    return number_text(value) if isinstance(value, int | float) else str(value)


def settings_page() -> str:
    """Render docs/settings.md."""
    named = f'"for {DEFAULT_TASK}" or "for {DEFAULT_STUDENT}"'
    sections = [
        "# Settings",
        "",
        "This page is generated from the declarations in `code/power_bert/config`; a test compares the two.",
        f"An empty setting takes its default. A default {named} belongs to that task or student;",
        "others have their own (`text/glue_tasks.py`, `model/student_kinds.py`).",
        f"Settings for TASK={CUSTOM} describe data of your own.",
        "",
        *_section("`bash run.sh`: all three phases", Experiment, has_variables=True),
        *_section("`bash run.sh`: what to do in this call", RunFlags, has_variables=True),
        *_section("`bash run.sh distill`", Distillation),
        *_section("`bash run.sh pretrain`, and its TOML files", PretrainingSettings),
    ]
    return "\n".join(sections)


def _section(title: str, cls: type[Settings], has_variables: bool = False) -> list[str]:
    head = ["Variable", "Option"] if has_variables else ["Option"]
    rows = [[*head, "What it does", "Range", "Default"]]
    for declared in declared_settings(cls).values():
        if declared.setting.has_option:
            names = [f"`{declared.variable}`"] if has_variables else []
            option = declared.option.replace("/", "`, `")
            range_text = declared.range_text
            rows.append([*names, f"`{option}`", f"{description(declared)}.", range_text, default_text(declared)])
    rows.insert(1, ["---"] * len(rows[0]))
    return [f"## {title}", "", *(f"| {' | '.join(row)} |".replace("  |", " |") for row in rows), ""]
