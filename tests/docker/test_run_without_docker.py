"""Images of docker/: what is sent to their builder, and their run without a daemon."""

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

PROJECT_ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "run_without_docker", PROJECT_ROOT / "docker" / "run_without_docker.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "run_without_docker", module)
    spec.loader.exec_module(module)
    return module


def test_what_the_images_copy_is_sent_to_the_builder(program: ModuleType) -> None:
    """One file for every builder: a Dockerfile.dockerignore would be read by BuildKit alone."""
    rules = (PROJECT_ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    sent = {rule[1:] for rule in rules if rule.startswith("!")}
    assert "*" in rules and all((PROJECT_ROOT / path).exists() for path in sent)
    assert not list(PROJECT_ROOT.rglob("docker/*.dockerignore"))
    sources = [
        source.removeprefix("./")
        for name, rest in program.instructions()
        if name == "COPY" and "--from=" not in rest
        for source in rest.split()[:-1]
    ]
    assert "code/power_bert_runtime" in sources
    for source in sources:
        assert (PROJECT_ROOT / source).exists()
        assert any(source == path or source.startswith(f"{path}/") for path in sent), source


@pytest.fixture
def this_system(program: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs a command in an "image" whose root is that of this system."""
    alone = ["bwrap", "--ro-bind", "/", "/", "--unshare-pid", "--unshare-user", "--uid", "10001", "true"]
    if shutil.which("bwrap") is None or subprocess.run(alone, capture_output=True, check=False).returncode != 0:
        pytest.skip("needs bubblewrap and the right to make namespaces")
    monkeypatch.setattr(program, "forget_files", lambda root: None)
    stage = program.Stage(Path("/"), user="10001:10001", folder="/srv", entrypoint=("sh", "-c"))
    return lambda arguments, entrypoint="": program.run_command(stage, entrypoint, arguments)


def test_the_time_of_a_command(this_system: Callable[..., int], capfd: pytest.CaptureFixture[str]) -> None:
    assert this_system("'id -u; pwd; touch here && sleep 0.3; exit 3'") == 3
    *said, last = capfd.readouterr().out.splitlines()
    assert said == ["10001", "/srv"]
    (seconds,) = re.findall(r"^ended after (\d+\.\d) s with status 3$", last)
    assert 0.3 <= float(seconds) < 30
    assert this_system("two words", "echo") == 0
    assert capfd.readouterr().out.startswith("two words\nended after ")


def test_files_that_are_forgotten_stay_on_the_disk(program: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("nowhere")
    program.forget_files(tmp_path)
    assert (tmp_path / "folder" / "file").read_bytes() == b"content"
