from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from batchchat.mock.prose import write_prose


@given(st.integers(1, 5000), st.integers(0, 2**64 - 1))
def test_prose_is_whole_sentences_of_the_length_asked(chars: int, seed: int) -> None:
    """The text has the characters asked and at most a sentence more, a capital first, a full stop last."""
    text = write_prose(chars, Random(seed).getrandbits)
    assert chars <= len(text) < chars + 140
    assert text[0].isupper()
    assert text.endswith(".")
    assert text == write_prose(chars, Random(seed).getrandbits)


def test_prose_varies() -> None:
    """A thousand replies are a thousand texts, some with paragraphs, quotes and letters beyond ASCII."""
    texts = [write_prose(400, Random(seed).getrandbits) for seed in range(1000)]
    assert len(set(texts)) == 1000
    whole = "".join(texts)
    assert all(sign in whole for sign in ("\n\n", '"', "é", "🍀"))
