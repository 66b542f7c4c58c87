from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.mock.faults import KINDS, Fault, draw_fault, parse_fault


@given(st.sampled_from(KINDS), st.floats(0, 1))
def test_every_kind_and_share_parses(kind: str, probability: float) -> None:
    """What is written KIND=PROBABILITY is read back as it was."""
    assert parse_fault(f"{kind}={probability!r}") == Fault(kind, probability)


@pytest.mark.parametrize("text", ["429", "429=", "429=often", "429=1.5", "429=-0.1", "429=nan", "418=0.1", "", "=1"])
def test_a_bad_fault_is_named_with_the_way_out(text: str) -> None:
    """The error repeats the text and lists every accepted kind."""
    with pytest.raises(ValueError, match="is not KIND=PROBABILITY") as error:
        parse_fault(text)
    assert repr(text) in str(error.value)
    assert all(kind in str(error.value) for kind in KINDS)


def test_a_fault_is_valid_once_built() -> None:
    """An unknown kind and a share beyond 1 are refused by the noun itself."""
    with pytest.raises(ValueError, match="unknown fault kind '418'"):
        Fault("418", 0.5)
    with pytest.raises(ValueError, match="not within 0 to 1"):
        Fault("429", 2)


def test_a_share_befalls_about_its_share() -> None:
    """A fault of 5% hits about 5% of arrivals, the same ones each time."""
    faults = (Fault("500", 0.05),)
    drawn = [draw_fault(faults, 7, arrival) for arrival in range(10_000)]
    assert 400 < sum(kind == "500" for kind in drawn) < 600
    assert drawn == [draw_fault(faults, 7, arrival) for arrival in range(10_000)]
    assert drawn != [draw_fault(faults, 8, arrival) for arrival in range(10_000)]


def test_the_first_fault_that_hits_wins() -> None:
    """With two certain faults the one given first befalls; one of share 0 never does."""
    assert draw_fault((Fault("500", 0), Fault("drop", 1), Fault("503", 1)), 0, 0) == "drop"
    assert draw_fault((), 0, 0) is None


def test_bad_json_is_drawn_from_the_request() -> None:
    """The fault hits the same requests whenever they arrive, and none whose answer is not JSON."""
    faults = (Fault("bad-json", 0.3),)
    drawn = [draw_fault(faults, 0, 0, str(number).encode()) for number in range(2_000)]
    assert 500 < sum(kind == "bad-json" for kind in drawn) < 700
    assert drawn == [draw_fault(faults, 0, number, str(number).encode()) for number in range(2_000)]
    assert draw_fault((Fault("bad-json", 1),), 0, 0) is None


def test_faults_draw_apart() -> None:
    """One kind's draw says nothing of another's: of two halves, a quarter of requests has neither."""
    faults = (Fault("500", 0.5), Fault("503", 0.5))
    spared = sum(draw_fault(faults, 0, arrival) is None for arrival in range(4_000))
    assert 900 < spared < 1100
