"""WizardLM-2's prompts are counted as mistral-common's own encoder counts them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mistral_common.tokens.tokenizers.sentencepiece import SentencePieceTokenizer

from batchchat.core.bad import Bad
from batchchat.tokens.for_model import tokenizer_for
from batchchat.tokens.tokenizer import Tokenizer
from batchchat.tokens.wizardlm import DEFAULT_SYSTEM, is_wizardlm, model_file

SAMPLES = Path(__file__).parents[2] / "sample_data"
MODEL = "microsoft/WizardLM-2-8x22B"
PATH = model_file()
assert isinstance(PATH, Path), PATH
TRUTH = SentencePieceTokenizer(str(PATH))
OURS: Tokenizer = tokenizer_for(MODEL)

MULTI = [
    ("system", "Respond like a michelin starred chef."),
    ("user", "Can you name at least two different techniques to cook lamb?"),
    ("assistant", "Sous vide, and sous le sable."),
    ("user", "Tell me more about the second method."),
]
CASES: list[list[tuple[str, str]]] = [
    MULTI,
    MULTI[1:],
    [("user", "")],
    [("system", ""), ("user", "Hello!")],
    [("system", ""), ("user", "")],
    [("user", "a"), ("assistant", ""), ("user", "")],
    [("user", "  two blanks before, one behind ")],
    [("user", "\n\n\ttabs and lines\n")],
    [("user", "请解释一下量子计算。日本の四季について。 한국의 전통 음식")],
    [("user", "👩‍💻 writes 🎉🎉, ☀️ shines; Où? Καλημέρα, привет, สวัสดี")],
    [("user", "def f(x: int) -> int:\n    return x ** 2  # 12345\n\n\nprint(f(10_000))")],
    [("user", "\x00\x07\u200b\ufeff\U0010ffff")],
]


def messages(turns: list[tuple[str, str]]) -> list[dict[str, Any]]:
    return [{"role": role, "content": text} for role, text in turns]


def truth(turns: list[tuple[str, str]]) -> int:
    """The count by mistral-common: the template is written out as in the model card, and split at `</s>`."""
    system, dialogue = (turns[0][1], turns[1:]) if turns[0][0] == "system" else (DEFAULT_SYSTEM, turns)
    prompt = system
    for role, text in dialogue:
        if role == "user":
            prompt += f"{' ' if prompt and not prompt.endswith('</s>') else ''}USER: {text}"
        else:
            prompt += f" ASSISTANT: {text}</s>"
    *closed, last = f"{prompt} ASSISTANT:".split("</s>")
    return (
        1
        + sum(len(TRUTH.encode(part, bos=False, eos=True)) for part in closed)
        + len(TRUTH.encode(last, bos=False, eos=False))
    )


@pytest.mark.parametrize("turns", CASES)
def test_it_equals_mistral_common(turns: list[tuple[str, str]]) -> None:
    """Several turns with a system message and without, CJK, emoji, code, control characters and empty texts."""
    assert OURS.count(messages(turns)) == truth(turns)
    assert OURS.exact_for(messages(turns))


def test_it_equals_mistral_common_on_mt_bench() -> None:
    """On each of its 80 questions: alone, with a system message, and as the second turn."""
    lines = (SAMPLES / "mt_bench_first_questions.jsonl").read_text().splitlines()
    questions = [json.loads(line)["messages"][0]["content"] for line in lines]
    assert len(questions) == 80
    for before, question in zip([questions[-1], *questions], questions, strict=False):
        for turns in (
            [("user", question)],
            [("system", "You are brief."), ("user", question)],
            [("user", before), ("assistant", f"I think: {before}"), ("user", question)],
        ):
            assert OURS.count(messages(turns)) == truth(turns)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | st.sampled_from([" ", "▁", "  a", "a  ", ":"])


@given(
    system=st.none() | texts,
    dialogue=st.lists(texts, min_size=1, max_size=5).filter(lambda dialogue: len(dialogue) % 2 == 1),
)
def test_it_equals_mistral_common_on_anything(system: str | None, dialogue: list[str]) -> None:
    """Whatever the texts are, splitting them for speed changes no count."""
    turns = [("assistant" if number % 2 else "user", text) for number, text in enumerate(dialogue)]
    whole = turns if system is None else [("system", system), *turns]
    if not any("</s>" in text for _, text in whole):
        assert OURS.count(messages(whole)) == truth(whole)


def test_the_examples_of_deepinfras_page() -> None:
    """They have 39 and 153 tokens; the 15 and 149 on the page are not this model's (docs/tokens.md)."""
    lines = (SAMPLES / "two_conversations.jsonl").read_text().splitlines()
    assert [OURS.count(json.loads(line)["messages"]) for line in lines] == [39, 153]


@pytest.mark.parametrize(
    ("conversation", "tools"),
    [
        ([{"role": "user", "content": "a</s>b"}], None),
        ([{"role": "user", "content": [{"type": "text", "text": "Hi"}]}], None),
        ([{"role": "user", "content": "Hi", "name": "Ann"}], None),
        ([{"role": "user", "content": "Hi"}], [{"type": "function"}]),
        ([{"role": "user", "content": "Hi"}, {"role": "user", "content": "there"}], None),
        ([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}], None),
        ([{"role": "tool", "content": "12"}], None),
        ([{"role": "system", "content": "Be brief."}], None),
    ],
)
def test_what_it_does_not_call_exact(conversation: list[dict[str, Any]], tools: Any) -> None:
    """Control tokens in a text, parts, names, tools, turns the template does not cover: counted, but not exactly."""
    assert OURS.count(conversation, tools) > 0
    assert not OURS.exact_for(conversation, tools)


def test_a_lone_surrogate_is_counted() -> None:
    """It is counted as the replacement character, as a server reads it."""
    broken = OURS.count([{"role": "user", "content": "a\ud800b"}])
    assert broken == OURS.count([{"role": "user", "content": "a\ufffdb"}])


def test_the_names_of_the_model() -> None:
    """Any owner and any case match; the 7B model is another one."""
    names = ("microsoft/WizardLM-2-8x22B", "alpindale/WizardLM-2-8x22B", "wizardlm-2-8x22b")
    assert all(map(is_wizardlm, names))
    assert not is_wizardlm("microsoft/WizardLM-2-7B")


def test_without_the_extra_the_rule_of_thumb_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The count is not exact, and its note says how to make it exact."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    tokenizer = tokenizer_for(MODEL)
    assert (tokenizer.exact, tokenizer.name) == (False, "rule of thumb, 32k vocabulary")
    assert tokenizer.note == (
        "This model's tokenizer is not installed; for an exact count: pip install 'batchchat[tokens]'"
    )


def test_a_file_with_other_bytes_is_not_used() -> None:
    """A mistral-common whose file has other bytes gives no exact count."""
    assert model_file(sha256="0" * 64) == Bad(
        "The tokenizer.model.v1 of this mistral-common is not WizardLM-2's; for an exact count:"
        " pip install 'batchchat[tokens]'"
    )
