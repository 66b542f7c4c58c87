"""What may be computed in a template: how large the result of each operation becomes is known before it is made; pure.

`{{ 'x' * 10**9 }}`, `{{ text|center(10**9) }}` and the like are refused before they take memory or time.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from functools import update_wrapper
from typing import Any

from jinja2.filters import FILTERS
from jinja2.runtime import Undefined
from jinja2.tests import TESTS

__all__ = [
    "MAX_CHARS",
    "MAX_INDENT",
    "MAX_STEPS",
    "REFUSED_METHODS",
    "Meter",
    "RenderError",
    "bounded_filters",
    "bounded_tests",
    "check_method",
    "check_operator",
    "text_size",
]

MAX_CHARS = 16 << 20
"""The most characters of a value, and of what one template gives: no model reads a hundredth of it."""
MAX_STEPS = 200_000
"""The most calls and turns of loops in one rendering: about 0.2 s."""
MAX_RENDER_S = 2.0
"""The most seconds of CPU for one rendering: no single operation takes a tenth of it."""
MAX_INDENT = 16
TOO_LARGE = f"gives more than {MAX_CHARS >> 20} MiB of text"
TOO_LONG = f"takes more than {MAX_STEPS:,} steps: a loop has no end, or loops stand in each other"
TOO_SLOW = f"takes more than {MAX_RENDER_S:g} s of CPU"
_MAX_WORK = 1 << 30
"""The most characters that one rendering may make on its way."""

REFUSED_METHODS = frozenset({"encode", "format_map", "maketrans", "to_bytes", "translate"})
"""Methods of texts and numbers that templates don't need and whose result has no simple bound."""
_MAX_BITS = 100_000
_MAX_PRECISION = 1_000
_COMPUTED_WIDTH = re.compile(r"%[^%a-zA-Z]*\*|\{[^{}]*\{[^{]")
_DIGITS = re.compile(r"\d+")
_MAX_PARTS = 200_000
_NUMBER_CHARS = 32
_ITEM_CHARS = 8
"""What an item of a list counts for, beside its own text."""
_TEXT_ITEM_CHARS = 16
"""What a character counts for where a text becomes a list."""
_SPLIT_CHARS = 8
"""What a character counts for where a text is split at each place that may end a line or a link."""
_COPIED_CHARS = 256
"""So many characters are copied in the time that it takes to make one."""
# Filters that take the items of a value, which may be a text, or the value as it is; all others take it for a text.
_OF_ITEMS = frozenset(
    {"batch", "first", "groupby", "last", "list", "map", "max", "min", "reject", "rejectattr", "reverse", "select"}
    | {"selectattr", "slice", "sort", "sum", "unique"}
)
_OF_VALUES = frozenset({"attr", "count", "d", "default", "dictsort", "items", "join", "length", "tojson", "xmlattr"})

Charge = Callable[[int], None]
"""Takes the number of characters of a value that is about to be made, and raises `RenderError` if it is too large."""


class RenderError(Exception):
    """A template can't go on. `str()` is the sentence for the user, without its line."""


class Meter:
    """What one rendering has used up, from its `begin` on. Each method raises `RenderError` where that is too much."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Start a rendering."""
        self._steps = self._chars = self._emitted = self._work = 0
        self._deadline = time.thread_time() + MAX_RENDER_S

    def step(self) -> None:
        """Count a call, or a turn of a loop."""
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise RenderError(TOO_LONG)
        self.check_time()

    def check_time(self) -> None:
        """Called before each operation that may take long."""
        if time.thread_time() > self._deadline:
            raise RenderError(TOO_SLOW)

    def charge(self, chars: int) -> None:
        """Count `chars` of a value that is about to be made."""
        self._work += chars
        if chars > MAX_CHARS or self._work > _MAX_WORK:
            raise RenderError(TOO_LARGE)

    def printed(self, chars: int) -> None:
        """Count `chars` of output, in a macro too."""
        self._chars += chars
        if self._chars > MAX_CHARS:
            raise RenderError(TOO_LARGE)

    def emit(self, chars: int) -> None:
        """Count `chars` that the template has given."""
        self._emitted += chars
        if self._emitted > MAX_CHARS:
            raise RenderError(TOO_LARGE)

    def checked(self, value: Any) -> Any:
        """`value`, which an operation gave: a list that holds another twice, and so on, is as large as its text."""
        if isinstance(value, str):
            self.charge(len(value))
        elif isinstance(value, list | tuple | dict):
            self.charge(_size(value))
        return value


