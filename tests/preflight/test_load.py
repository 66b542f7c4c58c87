from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from batchchat.preflight.load import Load, ObservedRow, RowsToSend, band, strata_of

PROMPTS = st.integers(0, 1 << 20)


def observed(prompt: int, completion: int = 1, *, answered: bool = True) -> ObservedRow:
    return ObservedRow(prompt, prompt, completion, 0.1, cost_reported=True, latency_s=1.0, answered=answered)


@given(PROMPTS, PROMPTS)
def test_bands_follow_length(shorter: int, longer: int) -> None:
    """A longer prompt is in no lower band, and prompts in one band differ by at most a quarter of a doubling."""
    shorter, longer = sorted((shorter, longer))
    assert band(shorter) <= band(longer)
    if band(shorter) == band(longer) and shorter >= 4:
        assert longer < shorter * 1.34


@given(st.lists(PROMPTS, min_size=1, max_size=300), st.lists(PROMPTS, max_size=300))
def test_strata_cover_all_rows(sampled: list[int], left: list[int]) -> None:
    """Each sampled row is in one stratum, and each row left too; of 1 to 4 strata each has 25 sampled rows."""
    bands = Counter(band(prompt) for prompt in left)
    strata = strata_of([observed(prompt) for prompt in sampled], bands)
    assert sorted(row.prompt for sample in strata.samples for row in sample) == sorted(sampled)
    assert sum(strata.left_counts) == len(left)
    assert 1 <= len(strata.samples) <= 4
    assert len(strata.samples) == 1 or all(len(sample) >= 25 for sample in strata.samples)


def test_what_is_sent_and_kept() -> None:
    """Rows left and finished rows have separate sums; rows of unknown cost or usage are counted."""
    load = Load()
    load.send(100, 50, by_context=False)
    load.send(100, None, by_context=False)
    load.send(30, 900, by_context=True)
    load.keep(observed(10, 7), tokens_known=True)
    load.keep(observed(10)._replace(cost_usd=None, completion=0, reported=None), tokens_known=False)
    load.keep(observed(10, 0, answered=False)._replace(cost_usd=None), tokens_known=True)
    assert load.to_send == RowsToSend(
        rows=3,
        prompt=230,
        max_completion=950,
        requests=3,
        unbounded=1,
        by_context=1,
        bands=Counter({band(100): 2, band(30): 1}),
    )
    assert (load.kept, load.kept_failed, load.known_prompt, load.known_completion) == (2, 1, 30, 7)
    assert (load.known_cost, load.unknown_cost, load.unknown_tokens) == (0.1, 1, 1)


def test_first_rows_too_long_are_named() -> None:
    """Of the rows that don't fit, the first three are named and all are counted."""
    load = Load()
    for number in range(5):
        load.refuse(f"r{number}")
    assert (load.too_long, load.first_too_long, load.left) == (5, ["r0", "r1", "r2"], 0)
