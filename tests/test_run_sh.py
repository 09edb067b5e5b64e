"""Tests of run.sh, with a stub in place of Python: no package is installed and no program is run."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from run_sh_settings import FURTHER_SETTINGS, MAIN_SETTINGS

PROJECT_ROOT = Path(__file__).resolve().parents[1]
# Stands for python3.11 on the PATH and, through a link, for the environment's python.
STUB = f"""#!/usr/bin/env bash
here="$(dirname "$0")"
case "$1 ${{2-}} ${{3-}}" in
  "-m venv "*)
    echo "venv" >>"$STUB_LOG"
    mkdir -p "$3/bin"
    ln -sf "$STUB_PYTHON" "$3/bin/python" ;;
  "-m pip --version") [[ $0 == */bin/python ]] ;;
  "-m pip install")
    echo "pip ${{*:3}}" >>"$STUB_LOG"
    [[ -z ${{STUB_PIP_SLEEP-}} ]] || sleep "$STUB_PIP_SLEEP"
    [[ -z ${{STUB_PIP_KILLED-}} ]] || kill -9 "$PPID"
    if [[ -n ${{STUB_PIP_ERROR-}} ]]; then echo "$STUB_PIP_ERROR"; exit 1; fi ;;
  "--version "*) echo "Python 3.11.0" ;;
  "-c "* | "- "*) exec "{sys.executable}" "$@" ;;
  "-m pytest "* | "-m ruff "* | "-m mypy "* | "-m codespell_lib "*)
    echo "$PWD: ${{*:2}} TASK=${{TASK-unset}}" >>"$STUB_LOG"
    [[ $2 != "${{STUB_FAILING-}}" ]] ;;
  *)
    echo "program in $PWD" >>"$STUB_LOG"
    printf '[%s]' "$@"
    echo
    env ;;
esac
"""


@dataclass(frozen=True)
class Project:
    """A copy of run.sh and what it reads, in a folder with a space in its name."""

    root: Path
    log: Path
    stub_folder: Path

    def run(
        self,
        *arguments: str,
        settings: Mapping[str, str] | None = None,
        folder: Path | None = None,
        script: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", str(script or self.root / "run.sh"), *arguments],
            cwd=folder or self.root,
            env=self.environment(settings),
            capture_output=True,
            text=True,
            timeout=60,
        )

    def environment(self, settings: Mapping[str, str] | None = None) -> dict[str, str]:
        fixed = {
            "PATH": f"{self.stub_folder}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.root),
            "TMPDIR": str(self.log.parent),
            "STUB_LOG": str(self.log),
            "STUB_PYTHON": str(self.stub_folder / "python3.11"),
        }
        return {**fixed, **(settings or {})}

    def calls(self, name: str) -> list[str]:
        """Lines of the stub's log that start with `name`."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line for line in lines if line.startswith(name)]


@pytest.fixture
def fresh(tmp_path: Path) -> Project:
    """A project without an environment."""
    root, stubs = tmp_path / "a project", tmp_path / "stubs"
    for folder in (root, stubs):
        folder.mkdir()
    (root / "tests").mkdir()
    for name in ("run.sh", "requirements.txt", "requirements.lock", "tests/requirements.lock", "pyproject.toml"):
        shutil.copy(PROJECT_ROOT / name, root / name)
    stub = stubs / "python3.11"
    stub.write_text(STUB)
    stub.chmod(0o755)
    # One that this machine may have is not to be called.
    (stubs / "uv").write_text("#!/usr/bin/env bash\nexit 1\n")
    (stubs / "uv").chmod(0o755)
    return Project(root, tmp_path / "log", stubs)


@pytest.fixture
def project(fresh: Project) -> Project:
    """A project whose environment is installed."""
    assert fresh.run().returncode == 0
    fresh.log.unlink()
    return fresh


def variables(output: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in output.splitlines() if re.match(r"[A-Z0-9_]+=", line))


def wait_for_pip(project: Project) -> None:
    deadline = time.monotonic() + 20
    while not project.calls("pip") and time.monotonic() < deadline:
        time.sleep(0.02)


def test_no_arguments_means_run(project: Project) -> None:
    assert project.run().stdout.startswith(f"[-P][{project.root}/code][run]\n")


