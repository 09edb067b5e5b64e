"""The rooms of the package: imports point downwards only, and a name stands for one thing."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

from power_bert.folders import PACKAGE

# One floor a line, from the top. Rooms of one floor do not import each other; a file on the ground floor imports from
# there alone.
FLOORS = (
    ("__main__", "cli", "guard", "keras_registration"),
    ("commands",),
    ("experiments",),
    ("reports",),
    ("benchmarks",),
    ("distill", "export", "pretrain", "serving"),
    ("glue",),
    ("train",),
    ("predict", "compression", "objectives"),
    ("runs",),
    ("config",),
    ("model", "corpus"),
    ("text",),
    ("elimination",),
    ("storage",),
    (
        *(
            "beam_jobs",
            "child_processes",
            "errors",
            "folders",
            "pictures",
            "process_environment",
            "program_name",
            "quiet",
        ),
        "result_tables",
    ),
)
GROUND = FLOORS[-1]
TOP = FLOORS[0]
HEIGHTS = {room: -floor for floor, rooms in enumerate(FLOORS) for room in rooms}


@cache
def modules() -> dict[str, Path]:
    """Name of each module inside the package → its file."""
    return {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in PACKAGE.rglob("*.py")}


def room_of(module: str) -> str:
    return module.partition(".")[0]


def imports(module: str) -> Iterator[str]:
    """Modules of the package that a module imports, anywhere in its file."""
    for node in ast.walk(ast.parse(modules()[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "power_bert":
            base = (node.module or "").partition(".")[2]
            for alias in node.names:
                inside = f"{base}.{alias.name}".lstrip(".")
                yield inside if inside in modules() else base
        elif isinstance(node, ast.Import):
            yield from (a.name.partition(".")[2] for a in node.names if a.name.startswith("power_bert."))


def test_every_room_has_a_floor() -> None:
    rooms = {room_of(module) for module in modules()} - {"__init__"}
    assert rooms == set(HEIGHTS)


def test_no_import_points_upwards() -> None:
    upwards = []
    for module in modules():
        for imported in imports(module):
            one, other = room_of(module), room_of(imported)
            may_be_level = one == other or {one, other} <= set(GROUND) or {one, other} <= set(TOP)
            if module != "__init__" and HEIGHTS[one] <= HEIGHTS[other] and not may_be_level:
                upwards.append(f"{module} imports {imported}")
    assert upwards == []


def test_the_runtime_package_lies_below_all_rooms() -> None:
    """It can be installed without the others, so it imports none of them, and their names are not its own."""
    runtime = {
        path.stem: path.read_text(encoding="utf-8") for path in PACKAGE.with_name("power_bert_runtime").rglob("*.py")
    }
    assert [name for name, source in runtime.items() if "power_bert." in source.replace("power_bert.json", "")] == []
    names = {module.rpartition(".")[2] for module in modules()}
    assert {name for name in runtime if name in names} <= {"__init__", "errors"}


def test_matplotlib_is_imported_by_the_functions_that_draw() -> None:
    """It takes a second, and only few commands draw."""
    early = [
        module
        for module, path in modules().items()
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if (isinstance(node, ast.ImportFrom) and (node.module or "").startswith("matplotlib"))
        or (isinstance(node, ast.Import) and any(alias.name.startswith("matplotlib") for alias in node.names))
    ]
    assert early == []


def test_no_circle_of_imports() -> None:
    TopologicalSorter({module: set(imports(module)) for module in modules()}).prepare()


def test_no_two_files_have_the_same_name() -> None:
    places = defaultdict(list)
    for module in modules():
        places[module.rpartition(".")[2]].append(module)
    assert [found for name, found in places.items() if len(found) > 1 and not name.startswith("__")] == []


def test_no_two_public_classes_or_functions_have_the_same_name() -> None:
    """A command may have the name of the function that does its work."""
    places = defaultdict(list)
    for module, path in modules().items():
        if room_of(module) != "commands":
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
                    places[node.name].append(module)
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_no_function_has_more_than_12_parameters() -> None:
    """But for commands, whose parameters declare their options, and a Keras model with one for each config entry."""
    long = []
    for module, path in modules().items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and room_of(module) != "commands":
                parameters = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                long += [f"{module}.{node.name}"] if len(parameters) > 12 else []
    assert long == ["model.backbone.__init__"]


def test_the_folders_of_tests_are_the_rooms() -> None:
    """Each room has a folder of tests; what else is there helps tests or tests what lies beside the package."""
    tests = Path(__file__).parent
    folders = {
        path.parent.relative_to(tests).as_posix() for path in tests.rglob("*.py") if path.parent.name != "__pycache__"
    }
    rooms = {path.parent.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("__init__.py")}
    assert folders - rooms == {"docker", "fixtures", "notebooks", "runtime", "runtime/serving"}
    assert {room for room in rooms if "/" not in room} - folders == set()
