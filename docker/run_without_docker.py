"""Build a target of the Dockerfile and run a command in it where no Docker daemon is at hand.

Each instruction is carried out in a root folder of its own: base images are minimal Debian systems made by mmdebstrap,
and commands run in bubblewrap with nothing of this machine but the network and its settings. Needs Linux, root, and the
Debian packages mmdebstrap and bubblewrap:

    python3 docker/run_without_docker.py serve /tmp/images
    python3 docker/run_without_docker.py serve /tmp/images --models models      # also starts it and checks its health
    python3 docker/run_without_docker.py train /tmp/images --command "run --help"

The last two print the time of a cold start: the files of the image are taken out of the memory of the system first.
Finished stages are kept in the folder; delete it to build anew.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

CONTEXT = Path(__file__).resolve().parents[1]
DOCKERFILE = CONTEXT / "docker" / "Dockerfile"
# Base image → release of Debian and packages that stand for it.
BASES = {"python:3.11-slim-bookworm": ("bookworm", "ca-certificates,python3,python3-venv")}
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LONGEST_START_S = 120
SETTING = re.compile(r"PIP_\w+|SSL_CERT_\w+|NODE_EXTRA_CA_CERTS|npm_config_\w+|(https?|no)_proxy", re.IGNORECASE)
SETTING_FILES = ("/etc/pip.conf", "~/.config/pip/pip.conf", "~/.npmrc")


@dataclass(frozen=True)
class Stage:
    """A stage: its root folder, and the settings of its image."""

    root: Path
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": PATH, "HOME": "/root"})
    folder: str = "/"
    user: str = "0:0"
    health: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()


def instructions() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile: name and arguments."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(encoding="utf-8"), flags=re.MULTILINE).replace("\\\n", " ")
    return [
        (name.upper(), rest.strip()) for name, _, rest in (line.partition(" ") for line in text.splitlines()) if name
    ]


def build(target: str, folder: Path, extra: list[str]) -> Stage:
    """Build all stages up to a target and return the target's."""
    stages: dict[str, Stage] = {}
    current, name, is_cached = Stage(folder), "", False
    for instruction, rest in instructions():
        if instruction == "FROM":
            if name:
                stages[name] = finish(current, name, is_cached)
            if name == target:
                return stages[name]
            image, _, name = re.split(r"\s+(as)\s+", rest, flags=re.IGNORECASE)
            current, is_cached = start(image, name, stages, folder)
        else:
            current = carry_out(instruction, rest, current, stages, extra, is_cached)
    if name != target:
        sys.exit(f"{DOCKERFILE} has no target {target}")
    return finish(current, name, is_cached)


def start(image: str, name: str, stages: dict[str, Stage], folder: Path) -> tuple[Stage, bool]:
    """Start a stage with a copy of the root that it is built from; a finished stage is only read."""
    root = folder / name
    if is_done(root):
        return (replace(stages[image], root=root) if image in stages else Stage(root)), True
    shutil.rmtree(root, ignore_errors=True)
    if image in stages:
        subprocess.run(["cp", "-a", "--reflink=auto", stages[image].root, root], check=True)
        return replace(stages[image], root=root), False
    release, packages = BASES[image]
    command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={packages}", release, str(root)]
    subprocess.run(command, check=True)
    return Stage(root), False


def is_done(root: Path) -> bool:
    """Return whether a stage was finished."""
    return root.with_suffix(".done").exists()


def finish(stage: Stage, name: str, is_cached: bool) -> Stage:
    """Mark a stage as finished."""
    if not is_cached:
        stage.root.with_suffix(".done").touch()
    size = subprocess.run(["du", "-sm", stage.root], capture_output=True, text=True, check=True).stdout.split()[0]
    print(f"stage {name}: {size} MB", flush=True)
    return stage


def carry_out(
    instruction: str, rest: str, stage: Stage, stages: dict[str, Stage], extra: list[str], is_cached: bool
) -> Stage:
    """Carry out an instruction; of a finished stage only the settings."""
    if instruction in ("ENV", "ARG"):
        pairs = [each.partition("=") for each in shlex.split(rest)]
        values = {name: expand(value, stage.environment) for name, _, value in pairs}
        return replace(stage, environment=stage.environment | values)
    if instruction == "WORKDIR":
        (stage.root / rest.strip("/")).mkdir(parents=True, exist_ok=True)
        return replace(stage, folder=rest)
    if instruction == "USER":
        home = stage.environment | {"HOME": "/home/power-bert"}
        return replace(stage, user=rest, environment=home)
    if instruction == "HEALTHCHECK":
        return replace(stage, health=tuple(json.loads(rest[rest.index("CMD") + 3 :])))
    if instruction == "ENTRYPOINT":
        return replace(stage, entrypoint=tuple(json.loads(rest)), command=())
    if instruction == "CMD":
        return replace(stage, command=tuple(json.loads(rest)))
    if instruction == "COPY" and not is_cached:
        copy(rest, stage, stages)
    elif instruction == "RUN" and not is_cached:
        print(f"RUN {rest}", flush=True)
        subprocess.run(sandbox(stage, ["sh", "-c", rest], extra), check=True)
    elif instruction not in ("COPY", "RUN", "EXPOSE", "VOLUME"):
        sys.exit(f"{DOCKERFILE}: {instruction} is not supported here")
    return stage


def expand(text: str, environment: dict[str, str]) -> str:
    """Replace $NAME in the value of a variable."""
    return re.sub(r"\$\{?(\w+)\}?", lambda match: environment.get(match[1], ""), text)


