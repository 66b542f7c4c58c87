"""PyYAML's errors in a user's words.

A table maps PyYAML's wording (6.0: scanner.py, parser.py, composer.py) to ours. PyYAML's own text can quote the file,
so none of it is shown; a wording that is not in the table gets a general sentence.
"""

from __future__ import annotations

import re

import yaml

__all__ = ["plain_words"]

# (beginning of PyYAML's `problem`, whether the context mark is the better location, our words)
_TABLE: tuple[tuple[str, bool, str], ...] = (
    (
        "mapping values are not allowed here",
        False,
        "a `:` is not allowed here; quote text that contains `: `",
    ),
    ("could not find expected ':'", True, "a key has no `:` after it"),
    ("found character '\\t'", False, "found a tab; indent YAML with spaces"),
    ("found character", False, "a value begins with a character that is only allowed in quotes"),
    ("found unexpected end of stream", True, "a quote opens here and never closes"),
    ("found unexpected document separator", True, "a quote opens here and never closes"),
    (
        "found unknown escape character",
        False,
        "a `\\` in double quotes has no meaning here; single quotes keep it",
    ),
    ("expected the node content", False, "a value is missing here, or a bracket is not closed"),
    (
        "expected ',' or '}'",
        True,
        "a `{` opens here, and after one of its values neither `,` nor `}` follows",
    ),
    (
        "expected ',' or ']'",
        True,
        "a `[` opens here, and after one of its values neither `,` nor `]` follows",
    ),
    ("expected <block end>", False, "this line does not fit the indentation of the lines above"),
    (
        "found undefined alias",
        False,
        "an alias (`*name`) has no anchor (`&name`) before it; quote text that begins with `*`",
    ),
    ("found duplicate anchor", False, "an anchor (`&name`) of this name is already defined above"),
    ("found undefined tag handle", False, "a tag (`!...`) is not allowed here; quote text that begins with `!`"),
    ("but found another document", False, "a second document begins here (`---`); a job file holds one"),
    ("found incompatible YAML document", False, "its `%YAML` line asks for a version that is not 1.x"),
)
_IN_BRACKETS = (
    "inside `{}` and `[]` the braces of ${NAME} are taken for YAML's own;"
    " put it in quotes, or write one value a line without brackets"
)
_OPENED = re.compile(r"expected ',' or '[}\]]', but got '\{'")


def plain_words(error: yaml.MarkedYAMLError, text: str) -> tuple[yaml.Mark, str]:
    """The mark at which to report `error`, and our words for it; `text` is what was read."""
    problem = error.problem or ""
    problem_mark, context_mark = error.problem_mark, error.context_mark
    mark = problem_mark or context_mark or yaml.Mark("", 0, 0, 0, None, 0)
    if _OPENED.match(problem) and text[mark.index - 1 : mark.index + 1] == "${":
        return mark, _IN_BRACKETS
    for beginning, by_context, words in _TABLE:
        if problem.startswith(beginning):
            return (context_mark if by_context and context_mark else mark), words
    return mark, "this line can't be read"
