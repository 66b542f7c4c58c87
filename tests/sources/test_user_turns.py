"""A user's turns: a list of texts, or those of a conversation that is played again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from batchchat.core.bad import Bad, BadReason
from batchchat.core.conversation import BadRow, Row
from batchchat.errors import InputError
from batchchat.sources.formats import RowRequest, format_of, match_format
from batchchat.sources.user_turns import answers_text, split_turns

if TYPE_CHECKING:
    from tests.sources.folder import Folder

ROLES = {"s": "system", "d": "developer", "u": "user", "a": "assistant", "t": "tool", "f": "function"}
TAKES = """It takes a list of texts, the user's turns in their order: ["...", "..."]."""
REPLAYS = "`input.replay` plays a conversation of user messages and answers."


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def conversation(roles: str) -> list[dict[str, Any]]:
    """A message for each letter: `sua` is a system message, a user's and the assistant's."""
    return [{"role": ROLES[role], "content": f"{role}{number}"} for number, role in enumerate(roles)]


def texts(messages: Any) -> str:
    return " ".join(message["content"] for message in messages)


@pytest.mark.parametrize("value", [["a", "b", "c"], '["a", "b", "c"]'])
def test_turns_are_user_messages(value: Any) -> None:
    """As a list, or as JSON in a cell of a CSV; the first is sent first."""
    request = format_of("turns", None).parse({"turns": value})
    assert request == RowRequest([user("a")], {}, None, (user("b"), user("c")), plain=True)
    assert format_of("turns", "q").parse({"q": value, "turns": 1}) == request


def test_one_turn_is_a_prompt() -> None:
    """The same request as of the format `prompt`."""
    assert format_of("turns", None).parse({"turns": ["a"]}) == format_of("prompt", None).parse({"prompt": "a"})


@pytest.mark.parametrize(
    ("columns", "column", "form"),
    [
        ({"turns": ["a", "b"], "question_id": 1, "reference": ["x"]}, None, "turns"),
        ({"turns": '["a", "b"]'}, None, "turns"),
        ({"dialog": ["a", "b"]}, "dialog", "turns"),
        ({"turns": ["a"], "prompt": "b"}, None, "prompt"),
        ({"turns": ["a"], "messages": [user("b")]}, None, "messages"),
        ({"turns": [user("a")]}, None, None),
        ({"turns": []}, None, None),
        ({"turns": "a"}, None, None),
        ({"turns": 2}, None, None),
        ({"dialog": ["a", "b"]}, None, None),
    ],
)
def test_turns_are_recognised(columns: dict[str, Any], column: str | None, form: str | None) -> None:
    """Where a row has a list of texts called so and no other conversation, or the job names the column."""
    match = match_format(columns, column)
    assert (None if match is None else match[0].name) == form


TURN_ERRORS = [
    ({"id": 1}, "`turns` is missing. There is `id`."),
    ({"turns": None}, f"`turns` is null. {TAKES}"),
    ({"turns": ""}, "`turns` is empty"),
    ({"turns": []}, "`turns` is empty"),
    ({"turns": "[]"}, "`turns` is empty"),
    ({"turns": 3}, f"`turns` is 3, a number. {TAKES}"),
    ({"turns": True}, f"`turns` is true. {TAKES}"),
    ({"turns": {"a": 1}}, f'`turns` is {{"a":1}}, an object. {TAKES}'),
    ({"turns": '"a"'}, f'`turns` is "a", text. {TAKES}'),
    ({"turns": "How are you?"}, "`turns` is not JSON: expecting value at column 1."
     " `input.format: prompt` with `input.column: turns` sends text as it is."),
    ({"turns": "['a', 'b']"}, "`turns` is not JSON: expecting value at column 2. It is written as Python shows a value"
     " (pandas' to_csv does so): write it with json.dumps."),
    ({"turns": '["a", "b"'}, "`turns` is not JSON: expecting ',' delimiter at column 10"),
    ({"turns": "[1, 2"}, "`turns` is not JSON: expecting ',' delimiter at column 6"),
    ({"turns": ["a", ""]}, "`turns[1]` is empty"),
    ({"turns": [" \n", "a"]}, "`turns[0]` is empty"),
    ({"turns": ["a", None]}, "`turns[1]` is null. It takes text."),
    ({"turns": ["a", 2]}, "`turns[1]` is 2, a number. It takes text."),
    ({"turns": [["a"], "b"]}, '`turns[0]` is ["a"], a list. It takes text.'),
    ({"turns": [{"text": "a"}]}, '`turns[0]` is {"text":"a"}, an object. It takes text.'),
    (
        {"turns": [user("a")]},
        '`turns[0]` is {"role":"user","content":"a"}, an object. It takes text. `input.format: messages` with'
        " `input.replay: true` plays the user's turns of messages.",
    ),
    (
        {"turns": [{"from": "human"}]},
        '`turns[0]` is {"from":"human"}, an object. It takes text. `input.format: sharegpt` with'
        " `input.replay: true` plays the user's turns of messages.",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("columns", "sentence"), TURN_ERRORS)
def test_turns_that_cannot_be_sent(columns: dict[str, Any], sentence: str) -> None:
    """The sentence names the turn and says what it takes."""
    problem = format_of("turns", None).parse(columns)
    assert isinstance(problem, Bad)
    assert problem.sentence == sentence


@pytest.mark.parametrize(
    ("roles", "first", "turns", "answers"),
    [
        ("ua", "u0", "", "a1"),
        ("uaua", "u0", "u2", "a1 a3"),
        ("suauau", "s0 u1", "u3 u5", "a2 a4"),
        ("u", "u0", "", ""),
        ("sauau", "s0 a1 u2", "u4", "a3"),
        ("uuau", "u0 u1", "u3", "a2"),
        ("usa", "u0 s1", "", "a2"),
        ("uaau", "u0", "u3", "a1 a2"),
        ("dua", "d0 u1", "", "a2"),
    ],
)
def test_a_conversation_is_played_again(roles: str, first: str, turns: str, answers: str) -> None:
    """What stands before the first answer is sent first; each answer is replaced, and the message behind it follows."""
    played = split_turns(conversation(roles), "messages")
    assert not isinstance(played, Bad)
    assert (texts(played.messages), texts(played.turns), texts(played.answers)) == (first, turns, answers)


CALL = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}
REPLAY_ERRORS = [
    ([*conversation("u"), CALL, user("b")], f"`m[1]` has tool calls, which a new answer may not make. {REPLAYS}"),
    (
        [user("a"), {"role": "assistant", "content": "", "function_call": {"name": "f"}}],
        f"`m[1]` has tool calls, which a new answer may not make. {REPLAYS}",
    ),
    (
        conversation("uatu"),
        f"`m[2]` is a tool message, the result of a call that a new answer may not make. {REPLAYS}",
    ),
    (
        conversation("uf"),
        f"`m[1]` is a function message, the result of a call that a new answer may not make. {REPLAYS}",
    ),
    (conversation("s"), f"`m` has no user message. {REPLAYS}"),
    (conversation("a"), f"`m` has no user message. {REPLAYS}"),
    (conversation("sa"), f"`m` has no user message. {REPLAYS}"),
    (conversation("uasu"), f"`m[2]` is a system message behind an answer. {REPLAYS}"),
    (conversation("uaud"), f"`m[3]` is a developer message behind an answer. {REPLAYS}"),
    (conversation("uauu"), f"`m[3]` is a second user message behind one answer. {REPLAYS} Join the two."),
]