def copy(rest: str, stage: Stage, stages: dict[str, Stage]) -> None:
    """Copy files of the project or of another stage."""
    arguments = shlex.split(rest)
    source = CONTEXT
    if arguments[0].startswith("--from="):
        source = stages[arguments.pop(0).removeprefix("--from=")].root
    *paths, target = arguments
    place = stage.root / (Path(stage.folder) / target).as_posix().strip("/")
    for path in paths:
        origin = source / path.strip("/")
        if origin.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "node_modules", "*.egg-info") if source == CONTEXT else None
            shutil.copytree(origin, place, symlinks=True, ignore=ignored, dirs_exist_ok=True)
        else:
            into = place / origin.name if target.endswith("/") or len(paths) > 1 else place
            into.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(origin, into)


def sandbox(stage: Stage, command: list[str], extra: list[str], is_read_only: bool = False) -> list[str]:
    """Return the command that runs another one in the root of a stage, with its variables, folder and user.

    `extra` are further options of bubblewrap.
    """
    arguments = ["bwrap", "--die-with-parent", "--unshare-pid", "--unshare-ipc", "--clearenv", "--as-pid-1"]
    arguments += ["--ro-bind" if is_read_only else "--bind", str(stage.root), "/", "--proc", "/proc", "--dev", "/dev"]
    arguments += ["--tmpfs", "/tmp", "--ro-bind", "/etc/resolv.conf", "/etc/resolv.conf"]
    if stage.user != "0:0":
        user, _, group = stage.user.partition(":")
        arguments += ["--unshare-user", "--uid", user, "--gid", group or user]
    for name, value in stage.environment.items():
        arguments += ["--setenv", name, value]
    return [*arguments, *extra, "--chdir", stage.folder, *command]


def network_settings() -> list[str]:
    """Return options that let RUN use the package indexes, proxies and certificates of this machine.

    These are the variables and files in which pip, npm and TLS libraries keep them, and every path that they name.
    """
    variables = {name: value for name, value in os.environ.items() if SETTING.fullmatch(name)}
    files = [path for path in (Path(place).expanduser() for place in SETTING_FILES) if path.is_file()]
    texts = [*variables.values(), *(path.read_text(encoding="utf-8") for path in files)]
    named = {Path(place) for text in texts for place in re.findall(r"(?<![\w:/])(?:file://)?(/[\w.+/-]+)", text)}
    # A local index links to files beside itself.
    named = {path.parent if path.name == "simple" else path for path in named}
    paths = sorted({*files, *(path for path in named if len(path.parts) > 2 and path.exists())})
    options = [part for path in paths for part in ("--ro-bind", str(path), str(path))]
    return options + [part for name, value in variables.items() for part in ("--setenv", name, value)]


def forget_files(root: Path) -> None:
    """Take the files of an image out of the page cache, as after a pull on another machine."""
    os.sync()
    for path in root.rglob("*"):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def run_command(stage: Stage, entrypoint: str, arguments: str) -> int:
    """Run a command in the image, print the time until it has ended, and return its exit status.

    Args:
        stage: Stage of the image.
        entrypoint: Program in place of the image's; empty for the image's.
        arguments: Arguments of the program, as a shell reads them.
    """
    program = [entrypoint] if entrypoint else [*stage.entrypoint]
    writable = [] if stage.folder == "/" else ["--tmpfs", stage.folder]
    command = sandbox(stage, [*program, *shlex.split(arguments)], writable, is_read_only=True)
    forget_files(stage.root)
    began = time.monotonic()
    status = subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode
    print(f"ended after {time.monotonic() - began:.1f} s with status {status}", flush=True)
    return status


def run(stage: Stage, models: Path, port: int) -> None:
    """Start the image with a folder of models, wait until it is healthy, and end it as Docker does."""
    stage = replace(stage, environment=stage.environment | {"PORT": str(port)})
    (stage.root / "models").mkdir(exist_ok=True)
    extra = ["--ro-bind", str(models.resolve()), "/models"]
    command = sandbox(stage, [*stage.entrypoint, *stage.command], extra, is_read_only=True)
    check = sandbox(stage, list(stage.health), [], is_read_only=True)
    forget_files(stage.root)
    began = time.monotonic()
    with subprocess.Popen(command) as process:
        while subprocess.run(check, capture_output=True, check=False).returncode != 0:
            if process.poll() is not None or time.monotonic() - began > LONGEST_START_S:
                process.kill()
                sys.exit("the server did not become healthy")
            time.sleep(0.2)
        print(f"healthy after {time.monotonic() - began:.1f} s", flush=True)
        sys.stdin.read()  # goes on until the caller is done
        # bubblewrap does not pass signals on; its child is process 1 of the image.
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        subprocess.run(["kill", f"-{signal.SIGTERM.value}", *children], check=True)
        status = process.wait(60)
        print(f"ended with status {status}", flush=True)
        sys.exit(status)


def main() -> None:
    """Build a target, and run it if there are models or a command for it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", help="target of the Dockerfile")
    parser.add_argument("folder", type=Path, help="folder for the roots of the stages")
    parser.add_argument(
        "--models", type=Path, help="folder with exported files; the image is started, until stdin ends"
    )
    parser.add_argument("--command", help="arguments of the image's program; it is run, until it ends")
    parser.add_argument("--entrypoint", default="", help="program for --command in place of the image's")
    parser.add_argument("--port", type=int, default=8080, help="port of the server")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    stage = build(options.target, options.folder.resolve(), network_settings())
    if options.models:
        run(stage, options.models, options.port)
    elif options.command is not None:
        sys.exit(run_command(stage, options.entrypoint, options.command))


if __name__ == "__main__":
    main()