def text_size(value: Any) -> int:
    """About how many characters `str(value)` has; over `MAX_CHARS` or `_MAX_PARTS` it is not counted further.

    Raises `RenderError` for what has no text but its address in memory, and what Jinja2 raises for what is missing.
    """
    return _size(value, _check_has_text)


def _check_has_text(item: Any) -> None:
    if isinstance(item, Undefined):
        str(item)
    if item is not None and not isinstance(item, int | float):
        raise RenderError(f"a {type(item).__name__} has no text. `|list` or `|join` makes one of values")


def _size(value: Any, check: Callable[[Any], None] = lambda _: None) -> int:
    """`text_size`, where `check` is called with each value that is no text, list or object."""
    total, parts, stack = 0, 0, [value]
    while stack and total <= MAX_CHARS:
        item = stack.pop()
        parts += 1
        if parts > _MAX_PARTS:
            return MAX_CHARS + 1
        if isinstance(item, str):
            total += len(item) + 2
        elif isinstance(item, dict):
            stack += item.keys()
            stack += item.values()
            total += 4 * len(item) + 2
        elif isinstance(item, list | tuple):
            stack += item
            total += 2 * len(item) + 2
        elif type(item) is int:
            total += item.bit_length() // 3 + 2
        else:
            check(item)
            total += _NUMBER_CHARS
    return total


def check_operator(operator: str, left: Any, right: Any, charge: Charge) -> None:
    """Raise `RenderError` if `left operator right` is too large."""
    if type(left) is int and type(right) is int:
        if operator == "*":
            _check_bits(left.bit_length() + right.bit_length())
        elif operator == "**" and right > 0:
            _check_bits(left.bit_length() * right)
    elif operator == "*":
        for sequence, times in ((left, right), (right, left)):
            if isinstance(sequence, str | list | tuple) and isinstance(times, int):
                charge(_length(sequence) * max(0, times))
    elif operator == "+":
        if isinstance(left, str | list | tuple) and isinstance(right, str | list | tuple):
            charge(_length(left) + _length(right))
    elif operator == "%" and isinstance(left, str):
        _check_format(left, left.count("%"), (right,), charge)


def _length(sequence: str | list[Any] | tuple[Any, ...]) -> int:
    return len(sequence) if isinstance(sequence, str) else _ITEM_CHARS * len(sequence)


def check_method(method: Any, args: tuple[Any, ...], kwargs: dict[str, Any], charge: Charge) -> None:
    """Raise `RenderError` if what `method` of a text gives with `args` is too large."""
    # The sandbox wraps the method `format`.
    owner = getattr(getattr(method, "__wrapped__", method), "__self__", None)
    if not isinstance(owner, str):
        return
    name = method.__name__
    if name in REFUSED_METHODS:  # Jinja2 gives a method of its own for `format_map`
        raise RenderError(f"the method `{name}` is not taken")
    if name in {"split", "rsplit", "splitlines"}:
        charge(_TEXT_ITEM_CHARS * len(owner))
    elif name in {"center", "ljust", "rjust", "zfill"} and args and isinstance(args[0], int):
        charge(args[0])
    elif name == "expandtabs":
        width = next((value for value in (*args, *kwargs.values()) if isinstance(value, int)), 8)
        charge(len(owner) + owner.count("\t") * max(0, width))
    elif name == "replace":
        charge(_replaced_size(owner, *args, **kwargs))
    elif name == "join" and args and isinstance(args[0], list | tuple | dict):
        charge(text_size(args[0]) + len(owner) * len(args[0]))
    elif name == "join":
        raise RenderError("`join` of a text takes a list here. `|join` takes any values.")
    elif name == "format":
        _check_format(owner, owner.count("{"), (*args, *kwargs.values()), charge)


