"""batchchat: concurrent chat completions over files, with a journal and a true bill.

Imported from Python it has `run`, `run_async`, `estimate`, `report`, `chat_frame`, `Job`, `Result`, and the errors that
they raise. They are imported when they are first used, so that the command line stays quick to start.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from batchchat.version import __version__

if TYPE_CHECKING:
    from batchchat.api.estimate import Estimate, estimate
    from batchchat.api.frame import chat_frame
    from batchchat.api.job import Job
    from batchchat.api.report import Report, report
    from batchchat.api.result import Result
    from batchchat.api.run import run, run_async
    from batchchat.errors import (
        BatchchatError,
        BudgetError,
        EndpointError,
        InputError,
        JobError,
        MachineError,
        OutputError,
        UsageError,
    )

__all__ = [
    "BatchchatError",
    "BudgetError",
    "EndpointError",
    "Estimate",
    "InputError",
    "Job",
    "JobError",
    "MachineError",
    "OutputError",
    "Report",
    "Result",
    "UsageError",
    "__version__",
    "chat_frame",
    "estimate",
    "report",
    "run",
    "run_async",
]

_MODULES = {
    "Estimate": "api.estimate",
    "Job": "api.job",
    "Report": "api.report",
    "Result": "api.result",
    "chat_frame": "api.frame",
    "estimate": "api.estimate",
    "report": "api.report",
    "run": "api.run",
    "run_async": "api.run",
}
"""Where the names are that are no error."""


if not TYPE_CHECKING:  # with it, a checker would take any name for one of the package

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_MODULES.get(name, 'errors')}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
