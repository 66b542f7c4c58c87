"""What a reply has to be: JSON that fits a schema, text that matches a regular expression. Pure.

A reply that was cut off at its token limit is told as that, a refusal and tool calls as what they are: to ask again for
those would give the same. Whatever else does not fit may be asked for again, in the validator's words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from batchchat import lossless_json
from batchchat.core.attempt import Parsed, Reply
from batchchat.core.bad import Bad
from batchchat.core.totals import CUT_OFF
from batchchat.hash_table import stable_hash64
from batchchat.script.json_reply import JsonReading, read_json
from batchchat.script.json_schema import CheckTimeoutError, SchemaCheck, TimeLimitedSearch
from batchchat.text import numbers

__all__ = ["MAX_WORDS_BYTES", "Expectation", "ReplyCheck"]

MAX_WORDS_BYTES = 6_000
"""At least as long as what is told to the model of its reply."""
_CUT_OFF = {CUT_OFF, "max_tokens", "max_output_tokens"}  # OpenAI; Anthropic; Gemini
_AGAIN = "Reply again with the JSON alone, without any other text."
_TOO_LONG = "took too long to search the reply: it may try the same text in ways without end"
_WIDTH = 300


class ReplyCheck(NamedTuple):
    """What became of a reply: `parsed` where a schema is expected and met; else the `problem` in a sentence.

    `words` tell the model what is wrong with its reply; None where it need not be asked again.
    """

    parsed: Parsed | None = None
    problem: str | None = None
    words: str | None = None


_FITS = ReplyCheck()


class Expectation:
    """Checks replies. `schema` is JSON Schema and valid, `matches` a valid regular expression; either may be None."""

    def __init__(self, schema: Mapping[str, Any] | None, matches: str | None) -> None:
        self._search = TimeLimitedSearch()
        self._matches = matches
        self._schema = None if schema is None else SchemaCheck(schema, self._search)
        content = {"json_schema": schema, "matches": matches}
        self.salt = stable_hash64(b"expect" + lossless_json.canonical(content))
        """A hash of what is expected: a part of the identity of a row."""

    def check(self, reply: Reply, max_tokens: int | None = None) -> ReplyCheck:
        """Check `reply`, whose request allowed `max_tokens` of it."""
        if reply.text is None or not reply.text.strip():
            return ReplyCheck(problem=f"the reply has no text: {_instead(reply)}")
        self._search.begin(len(reply.text))
        result = _FITS if self._schema is None else self._check_json(reply.text, self._schema)
        if result.problem is None and self._matches is not None:
            result = self._check_match(reply.text, self._matches, result.parsed)
        is_cut_off = reply.finish_reason in _CUT_OFF
        # A closing bracket that is missing there says nothing of what else is.
        if is_cut_off and (result.problem is not None or (result.parsed is not None and result.parsed.repaired)):
            limit = "" if max_tokens is None else f" ({numbers.count(max_tokens)})"
            return ReplyCheck(problem=f"the reply was cut off at its token limit{limit}: raise `max_tokens`")
        return result

    def _check_json(self, text: str, schema: SchemaCheck) -> ReplyCheck:
        reading = read_json(text)
        if isinstance(reading, Bad):
            return ReplyCheck(None, f"the reply {reading.sentence}", f"Your reply {reading.sentence}. {_AGAIN}")
        try:
            return _best(reading, schema)
        except TimeoutError:
            problem = f"a `pattern` of `expect.json_schema` {_TOO_LONG}"
            return ReplyCheck(problem=problem)
        except CheckTimeoutError:
            return ReplyCheck(problem="the reply takes too long to check against `expect.json_schema`")

    def _check_match(self, text: str, pattern: str, parsed: Parsed | None) -> ReplyCheck:
        try:
            if self._search(pattern, text):
                return ReplyCheck(parsed)
        except TimeoutError:
            return ReplyCheck(problem=f"`expect.matches` {_TOO_LONG}")
        words = f"Your reply does not match the regular expression {pattern}\nReply again so that it does."
        return ReplyCheck(None, "the reply does not match `expect.matches`", words)


def _best(reading: JsonReading, schema: SchemaCheck) -> ReplyCheck:
    """The one value of `reading` that fits `schema`. Raises `TimeoutError`."""
    errors = [schema.errors(value) for value in reading.values]
    fitting = [value for value, wrong in zip(reading.values, errors, strict=True) if not wrong]
    if len(fitting) == 1:
        return ReplyCheck(Parsed(fitting[0], reading.repaired))
    if fitting or len(errors) > 1:
        count = len(fitting) or len(errors)
        which = "that fit the schema" if fitting else "and none fits the schema"
        sentence = f"has {numbers.count(count)} JSON values {which}"
        return ReplyCheck(None, f"the reply {sentence}", f"Your reply {sentence}. {_AGAIN}")
    listed = "\n".join(f"- {error}" for error in errors[0])
    words = f"Your reply does not fit the JSON Schema that was asked for:\n{listed}\n{_AGAIN}"
    return ReplyCheck(None, f"the reply does not fit the schema: {_problem(errors[0])}", words)


def _problem(errors: Sequence[str]) -> str:
    more = f" (and {numbers.count(len(errors) - 1)} more)" if len(errors) > 1 else ""
    return numbers.shorten(errors[0], _WIDTH) + more


def _instead(reply: Reply) -> str:
    if reply.refusal:
        return f"the model refused: {numbers.shorten(reply.refusal, _WIDTH)}"
    if reply.tool_calls:
        return f"it has {numbers.quantity(len(reply.tool_calls), 'tool call')}"
    return "it has images or audio"
