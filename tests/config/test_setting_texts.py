"""The texts that come from the declarations of settings: `--help`, docs/settings.md, and the comments of run.sh."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from power_bert.config.distillation import Distillation
from power_bert.config.experiment import Experiment, RunFlags
from power_bert.config.pretraining import PretrainingSettings
from power_bert.config.setting_texts import default_text, help_text, settings_page
from power_bert.config.settings import LARGEST, REQUIRED, Declared, declared_settings

PROJECT_ROOT = Path(__file__).resolve().parents[2]
KINDS = (Experiment, RunFlags, Distillation, PretrainingSettings)
SETTINGS_OF_RUN = {
    declared.variable: declared
    for kind in (Experiment, RunFlags)
    for declared in declared_settings(kind).values()
    if declared.setting.has_option
}
# Setting of run.sh → its value there and the comment above it.
BLOCK = {
    match[2]: (match[3], match[1].replace("\n# ", " "))
    for match in re.finditer(
        r'((?:^# .*\n)+)^([A-Z_]+)="\$\{\2-(.*)\}"$',
        (PROJECT_ROOT / "run.sh").read_text(encoding="utf-8").split("# === End of the settings")[0],
        flags=re.MULTILINE,
    )
}


@pytest.mark.parametrize("kind", KINDS)
def test_help(kind: Any) -> None:
    for declared in declared_settings(kind).values():
        assert re.fullmatch(r"[A-Z][^\n]*[^.]\.", help_text(declared)), declared.name
        assert set(declared.setting.meanings) <= set(declared.choices), declared.name
        assert (declared.setting.low is None) == (declared.setting.high is None), declared.name


def test_examples_of_help() -> None:
    of_run, of_distill = declared_settings(Experiment), declared_settings(Distillation)
    assert help_text(of_run["lr_soft_extract"]) == (
        "Learning rate of the retention parameters, in a search with LAMBDA [default: 0.0015 for cola]."
    )
    assert help_text(of_run["gate"]).endswith("scale (the hidden states, as in the paper) [default: visibility].")
    assert help_text(of_distill["temperature"]).endswith("cosine:1:0 [default: 2 for bilstm].")
    assert default_text(of_distill["epsilon"]) == "1e-6 for bilstm"


def test_help_imports_no_keras() -> None:
    program = (
        "import sys; from power_bert import cli; from typer.main import get_command; get_command(cli.app); "
        "sys.exit(', '.join({'keras', 'tensorflow', 'jax', 'pandas'} & set(sys.modules)) or 0)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": str(PROJECT_ROOT / "code")}, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stderr) == (0, "")


class TestRunSh:
    def test_it_has_the_declared_settings(self) -> None:
        assert set(BLOCK) - {"BACKEND", "THREADS"} == set(SETTINGS_OF_RUN)

    @pytest.mark.parametrize("variable", SETTINGS_OF_RUN)
    def test_defaults(self, variable: str) -> None:
        declared, (value, _) = SETTINGS_OF_RUN[variable], BLOCK[variable]
        if value in ("", "auto"):
            return  # empty: the default is the program's
        default = declared.setting.default if declared.default is REQUIRED else declared.default
        assert value == (str(int(default)) if isinstance(default, bool) else str(default))

    @pytest.mark.parametrize("variable", SETTINGS_OF_RUN)
    def test_comments(self, variable: str) -> None:
        declared, (_, comment) = SETTINGS_OF_RUN[variable], BLOCK[variable]
        assert [choice for choice in declared.choices if not re.search(rf"\b{choice}\b", comment)] == []
        numbers = set(numbers_in(comment))
        assert [bound for bound in bounds_to_name(declared) if bound not in numbers] == []
        if "usual" in comment:
            assert set(numbers_in(declared.setting.usual)) <= numbers
        if declared.setting.default_of == "task":
            assert numbers_in(default_text(declared))[0] in numbers


def numbers_in(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"(?<![\w.])\d+(?:\.\d+)?(?:e-?\d+)?(?![\w])", text)]


def bounds_to_name(declared: Declared) -> list[float]:
    """The upper bound, but for what is no limit in practice."""
    high = declared.setting.high
    return [] if high is None or high >= LARGEST else [high]


@pytest.mark.parametrize(
    ("kind", "name", "text"),
    [
        (Experiment, "width", "1"),
        (Experiment, "self_distill", "1 with SPEEDUP or MAX_LOSS, else 0"),
        (Experiment, "quantization_aware", "1 with SPEEDUP or MAX_LOSS, else 0"),
        (Experiment, "retention_jitter", "0"),
        (Experiment, "lr_soft_extract", "0.0015 for cola"),
        (
            Experiment,
            "lr_bert",
            "0.0001 for encoders with a hidden size of up to 512, else the task's, 2e-5 for cola",
        ),
        (Experiment, "metric", "accuracy"),
        (Experiment, "output_dir", "checkpoints/runs/TASK/DATA-CHECKPOINT"),
        (RunFlags, "baseline", "0"),
        (Distillation, "student", "bilstm"),
        (Distillation, "block", "1x1"),
        (Distillation, "hidden_weight", "0"),
        (Distillation, "learning_rate", "0.003 for bilstm"),
        (Distillation, "teachers", ""),
        (Distillation, "student_options", ""),
        (Distillation, "unlabelled", ""),
        (PretrainingSettings, "corpus", ""),
        (PretrainingSettings, "steps", "10000"),
        (PretrainingSettings, "learning_rate", "0.001"),
    ],
)
def test_defaults_in_words(kind: Any, name: str, text: str) -> None:
    declared = declared_settings(kind)[name]
    assert default_text(declared) == text
    assert help_text(declared).endswith(f" [default: {text}]." if text else ".")


def test_a_command_can_have_another_default() -> None:
    declared = declared_settings(Experiment)["lr_bert"]
    assert help_text(declared, "1e-4").endswith(" [default: 1e-4].")
    assert "[default" not in help_text(declared, "")


def test_the_page_has_a_row_for_every_option_and_none_for_others() -> None:
    page = settings_page()
    for kind in KINDS:
        for declared in declared_settings(kind).values():
            rows = [line for line in page.splitlines() if f"`{declared.option}`".replace("/", "`, `") in line]
            if declared.setting.has_option:
                assert any(help_text(declared).partition(" [default")[0].rstrip(".") in row for row in rows), (
                    declared.name
                )
    assert "`--kind`" not in page and "`--continued`" not in page and "`--members`" not in page
    tables = [line for line in page.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in tables} == {5, 6}, "with and without the variables of run.sh"
