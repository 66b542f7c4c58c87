"""What several outputs on a page are called: by what tells them apart. Pure."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from batchchat.reporting.tables import ReportInput

__all__ = ["labels_of"]


def labels_of(report_inputs: Sequence[ReportInput]) -> list[str]:
    """A label for each output: its model, else its job's name, where no two share it; else its path.

    Models are shown by the end of their names, and paths without the folders that all have, if that distinguishes them.
    """
    models = [report_input.model or "" for report_input in report_inputs]
    names = [report_input.name or "" for report_input in report_inputs]
    paths = [report_input.path for report_input in report_inputs]
    for texts, shortened in ((models, _ends), (names, list)):
        if _tell_apart(texts):
            return _if_distinct(texts, shortened)
    return _if_distinct(paths, _without_common_folder)


def _tell_apart(texts: Sequence[str]) -> bool:
    return all(texts) and len(set(texts)) == len(texts)


def _if_distinct(texts: Sequence[str], shortened: Callable[[Sequence[str]], list[str]]) -> list[str]:
    short = shortened(texts)
    return short if _tell_apart(short) else list(texts)


def _ends(models: Sequence[str]) -> list[str]:
    return [model.rsplit("/", 1)[-1] for model in models]


def _without_common_folder(paths: Sequence[str]) -> list[str]:
    if len({*map(os.path.isabs, paths)}) > 1:
        return list(paths)
    folder = os.path.commonpath([Path(path).parent for path in paths])
    return [os.path.relpath(path, folder or ".") for path in paths]
