"""The house stands as drawn: imports go down only, and heavy libraries stay in their rooms."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "batchchat"

# From the ground up. A room may import itself, the rooms of every floor below, and `core`.
FLOORS: list[set[str]] = [
    {"__init__", "errors", "secret", "lossless_json", "hash_table", "version", "core"},
    {"arrow", "text", "mock", "object_store"},
    {"job", "tokens"},
    {"sources", "script", "pricing", "policy", "store"},
    {"endpoint", "dispatch"},
    {"execution"},
    {"cluster"},
    {"results"},
    {"preflight"},
    {"reporting"},
    {"cli", "api"},
    {"__main__"},
]
# Who may import what, from outside; modules that are not named here may import none of these.
LIBRARIES = {
    "aiohttp": {
        "endpoint/client.py",
        "endpoint/lookups.py",
        "endpoint/network_failures.py",
        "endpoint/post.py",
        "endpoint/reading.py",
        "mock/",
    },
    "pyarrow": {"api/", "arrow/", "sources/", "store/", "results/", "reporting/"},
    "obstore": {"object_store/", "sources/remote_"},
    "zstandard": {"sources/decompressed_file.py"},
    "numpy": {"results/", "reporting/"},
    "pandas": {"api/", "reporting/"},
    "tqdm": {"text/progress.py", "text/display.py"},
    "tenacity": {"policy/"},
    "yaml": {"job/"},
    "dotenv": {"job/env_file.py"},
    "jinja2": {"sources/sandbox"},
    "jsonschema": {"job/schema_check.py", "script/json_schema.py"},
    "regex": {"job/schema_check.py", "script/json_schema.py"},
    "click": {"cli/"},
    "ray": {"cluster/ray_gateway.py"},
    "sentencepiece": {"tokens/wizardlm.py"},
    "tiktoken": {"tokens/vocabulary.py"},
    "tokenizers": {"tokens/vocabulary.py"},
}
# execution/wiring.py alone knows more than this many stations.
STATIONS = {"sources", "script", "endpoint", "policy", "pricing", "store", "dispatch", "mock", "reporting"}
MOST_STATIONS = 4


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def imports(path: Path) -> tuple[str, ...]:
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            assert node.module is not None
            if node.module == "batchchat":
                names += (f"batchchat.{alias.name}" for alias in node.names)
            else:
                names.append(node.module)
    return tuple(names)


def rooms_imported(path: Path) -> set[str]:
    rooms = set()
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "batchchat":
            room = parts[1] if len(parts) > 1 else "__init__"
            rooms.add("__init__" if room.startswith("__") else room)
    return rooms


def floor_of(room: str) -> int:
    return next(number for number, floor in enumerate(FLOORS) if room in floor)


def test_every_room_has_its_floor() -> None:
    """A new folder is drawn into the plan before it is built."""
    assert {room_of(path) for path in modules()} == set().union(*FLOORS)


def is_allowed(room: str, other: str) -> bool:
    """Whether a module of `room` may import `other`."""
    if room == "__init__":  # the face: its names are imported when they are first used
        return other in {"api", "errors", "version"}
    on_the_ground = floor_of(room) == floor_of(other) == 0
    return other == room or on_the_ground or floor_of(other) < floor_of(room)


def test_imports_go_down_only() -> None:
    """A room imports itself and lower floors; what passes between rooms of one floor are the values of `core`."""
    upward = {
        name_of(path): rooms
        for path in modules()
        if (rooms := [other for other in rooms_imported(path) if not is_allowed(room_of(path), other)])
    }
    assert upward == {}


def test_libraries_stay_in_their_rooms() -> None:
    """aiohttp, pyarrow, pandas, tqdm, tenacity, PyYAML and click are imported only where they belong."""
    strays = [
        f"{name_of(path)} imports {name}"
        for path in modules()
        for name in imports(path)
        if not name_of(path).startswith(tuple(LIBRARIES.get(name.split(".")[0], {""})))
    ]
    assert strays == []


def test_only_the_wiring_knows_many_stations() -> None:
    """No module but execution/wiring.py knows more than four stations."""
    crowded = {
        name_of(path): stations
        for path in modules()
        if len(stations := rooms_imported(path) & STATIONS) > MOST_STATIONS
    }
    assert set(crowded) <= {"execution/wiring.py"}, crowded


def test_the_mock_stands_alone() -> None:
    """The mock imports nothing of ours, so that it can't share our mistakes."""
    for path in sorted((PACKAGE / "mock").rglob("*.py")):
        assert rooms_imported(path) <= {"mock"}, path


def test_there_are_no_import_cycles() -> None:
    """No module imports itself by way of others."""
    graph = {}
    for path in modules():
        name = "batchchat." + name_of(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        graph[name] = set(imports(path))
    # `from batchchat.job import X` reaches what the package's face imports.
    done: set[str] = set()
    on_path: list[str] = []

    def visit(name: str) -> None:
        assert name not in on_path, " -> ".join([*on_path[on_path.index(name) :], name])
        if name in done or name not in graph:
            return
        on_path.append(name)
        for other in sorted(graph[name]):
            visit(other)
        on_path.pop()
        done.add(name)

    for name in sorted(graph):
        visit(name)


def test_packages_only_hand_names_on() -> None:
    """An `__init__.py` holds a docstring, imports and `__all__`, and nothing else; the package's own imports lazily."""
    for path in set(PACKAGE.rglob("__init__.py")) - {PACKAGE / "__init__.py"}:
        for node in ast.parse(path.read_text()).body:
            plain = isinstance(node, ast.Import | ast.ImportFrom | ast.Expr)
            named = isinstance(node, ast.Assign) and all(
                isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets
            )
            assert plain or named, f"{path}: {ast.unparse(node)}"
