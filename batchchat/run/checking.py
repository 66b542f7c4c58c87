"""How the replies of a job are checked, by its `expect`."""

from __future__ import annotations

from batchchat.core.response_format import ResponseFormat
from batchchat.job import JobSpec
from batchchat.job.expect import FORMAT_AUTO
from batchchat.policy.format_ladder import FormatLadder
from batchchat.script.checked import Checking
from batchchat.script.expectation import Expectation
from batchchat.script.single import Compose

__all__ = ["checking_for", "format_ladder_for"]


def format_ladder_for(job: JobSpec) -> FormatLadder:
    """What requests of `job` begin with where they ask for JSON."""
    form = job.expect.response_format
    return FormatLadder(ResponseFormat.JSON_SCHEMA if form == FORMAT_AUTO else ResponseFormat(form))


def checking_for(job: JobSpec, compose: Compose, formats: FormatLadder) -> Checking | None:
    """How replies are checked; None where any will do."""
    expect = job.expect
    if expect.json_schema is None and expect.matches is None:
        return None
    return Checking(
        Expectation(expect.json_schema, expect.matches),
        expect.json_schema,
        expect.re_ask,
        compose,
        formats.present,
        falls_back=expect.response_format == FORMAT_AUTO,
    )
