"""Options shared by commands; options of settings are built from the declarations in `power_bert.config`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer

from power_bert.config.experiment import Experiment, RunFlags
from power_bert.config.setting_texts import help_text
from power_bert.config.settings import Declared, Settings, declared_settings

# For commands that write one folder over a long time and lock it.
Wait = Annotated[
    bool, typer.Option("--wait", help="Wait while another process writes the same folder, instead of stopping.")
]
Runner = Annotated[
    str, typer.Option(help="Runner: local, or beam (Apache Beam) for data that is too large for one machine.")
]
BeamOption = Annotated[
    list[str] | None, typer.Option(help="Option of the Beam job, such as --runner=FlinkRunner; repeatable.")
]
LOGITS_HELP = "Folder of the teachers' cached logits [default: checkpoints/teacher_logits]."


@dataclass(frozen=True)
class OptionGroup:
    """Options of a command that are settings of one kind.

    Attributes:
        settings: Class of the settings.
        only: Names of the settings that become options; () for all.
        prefix: Prefix of the name of each option and parameter, such as "teacher_".
        has_variables: Whether the options can also come from the variables of run.sh.
        whose: Prefix of the help text of each option, such as "Teachers: ".
        defaults: Default in words of each setting for which this command has another default.
    """

    settings: type[Settings]
    only: tuple[str, ...] = ()
    prefix: str = ""
    has_variables: bool = False
    whose: str = ""
    defaults: Mapping[str, str] = field(default_factory=dict)

    def parameters(self) -> dict[str, inspect.Parameter]:
        """Return for each setting the parameter from which typer builds its option."""
        known = declared_settings(self.settings)
        names = self.only or [name for name, declared in known.items() if declared.setting.has_option]
        return {name: self._parameter(known[name]) for name in names}

    def _parameter(self, declared: Declared) -> inspect.Parameter:
        name = f"{self.prefix}{declared.name}"
        option = f"--{name.replace('_', '-')}" if self.prefix else declared.option
        is_flag = declared.types == (bool,)
        text = f"{self.whose}{help_text(declared, self.defaults.get(declared.name))}"
        info = typer.Option(
            option, envvar=declared.variable if self.has_variables else None, help=text, show_default=False
        )
        has_default = is_flag and issubclass(self.settings, RunFlags)
        return inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=declared.default if has_default else None,
            annotation=Annotated[bool if has_default else _typed(declared) | None, info],
        )


def _typed(declared: Declared) -> Any:
    """Return the type that typer parses an option to: bool, a number or text."""
    if declared.setting.is_repeatable:
        return list[str]
    numbers = [kind for kind in declared.types if kind in (int, float)]
    is_flag = declared.types == (bool,)
    return bool if is_flag else (numbers[0] if numbers else str)


def takes_settings(**groups: OptionGroup) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add settings to a command as options, before the options that its function declares itself.

    Args:
        groups: Options for each parameter of the function. The parameter gets a dict of setting name to value; the
            value of an option that the user does not give is None.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        of_group = {given: group.parameters() for given, group in groups.items()}
        own = inspect.signature(command, eval_str=True).parameters
        options = [parameter for of_one in of_group.values() for parameter in of_one.values()]
        rest = [parameter for name, parameter in own.items() if name not in groups]
        rest = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in rest]

        @functools.wraps(command)
        def call(**given: Any) -> None:
            for name, parameters in of_group.items():
                given[name] = {setting: given.pop(parameter.name) for setting, parameter in parameters.items()}
            command(**given)

        required = [parameter for parameter in rest if parameter.default is parameter.empty]
        parameters = [*required, *options, *(parameter for parameter in rest if parameter not in required)]
        call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return call

    return decorate


def option(variable: str, help_text: str) -> Any:
    """Declare an option that can also come from the environment variable of run.sh with that name."""
    return typer.Option(f"--{variable.lower().replace('_', '-')}", envvar=variable, help=help_text)


# The environment variables that options of `run` can come from.
RUN_VARIABLES = frozenset(
    declared.variable
    for settings in (Experiment, RunFlags)
    for declared in declared_settings(settings).values()
    if declared.setting.has_option
)
