"""What is released: the wheel's files, its size, and that it works where nothing of the checkout is."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# What a start may import beside the standard library.
LIGHT = {"batchchat", "click", "orjson", "yaml", "_yaml", "cython_runtime"}


def typed(folder: Path, *words: str | Path, **variables: str) -> str:
    """Run a command in `folder`, which must end well; what it wrote to stdout. Nothing leads it to the checkout."""
    environment = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    ended = subprocess.run(
        [str(word) for word in words],
        cwd=folder,
        env=environment | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("needs hatchling, which builds the wheel")
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of commands of a virtual environment that has the wheel, and sees the libraries of this one."""
    if importlib.util.find_spec("pip") is None:
        pytest.skip("needs pip, which installs the wheel")
    folder = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(folder, symlinks=True)
    options = ["--quiet", "--no-deps", "--no-index", "--no-compile", "--disable-pip-version-check"]
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(folder / "bin/python"), "install", *options, str(wheel)],
        check=True,
    )
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    # A line adds a folder, and not what the folder's own .pth files add: the checkout stays out of sight.
    libraries = [path for path in sys.path if Path(path).name == "site-packages"]
    (site / "libraries.pth").write_text("".join(f"{path}\n" for path in libraries))
    return folder / "bin"


def test_no_file_is_there_for_development(wheel: Path) -> None:
    """The package, the examples that `init` writes, the metadata and licences; no test, no fixture, no benchmark."""
    names = zipfile.ZipFile(wheel).namelist()
    package = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "batchchat").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    others = set(names) - package
    assert package <= set(names)
    assert "batchchat/py.typed" in names
    assert all(
        re.match(r"batchchat/examples/(jobs|sample_data)/|batchchat-[\d.]+\.dist-info/", name) for name in others
    )
    assert not [name for name in names if re.search(r"(^|/)(tests?|conftest|benchmarks?|fixtures)\b", name)]


def test_its_size_is_as_the_readme_says(wheel: Path) -> None:
    """The README gives an upper bound."""
    [bound] = re.findall(r"wheel is\s+under ([\d.]+) MB", (ROOT / "README.md").read_text())
    assert wheel.stat().st_size < float(bound) * 1_000_000


def test_its_metadata(wheel: Path) -> None:
    """Name, licence, Python, keywords and the README as its page."""
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith("/METADATA")]
        head, _, body = archive.read(name).decode().partition("\n\n")
    fields = dict(line.split(": ", 1) for line in head.splitlines() if re.match(r"[A-Z][\w-]*: ", line))
    assert (fields["Name"], fields["License-Expression"]) == ("batchchat", "Apache-2.0")
    assert (fields["Requires-Python"], fields["Description-Content-Type"]) == (">=3.11", "text/markdown")
    assert "llm" in fields["Keywords"]
    assert body == (ROOT / "README.md").read_text()


def test_it_runs_outside_the_checkout(installed: Path, tmp_path: Path) -> None:
    """An example is written and run by the installed package alone."""
    where = typed(tmp_path, installed / "python", "-c", "import batchchat; print(batchchat.__file__)")
    assert Path(where.strip()).is_relative_to(installed.parent)
    typed(tmp_path, installed / "batchchat", "init", "--example", "label")
    typed(tmp_path, installed / "batchchat", "run", "label.yaml")
    assert (tmp_path / "out/labels.parquet").read_bytes().startswith(b"PAR1")


@pytest.mark.parametrize("code", ["import batchchat", "main(['--help'])", "main(['--version'])"])
def test_a_start_imports_nothing_heavy(code: str, tmp_path: Path) -> None:
    """`import batchchat`, `batchchat --help` and `--version` import no library that takes long."""
    program = (
        "import atexit, sys\n"
        "before = set(sys.modules)\n"
        "names = lambda: {name.partition('.')[0] for name in set(sys.modules) - before} - sys.stdlib_module_names\n"
        "atexit.register(lambda: print(*names(), file=sys.stderr))\n"
    )
    if code.startswith("main"):
        program += "from batchchat.cli import main\n"
    ended = subprocess.run(
        [sys.executable, "-c", program + code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "batchchat" in ended.stderr.split()
    assert {name for name in ended.stderr.split() if not name.startswith("_cython_")} <= LIGHT


PIPX = ("pipx", "install", "--python", sys.executable)
UV = ("uv", "tool", "install", "--python", sys.executable)


@pytest.mark.field
@pytest.mark.parametrize("command", [PIPX, UV], ids=lambda command: command[0])
def test_tools_that_install_commands(command: Sequence[str], wheel: Path, tmp_path: Path) -> None:
    """Both pipx and uv install the wheel with what it needs from the package index; the command runs and completes."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    home, commands = tmp_path / "tools", tmp_path / "bin"
    folders: Mapping[str, str] = {
        "PIPX_HOME": str(home),
        "PIPX_BIN_DIR": str(commands),
        "UV_TOOL_DIR": str(home),
        "UV_TOOL_BIN_DIR": str(commands),
    }
    typed(tmp_path, *command, wheel, **folders)
    batchchat = commands / "batchchat"
    assert re.fullmatch(r"batchchat [\d.]+\n", typed(tmp_path, batchchat, "--version"))
    assert "_batchchat_completion" in typed(tmp_path, batchchat, _BATCHCHAT_COMPLETE="bash_source")
    typed(tmp_path, batchchat, "init", "--example", "label")
    typed(tmp_path, batchchat, "run", "label.yaml")
    typed(tmp_path, batchchat, "report", "out/labels.parquet", "--html", "report.html")
