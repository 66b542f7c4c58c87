"""The table of parameters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.job.params import WELL_KNOWN
from batchchat.job.request_fields import AMBIGUOUS, PARAMETERS, misspelt_parameter


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("temprature", "temperature"),
        ("tempertaure", "temperature"),
        ("temperatures", "temperature"),
        ("max_token", "max_tokens"),
        ("maxtokens", "max_tokens"),
        ("top_q", "top_p"),
        ("tool_choise", "tool_choice"),
        ("stops", "stop"),
        ("temperature", None),
        ("top_k", None),
        ("model", None),
        ("messages", None),
        ("m", None),
        ("vendor_option", None),
        ("temprtre", None),
    ],
)
def test_one_letter_off(name: str, meant: str | None) -> None:
    """One letter too many, too few, another one, or two exchanged; a known name is never asked about."""
    assert misspelt_parameter(name) == meant


@given(st.sampled_from(sorted(PARAMETERS)), st.integers(0, 40), st.sampled_from(["", "x", "é"]))
def test_any_name_with_one_letter_changed(name: str, at: int, letter: str) -> None:
    """A name that is near is a known one, and not the one that is asked about."""
    changed = name[:at] + letter + name[at + 1 :]
    meant = misspelt_parameter(changed)
    assert meant in {*PARAMETERS, None} - {changed}
    assert meant is not None or changed in PARAMETERS or len(name) < 4 or changed in {"model", "system", "messages"}


def test_the_tables_agree() -> None:
    """The parameters that a misplaced key may mean are in the table, and so are those of two meanings."""
    assert set(WELL_KNOWN) <= set(PARAMETERS)
    assert set(AMBIGUOUS) <= set(PARAMETERS)