def test_options_alone_are_those_of_run(project: Project) -> None:
    assert project.run("--task", "mrpc").stdout.startswith(f"[-P][{project.root}/code][run][--task][mrpc]\n")


def test_version_is_that_of_the_program(project: Project) -> None:
    (project.root / "code").symlink_to(PROJECT_ROOT / "code")
    stub = project.stub_folder / "python3.11"
    stub.write_text(f'#!/usr/bin/env bash\n[[ $1 == -c ]] || echo "$@" >>"$STUB_LOG"\nexec "{sys.executable}" "$@"\n')
    result = project.run("--version")
    declared = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert (result.returncode, result.stdout) == (0, f"power-bert {declared}\n")
    assert project.calls("") == [f"-P {project.root}/code --version"]


@pytest.mark.parametrize("option", ["--install-completion", "--show-completion"])
def test_completion_is_of_the_installed_program(fresh: Project, option: str) -> None:
    result = fresh.run(option)
    assert (result.returncode, fresh.calls("")) == (1, [])
    assert f"`power-bert {option}`" in result.stderr


def test_arguments_pass_unchanged(project: Project) -> None:
    result = project.run("predict", "a b", "", "*", "$HOME", '"')
    assert result.stdout.startswith(f'[-P][{project.root}/code][predict][a b][][*][$HOME]["]\n')


def test_defaults(project: Project) -> None:
    seen = variables(project.run().stdout)
    filled = {name: seen[name] for name in MAIN_SETTINGS + FURTHER_SETTINGS if seen[name]}
    assert filled == {
        **{"TASK": "cola", "EFFORT": "normal", "SEED": "0", "CASED": "auto", "GATE": "visibility"},
        **{"SPEEDUP_BY": "flops", "WIDTH": "1", "FUSE": "0"},
        **{
            "RETENTION_UNIT": "fraction",
            "RETENTION_PROFILE": "step",
            "WARMUP": "0.1",
            "WEIGHT_DECAY": "0.01",
            "BACKEND": "tensorflow",
        },
        **{"BASELINE": "0", "PRED_GLUE": "1", "EVAL_ONLY": "0", "PREDICT_ONLY": "0", "RESUME": "1"},
    }
    assert (seen["KERAS_BACKEND"], seen["PYTHONUTF8"], seen["TF_CPP_MIN_LOG_LEVEL"]) == ("tensorflow", "1", "3")
    assert "OMP_NUM_THREADS" not in seen


def test_settings_of_the_environment_reach_the_program(project: Project) -> None:
    given = {name: f"value of {name}" for name in MAIN_SETTINGS + FURTHER_SETTINGS}
    given |= {"BACKEND": "tensorflow", "THREADS": "3"}
    seen = variables(project.run(settings=given).stdout)
    assert {name: seen[name] for name in given} == given
    assert seen["OMP_NUM_THREADS"] == seen["TF_NUM_INTRAOP_THREADS"] == seen["PJRT_NPROC"] == "3"


def test_empty_settings_stay_empty(project: Project) -> None:
    given = {name: "" for name in MAIN_SETTINGS + FURTHER_SETTINGS}
    seen = variables(project.run(settings=given).stdout)
    assert {name: seen[name] for name in given} == given | {"BACKEND": "tensorflow"}


def test_edited_settings_reach_the_program(project: Project) -> None:
    script = project.root / "run.sh"
    script.write_text(script.read_text().replace('TASK="${TASK-cola}"', "TASK=mrpc"))
    assert variables(project.run().stdout)["TASK"] == "mrpc"
    assert "  TASK=mrpc\n" in project.run("--help").stdout


def test_settings_stand_on_top_in_order() -> None:
    lines = (PROJECT_ROOT / "run.sh").read_text().splitlines()
    names = [match[1] for line in lines if (match := re.match(r'([A-Z_]+)="\$\{\1-', line))]
    assert tuple(names) == MAIN_SETTINGS + FURTHER_SETTINGS
    commented = [lines[index - 1].startswith("# ") for index, line in enumerate(lines) if re.match(r"[A-Z_]+=", line)]
    assert all(commented)


