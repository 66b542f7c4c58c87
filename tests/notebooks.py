"""`python -m tests.notebooks`: execute the notebooks of docs/ again, and write them with what their cells show now.

A notebook runs in its own folder, as Jupyter starts it, and writes into temporary ones. What changes from run to run
(times, ids, the state of widgets) is not kept.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat as _nbformat
from nbclient import NotebookClient

from tests.reference import REPOSITORY

__all__ = ["NOTEBOOKS", "executed", "nbformat", "shown"]

nbformat: Any = _nbformat  # it has no types
NOTEBOOKS = sorted((REPOSITORY / "docs/notebooks").glob("*.ipynb"))
# What differs from run to run: durations, and the sizes of files that hold them.
_SHOWN = ("text/plain", "text/html")
_MEASURED = re.compile(r"\b\d+(\.\d+)? ?(s|ms|kB)\b")


def executed(path: Path, folder: Path) -> Any:
    """The notebook at `path`, executed, with `folder` for what it writes. Raises `CellExecutionError`."""
    notebook = nbformat.read(path, as_version=4)
    environ = {
        **os.environ,
        "TMPDIR": str(folder),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "IPYTHONDIR": str(folder / "ipython"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONWARNINGS": "ignore",
    }
    resources = {"metadata": {"path": str(path.parent)}}
    client: Any = NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources=resources, coalesce_streams=True
    )
    client.create_kernel_manager()
    client.km.ip = "127.0.0.1"
    client.km.kernel_spec.argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    client.execute(env=environ)
    return cleaned(notebook)


def cleaned(notebook: Any) -> Any:
    """`notebook` without what changes from run to run and shows nothing."""
    notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
        cell.metadata = {}
        for output in cell.get("outputs", ()):
            output.pop("metadata", None) if output.output_type == "stream" else output.update(metadata={})
    return notebook


def shown(notebook: Any) -> list[str]:
    """What the cells show as text, in their order, without durations and sizes."""
    texts = []
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            texts += [_MEASURED.sub("#", text) for text in (output.get("text"), *map(data.get, _SHOWN)) if text]
    return texts


def main() -> None:
    """Write the notebooks that show something else now."""
    for path in NOTEBOOKS:
        with tempfile.TemporaryDirectory() as folder:
            notebook = executed(path, Path(folder))
        if shown(notebook) != shown(nbformat.read(path, as_version=4)):
            nbformat.write(notebook, path)
            sys.stdout.write(f"{path.name}\n")


if __name__ == "__main__":
    main()