@pytest.mark.parametrize(("messages", "sentence"), REPLAY_ERRORS)
def test_a_conversation_that_cannot_be_played_again(messages: list[Any], sentence: str) -> None:
    """The sentence names the message."""
    assert split_turns(messages, "m") == Bad(sentence, BadReason.TURNS)


def test_the_replaced_answers_as_text() -> None:
    """The text of one, a list of the texts of several; what is more than text as messages; nothing for none."""
    plain = conversation("aa")
    named = {**plain[0], "name": "x"}
    assert answers_text([]) is None
    assert answers_text(plain[:1]) == "a0"
    assert json.loads(answers_text(plain) or "") == ["a0", "a1"]
    assert json.loads(answers_text([named]) or "") == [named]
    assert json.loads(answers_text([named, plain[1]]) or "") == [named, plain[1]]


def test_bad_rows_of_turns_and_replay_are_rows(folder: Folder) -> None:
    """Each is an invalid row with its place; the good ones beside them are played."""
    folder.write("t.jsonl", [{"turns": ["a", "b"]}, *(columns for columns, _ in TURN_ERRORS)])
    rows = folder.rows("t.jsonl", format="turns")
    assert isinstance(rows[0], Row)
    bad = [row for row in rows if isinstance(row, BadRow)]
    assert [row.error for row in bad] == [sentence for _, sentence in TURN_ERRORS]
    assert [row.location for row in bad] == [f"t.jsonl:{line}" for line in range(2, len(TURN_ERRORS) + 2)]
    folder.write("r.jsonl", [{"m": messages} for messages, _ in REPLAY_ERRORS])
    rows = folder.rows("r.jsonl", format="messages", column="m", replay=True)
    assert [row.error for row in rows if isinstance(row, BadRow)] == [sentence for _, sentence in REPLAY_ERRORS]


def test_ids_are_of_all_turns(folder: Folder) -> None:
    """Two rows with the same first question are two; the same turns twice are two samples of one."""
    folder.write("x.jsonl", [{"turns": ["a", "b"]}, {"turns": ["a", "c"]}, {"turns": ["a", "b"]}])
    first, second, third = (row.key.id for row in folder.rows("x.jsonl"))
    assert first != second
    assert third == f"{first}-2"


def test_a_row_s_own_parameters_come_with_its_turns(folder: Folder) -> None:
    """A system message of its own is put first."""
    folder.write("x.jsonl", [{"id": "a", "turns": ["a", "b"], "seed": 1, "system": "Be brief."}])
    (row,) = folder.rows("x.jsonl", params=("seed", "system"))
    assert isinstance(row, Row)
    assert (row.messages, row.params) == ([{"role": "system", "content": "Be brief."}, user("a")], {"seed": 1})
    assert row.turns == (user("b"),)


@pytest.mark.parametrize(("columns", "noun"), [({"turns": ["a", "b"]}, "turns"), ({"prompt": "a"}, "prompts")])
def test_there_must_be_a_conversation_to_replay(folder: Folder, columns: Any, noun: str) -> None:
    """A recognised format that has none is refused before anything is read."""
    folder.write("x.jsonl", [columns])
    with pytest.raises(InputError) as caught:
        folder.open("x.jsonl", replay=True)
    assert str(caught.value) == (
        f"x.jsonl has {noun}, and `input.replay` plays the user's turns of conversations. Leave it out."
    )