@pytest.mark.parametrize(
    ("setting", "value"), [("BACKEND", "torch"), ("THREADS", "0"), ("THREADS", "two"), ("THREADS", "-1")]
)
def test_bad_setting_names_itself(project: Project, setting: str, value: str) -> None:
    result = project.run(settings={setting: value})
    assert result.returncode == 1
    assert f"{setting}={value}" in result.stderr and "expected" in result.stderr
    assert project.calls("program") == []


def test_the_variable_that_was_set_is_named(project: Project) -> None:
    assert "KERAS_BACKEND=torch is unknown" in project.run(settings={"KERAS_BACKEND": "torch"}).stderr


def test_settings_after_the_command_are_refused(project: Project) -> None:
    result = project.run("EPOCH=3")
    assert (result.returncode, project.calls("program")) == (1, [])
    assert "EPOCH=3 bash run.sh" in result.stderr


def test_settings_of_another_python_do_not_reach_the_program(project: Project) -> None:
    seen = variables(project.run(settings={"PYTHONPATH": "/opt/robot", "PYTHONHOME": "/opt/other"}).stdout)
    assert not {"PYTHONPATH", "PYTHONHOME"} & set(seen)


def test_from_another_folder_and_through_links(project: Project, tmp_path: Path) -> None:
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    (elsewhere / "absolute").symlink_to(project.root / "run.sh")
    (elsewhere / "relative").symlink_to("../a project/run.sh")
    (elsewhere / "twice").symlink_to("relative")
    for script in (None, *(elsewhere / name for name in ("absolute", "relative", "twice"))):
        result = project.run(folder=elsewhere, script=script)
        assert result.stdout.startswith(f"[-P][{project.root}/code][run]\n")
    assert project.calls("program") == [f"program in {elsewhere}"] * 4
    assert project.calls("pip") == []


def test_exit_code_of_the_program_is_kept(project: Project) -> None:
    stub = project.stub_folder / "python3.11"
    stub.write_text(STUB.replace("    env ;;", "    exit 7 ;;"))
    assert project.run().returncode == 7


