from __future__ import annotations

from batchchat.job.diagnostics import Diagnostic, RefusedError, SourceLocation, job_error


def test_in_file_order_without_duplicates() -> None:
    """A user reads the file's diagnostics by line and column, then those of the options, each once."""
    option = Diagnostic(SourceLocation.of_option("--set a=1", 0), "last.")
    later = Diagnostic(SourceLocation.in_file("job.yaml", 9, 0), "third.")
    right = Diagnostic(SourceLocation.in_file("job.yaml", 1, 5), "second.")
    left = Diagnostic(SourceLocation.in_file("job.yaml", 1, 0), "first.")
    assert job_error([option, later, right, left, later]).faults == [
        "job.yaml:2: first.",
        "job.yaml:2: second.",
        "job.yaml:10: third.",
        "--set a=1: last.",
    ]


def test_a_refusal_keeps_its_diagnostics() -> None:
    """The error has every diagnostic of the value it refuses."""
    diagnostics = tuple(Diagnostic(SourceLocation("job.yaml"), sentence) for sentence in ("a.", "b."))
    refused = RefusedError(*diagnostics)
    assert refused.diagnostics == diagnostics
    assert refused.args == ("a.", "b.")