def bounded_filters(meter: Meter, own: Mapping[str, Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    """Jinja2's filters by name, and its `own` ones of the sandbox: what each takes and gives is counted by `meter`."""

    def bounded(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        skipped = _skipped(original)

        def run(*args: Any, **kwargs: Any) -> Any:
            meter.check_time()
            value = args[skipped] if len(args) > skipped else None
            if name in _OF_ITEMS:
                if isinstance(value, str):
                    meter.charge(_TEXT_ITEM_CHARS * len(value))
            elif name not in _OF_VALUES and not isinstance(value, str):
                meter.charge(text_size(value))
            return meter.checked(original(*args, **kwargs))

        return update_wrapper(run, original)

    filters: dict[str, Any] = {**FILTERS, **_sized_filters(meter.charge), **own}
    return {name: bounded(name, original) for name, original in filters.items()}


def bounded_tests(meter: Meter) -> dict[str, Callable[..., Any]]:
    """Jinja2's tests by name: their time is counted by `meter`."""

    def bounded(original: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            meter.check_time()
            return original(*args, **kwargs)

        return update_wrapper(run, original)

    tests: dict[str, Any] = {**TESTS}
    return {name: bounded(original) for name, original in tests.items()}


def _skipped(function: Callable[..., Any]) -> int:
    """How many arguments stand before a filter's value: the environment or a context."""
    return 1 if hasattr(function, "jinja_pass_arg") else 0


def _sized_filters(charge: Charge) -> dict[str, Callable[..., Any]]:
    """The filters whose result may be much larger than their arguments, by name: checked before it is made."""

    def bounded(name: str, check: Callable[..., None]) -> Callable[..., Any]:
        original = FILTERS[name]
        skipped = _skipped(original)

        def run(*args: Any, **kwargs: Any) -> Any:
            check(*args[skipped:], **kwargs)
            return original(*args, **kwargs)

        return update_wrapper(run, original)

    def check_wordwrap(s: Any, width: int = 79, *args: Any, wrapstring: Any = None, **_: Any) -> None:
        at = 1  # after `break_long_words`
        separator = args[at] if len(args) > at else wrapstring
        charge(len(s) * (_SPLIT_CHARS + len(separator or "\n")))
        longest = max(map(len, s.split()), default=0)
        charge(longest**2 // (_COPIED_CHARS * max(1, width)))  # what is left of a word is copied for each piece

    def check_join(values: Any, d: Any = "", *_: Any, **__: Any) -> None:
        charge(text_size(values) + text_size(d) * len(values))

    join = bounded("join", check_join)

    def listed_join(context: Any, value: Any, *args: Any, **kwargs: Any) -> Any:
        return join(context, list(value), *args, **kwargs)

    def listed(name: str, check: Callable[..., None]) -> Callable[..., Any]:
        original = bounded(name, check)
        return update_wrapper(lambda *args, **kwargs: list(original(*args, **kwargs)), original)

    return {
        "center": bounded("center", lambda _, width=80: charge(_width(width))),
        "indent": bounded("indent", lambda s, width=4, *_, **__: charge(len(s) + (s.count("\n") + 1) * _width(width))),
        "wordwrap": bounded("wordwrap", check_wordwrap),
        "format": bounded(
            "format", lambda text, *a, **k: _check_format(text, text.count("%"), (*a, *k.values()), charge)
        ),
        "replace": bounded("replace", lambda s, old, new, count=None: charge(_replaced_size(s, old, new, count))),
        "batch": listed("batch", lambda _, linecount, *__, **___: charge(_width(linecount))),
        "slice": listed("slice", lambda _, slices, *__, **___: charge(_width(slices))),
        "round": bounded("round", lambda _, precision=0, *__: _check_precision(precision)),
        "string": bounded("string", lambda value: charge(text_size(value))),
        "pprint": bounded("pprint", lambda value: charge(2 * text_size(value))),
        "sum": bounded("sum", lambda _, *args, start=0, **__: _check_start(args[1] if len(args) > 1 else start)),
        "urlize": bounded("urlize", lambda s, *_, **__: charge(len(s) * 8 * _SPLIT_CHARS)),
        "join": update_wrapper(listed_join, FILTERS["join"]),
    }


def _width(value: Any) -> int:
    return value if isinstance(value, int) else len(value) if isinstance(value, str) else 0


def _check_bits(bits: int) -> None:
    if bits > _MAX_BITS:
        raise RenderError("makes a number of more than 30,000 digits")


def _check_precision(precision: Any) -> None:
    if isinstance(precision, int) and abs(precision) > _MAX_PRECISION:
        raise RenderError(f"rounds to {precision:,} digits")


def _check_start(start: Any) -> None:
    if not isinstance(start, int | float):
        raise RenderError("`sum` takes numbers")


def _replaced_size(text: Any, old: Any, new: Any, count: Any = None) -> int:
    old, new = str(old), str(new)
    times: int = str(text).count(old)
    if isinstance(count, int) and count >= 0:
        times = min(times, count)
    return len(str(text)) + times * max(0, len(new) - len(old))


def _check_format(text: Any, fields: int, args: tuple[Any, ...], charge: Charge) -> None:
    """Raise `RenderError` if the format `text`, of at most so many `fields`, gives too much, or has computed widths."""
    text = str(text)
    if _COMPUTED_WIDTH.search(text):
        raise RenderError("formats to a width that is an argument. Write the width as a number.")
    width = max((int(digits[:9]) for digits in _DIGITS.findall(text)), default=0)
    charge(len(text) + fields * (width + text_size(args)))