class TestEnvironment:
    def test_first_call_installs_and_the_second_does_not(self, fresh: Project) -> None:
        first = fresh.run()
        assert first.returncode == 0
        assert first.stderr.startswith("Setting up the environment in ")
        assert len(first.stderr.splitlines()) == 2
        assert (len(fresh.calls("venv")), len(fresh.calls("pip"))) == (1, 1)
        assert f"--require-hashes -r {fresh.root}/requirements.lock" in fresh.calls("pip")[0]
        second = fresh.run()
        assert (second.returncode, second.stderr) == (0, "")
        assert (len(fresh.calls("venv")), len(fresh.calls("pip"))) == (1, 1)

    @pytest.mark.parametrize(
        "name", ["requirements.txt", "requirements.lock", "tests/requirements.lock", "pyproject.toml"]
    )
    def test_changed_requirements_are_installed(self, project: Project, name: str) -> None:
        with (project.root / name).open("a") as file:
            file.write("# changed\n")
        assert project.run().stderr.startswith("Updating the environment in ")
        assert project.run().stderr == ""
        assert len(project.calls("pip")) == 1
        assert "--force-reinstall" not in project.calls("pip")[0]

    def test_killed_installation_is_done_again(self, fresh: Project) -> None:
        assert fresh.run(settings={"STUB_PIP_KILLED": "1"}).returncode == -9
        assert fresh.run().returncode == 0
        assert len(fresh.calls("pip")) == 2
        assert "--force-reinstall" in fresh.calls("pip")[1]
        assert fresh.run().stderr == ""

    def test_interrupted_installation_says_so_and_is_done_again(self, fresh: Project) -> None:
        command = ["bash", str(fresh.root / "run.sh")]
        environment = fresh.environment({"STUB_PIP_SLEEP": "20"})
        process = subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # Where the tests run in the background, they ignore Ctrl-C, and a shell cannot trap what it inherits so.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        wait_for_pip(fresh)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=20)
        assert process.returncode == 130
        assert errors.splitlines()[1:] == ["run.sh: stopped; the next call goes on."]
        assert fresh.run().returncode == 0
        assert "--force-reinstall" in fresh.calls("pip")[1]

    def test_failing_pip_says_what_to_do(self, fresh: Project) -> None:
        result = fresh.run(settings={"STUB_PIP_ERROR": "ERROR: no route to the index"})
        assert result.returncode == 1
        assert "    ERROR: no route to the index" in result.stderr
        for word in ("network", "disk", "Python", "call run.sh again"):
            assert word in result.stderr
        assert "Traceback" not in result.stderr
        assert fresh.calls("program") == []
        assert fresh.run().returncode == 0
        assert "--force-reinstall" not in fresh.calls("pip")[1]

    def test_pip_that_fails_while_writing_is_mended(self, fresh: Project) -> None:
        fresh.run(settings={"STUB_PIP_ERROR": "Installing collected packages: keras\nERROR: No space left on device"})
        assert fresh.run().returncode == 0
        assert "--force-reinstall" in fresh.calls("pip")[1]

    def test_without_a_suitable_python(self, fresh: Project, tmp_path: Path) -> None:
        tools = tmp_path / "tools"
        tools.mkdir()
        for name in ("bash", "cat", "dirname", "basename", "mkdir", "mktemp", "rm", "sha256sum", "shasum", "flock"):
            if path := shutil.which(name):
                (tools / name).symlink_to(path)
        result = fresh.run(settings={"PATH": str(tools)})
        assert result.returncode == 1
        assert "found no Python 3.11, 3.12 or 3.13" in result.stderr
        assert "Traceback" not in result.stderr

    def test_elsewhere(self, fresh: Project, tmp_path: Path) -> None:
        environment = tmp_path / "an environment"
        assert fresh.run(settings={"POWER_BERT_VENV": str(environment)}).returncode == 0
        assert (environment / "bin" / "python").exists()
        assert not (fresh.root / ".venv").exists()

    def test_extras(self, project: Project) -> None:
        assert project.run(settings={"EXTRAS": "parity, jax"}).returncode == 0
        assert project.run(settings={"EXTRAS": "jax"}).stderr == ""
        assert project.run().stderr == ""
        assert project.run(settings={"BACKEND": "jax"}).stderr == ""
        locked, others = project.calls("pip")
        assert "tests/requirements.lock" not in locked and "--require-hashes" not in others
        project.run(settings={"EXTRAS": "test"})
        assert project.run(settings={"EXTRAS": "parity test"}).stderr == ""
        assert f"-r {project.root}/tests/requirements.lock" in project.calls("pip")[2]
        assert len(project.calls("pip")) == 4

    def test_uv_where_it_is_there(self, fresh: Project) -> None:
        uv = fresh.stub_folder / "uv"
        uv.write_text('#!/usr/bin/env bash\necho "uv $*" >>"$STUB_LOG"\n')
        uv.chmod(0o755)
        assert fresh.run().returncode == 0
        assert fresh.calls("pip") == []
        (call,) = fresh.calls("uv")
        assert call.startswith(f"uv pip install --python {fresh.root}/.venv/bin/python --require-hashes -r ")

    @pytest.mark.parametrize("name", ["a:b", "file/venv"])
    def test_where_no_environment_can_be(self, fresh: Project, tmp_path: Path, name: str) -> None:
        (tmp_path / "file").write_text("")
        result = fresh.run(settings={"POWER_BERT_VENV": str(tmp_path / name)})
        assert result.returncode == 1
        (line,) = result.stderr.splitlines()
        assert line.startswith("run.sh: the environment ") and line.endswith("set POWER_BERT_VENV to another folder")

    def test_unknown_extra(self, project: Project) -> None:
        result = project.run(settings={"EXTRAS": "parrot"})
        assert result.returncode == 1
        assert "parrot unknown; there are test, notebook, docs, jax, " in result.stderr

    def test_jax_backend_brings_jax(self, project: Project) -> None:
        seen = variables(project.run(settings={"BACKEND": "jax"}).stdout)
        assert seen["KERAS_BACKEND"] == "jax"
        assert "requirements.txt" in project.calls("pip")[-1]

    @pytest.mark.skipif(shutil.which("flock") is None, reason="needs flock (util-linux)")
    def test_two_at_once_install_once(self, fresh: Project) -> None:
        command = ["bash", str(fresh.root / "run.sh")]
        environment = fresh.environment({"STUB_PIP_SLEEP": "1"})
        first = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for_pip(fresh)
        second = fresh.run()
        assert first.wait(timeout=20) == second.returncode == 0
        assert "waiting" in second.stderr
        assert (len(fresh.calls("pip")), len(fresh.calls("program"))) == (1, 2)


