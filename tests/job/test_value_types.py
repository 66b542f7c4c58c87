from __future__ import annotations

import pytest

from tests.job.given import MOCK, faults


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ("concurrency: 10001", "`concurrency` is 10001. It takes a whole number from 1 to 10,000, or auto."),
        (
            "concurrency: 1e3",
            "`concurrency` is 1e3, a decimal number. It takes a whole number from 1 to 10,000, or auto.",
        ),
        ("concurrency: true", "`concurrency` is true, a boolean. It takes a whole number from 1 to 10,000, or auto."),
        ("timeout: {total: 0}", "`timeout.total` is 0. It takes a number above 0."),
        ("timeout: {connect: .inf}", "`timeout.connect` is .inf. It takes a number above 0."),
        ("retry: {max_attempts: 0}", "`retry.max_attempts` is 0. It takes a whole number above 0."),
        ("retry: {max_wait: -1}", "`retry.max_wait` is -1. It takes a number, 0 or more."),
        (
            "retry: {stop_after_failures: 0}",
            "`retry.stop_after_failures` is 0. It takes a whole number above 0.",
        ),
        ("drain: 1m", '`drain` is "1m", text. It takes a number, 0 or more.'),
        ("price: {input: -1, output: 1}", "`price.input` is -1. It takes a number, 0 or more."),
        ("price: {input: '1', output: 1}", '`price.input` is "1", text. It takes a number, 0 or more.'),
        ("price: {input: 1e999, output: 1}", "`price.input` is 1e999. It takes a number, 0 or more."),
        ("name: 2024", "`name` is 2024, a whole number. It takes text."),
        ('name: "a\\tb"', "`name` is a\\tb. It takes text on one line."),
        ('system: " "', "`system` is  . It takes text that is not blank."),
        (
            "on_finish: 7",
            "`on_finish` is a whole number (the value is not shown)."
            " It takes a command: text for the shell, or a list of words.",
        ),
        ("on_finish: ' '", "`on_finish` is blank. It takes a command: text for the shell, or a list of words."),
        (
            "on_finish: []",
            "`on_finish` is a list without a program. It takes a command: text for the shell, or a list of words.",
        ),
        (
            "on_finish: [mail, 7]",
            "`on_finish[1]` is a whole number (the value is not shown)."
            " It takes a command: text for the shell, or a list of words.",
        ),
        (f"drain: {'x' * 99}", f'`drain` is "{"x" * 27}...{"x" * 27}", text. It takes a number, 0 or more.'),
    ],
)
def test_refused(written: str, sentence: str) -> None:
    """Each value type says what the value is and what it takes."""
    assert faults(f"{MOCK}{written}") == [f"job.yaml:5: {sentence}"]


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ("first: 0", "`input.first` is 0. It takes a whole number above 0."),
        ("random: 0", "`input.random` is 0. It takes a whole number above 0."),
        ("random: 3, seed: -1", "`input.seed` is -1. It takes a whole number, 0 or more."),
        (
            "first: 3, random: 3",
            "`input.random` can't be combined with `input.first`. Leave one out.",
        ),
        (
            "format: chat",
            "`input.format` is chat. It takes auto, messages, prompt, turns, request, openai-batch or sharegpt.",
        ),
        (
            "format: 1",
            (
                "`input.format` is 1, a whole number. "
                "It takes auto, messages, prompt, turns, request, openai-batch or sharegpt."
            ),
        ),
        (
            "format: turns, replay: true",
            "`input.replay` can't be combined with `input.format: turns`. Leave one out.",
        ),
        (
            "replay: true, trailing_assistant: prefill",
            "`input.replay` can't be combined with `input.trailing_assistant: prefill`. Leave one out.",
        ),
        ("columns: a", '`input.columns` is "a", text. It takes a list of texts.'),
        ("columns: [1]", "`input.columns[0]` is 1, a whole number. It takes text."),
        ("id: 3", "`input.id` is 3, a whole number. It takes the name of a column."),
        ("params: 3", "`input.params` is 3, a whole number. It takes the name of a column, or a list of columns."),
        ("params: []", "`input.params` is an empty list. It takes the name of a column, or a list of columns."),
        ("params: [a, a]", "`input.params` names a column twice. It takes the name of a column, or a list of columns."),
        ("trailing_assistant: keep", "`input.trailing_assistant` is keep. It takes refuse, drop or prefill."),
    ],
)
def test_refused_input(written: str, sentence: str) -> None:
    """The keys of `input` do the same."""
    assert faults(MOCK.replace("q.jsonl}", f"q.jsonl, {written}}}")) == [f"job.yaml:1: {sentence}"]