class TestHelp:
    def test_names_everything_and_installs_nothing(self, fresh: Project) -> None:
        result = fresh.run("--help")
        assert (result.returncode, result.stderr) == (0, "")
        for name in (*MAIN_SETTINGS, *FURTHER_SETTINGS):
            assert re.search(rf"^  {name}=.*\n      \S", result.stdout, re.MULTILINE), name
        for word in ("POWER_BERT_VENV", "EXTRAS", "bash run.sh test", "Examples:"):
            assert word in result.stdout
        assert fresh.calls("") == []
        assert not (fresh.root / ".venv").exists()

    def test_ends_with_the_program_s_own_help(self, project: Project) -> None:
        assert f"[-P][{project.root}/code][--help]" in project.run("-h").stdout

    def test_lists_the_commands_of_an_older_environment(self, project: Project) -> None:
        with (project.root / "requirements.txt").open("a") as file:
            file.write("# changed\n")
        assert f"[-P][{project.root}/code][--help]" in project.run("--help").stdout
        assert project.calls("pip") == []

    def test_an_environment_that_fails_shows_no_error(self, project: Project) -> None:
        stub = project.stub_folder / "python3.11"
        stub.write_text(STUB.replace("    env ;;", "    echo Traceback >&2; exit 1 ;;"))
        result = project.run("--help")
        assert (result.returncode, result.stderr) == (0, "")
        assert "The commands are listed here once the environment is set up" in result.stdout


class TestDocs:
    def test_pages_are_written_and_the_site_is_built(self, project: Project, tmp_path: Path) -> None:
        result = project.run("docs", folder=tmp_path, settings={"TASK": "mrpc"})
        assert result.returncode == 0 and result.stderr.endswith("open site/index.html.\n")
        assert project.calls("program") == [f"program in {project.root}"] * 2
        assert [line for line in result.stdout.splitlines() if line.startswith("[")] == [
            "[docs/pages.py]",
            "[-m][mkdocs][build]",
        ]
        assert "TASK" not in variables(result.stdout) and len(project.calls("pip")) == 2

    def test_serve(self, project: Project) -> None:
        assert "[-m][mkdocs][serve]" in project.run("docs", "--serve").stdout
        result = project.run("docs", "--port")
        assert result.returncode == 1 and "docs --port: expected nothing, or --serve" in result.stderr


class TestTests:
    PYTEST = "pytest -n auto --maxprocesses 4 --dist loadfile"

    def test_default_tier(self, project: Project, tmp_path: Path) -> None:
        result = project.run("test", "-k", "two words", folder=tmp_path, settings={"TASK": "mrpc"})
        assert result.returncode == 0
        assert project.calls(str(project.root)) == [
            f"{project.root}: {call} TASK=unset"
            for call in (
                "ruff check .",
                "ruff format --check .",
                "mypy",
                "codespell_lib code docker docs glue_data/README.md checkpoints/README.md notebooks tests CHANGELOG.md "
                "CITATION.cff CONTRIBUTING.md README.md mkdocs.yml pyproject.toml run.sh",
                f"{self.PYTEST} -m not slow -k two words",
            )
        ]
        assert len(project.calls("pip")) == 1

    def test_all(self, project: Project) -> None:
        assert project.run("test", "--all", "-x").returncode == 0
        assert f"{self.PYTEST} -m slow or not slow -x" in project.calls(str(project.root))[-1]

    @pytest.mark.parametrize("failing", ["ruff", "mypy", "codespell_lib", "pytest"])
    def test_a_failing_step_fails_all_but_the_others_run(self, project: Project, failing: str) -> None:
        result = project.run("test", settings={"STUB_FAILING": failing})
        assert result.returncode == 1
        assert f"not passed: {failing.removesuffix('_lib')}" in result.stderr
        assert len(project.calls(str(project.root))) == 5
