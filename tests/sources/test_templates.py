"""What templates and conditions give, and what they say where they can't."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from batchchat.core.bad import Bad, BadReason
from batchchat.errors import InputError
from batchchat.sources.template_names import is_template
from batchchat.sources.templates import Condition, Template

ROW = {"review": "It's <great>", "score": 4, "tags": ["a", "b"], "note": None, "Review text": "x", "by": {"items": 2}}


def render(text: str, columns: dict[str, Any] | None = None) -> str | Bad:
    return Template.parse(text, "`template`").render(ROW if columns is None else columns)


def holds(text: str, columns: dict[str, Any]) -> bool | Bad:
    return Condition.parse(text, "`input.where`").holds(columns)


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("Classify: {{ review }}\n", "Classify: It's <great>"),
        ("{{ score }} {{ tags|join(', ') }}", "4 a, b"),
        ("{% for tag in tags %}{{ loop.index }}{{ tag }}{% if not loop.last %};{% endif %}{% endfor %}", "1a;2b"),
        ("{{ row['Review text'] }}", "x"),
        ("{{ note or '-' }}{{ other|default('?') }}{% if other is defined %}!{% endif %}", "-?"),
        ("{{ by.items }}", "2"),
        ("{{ by|tojson }} {{ review|tojson }}", '{"items":2} "It\'s <great>"'),
        ("{{ '%.2f'|format(score) }} {{ '{:>3}'.format(score) }} {{ 'a' ~ score }}", "4.00   4 a4"),
        ("{% set x %}{{ score }}{% endset %}{{ x * 2 }}", "44"),
        ("{{ tags }} {{ score > 3 }}", "['a', 'b'] True"),
        ("{% raw %}{{ review }}{% endraw %}{# nothing #}", "{{ review }}"),
        ("{{ row.review|upper|replace('IT', 'that') }}", "that'S <GREAT>"),
    ],
)
def test_rendered_text(text: str, rendered: str) -> None:
    """Columns are names, what Jinja2 does it does here, and nothing is escaped for HTML."""
    assert render(text) == rendered


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a\n{{ revew }}", "`template`, line 2: there is no column `revew`. Did you mean `review`?"),
        ("{{ row['Reviw text'] }}", "`template`, line 1: there is no column `Reviw text`. Did you mean `Review text`?"),
        (
            "{{ by.item }}",
            '`template`, line 1: there is no key `item` in {"items":2}, an object. Did you mean `items`?',
        ),
        ("{{ note.x }}", "`template`, line 1: there is no `x` in null."),
        ("{{ score.x }}", "`template`, line 1: there is no `x` in 4, a number."),
        ("{{ note }}", "`template`, line 1: `note` is null. Write `{{ note or '' }}` to print nothing."),
        ("\n\n{{ 1 / 0 }}", "`template`, line 3: division by zero."),
        ("{{ []|first }}", "`template`, line 1: No first item, sequence was empty."),
        (
            "{{ tags|map('upper') }}",
            "`template`, line 1: a value is a generator, which has no text. `|list` or `|join` makes one.",
        ),
        (
            "{{ review.upper }}",
            "`template`, line 1: `review.upper` is a builtin_function_or_method, which has no text."
            " `|list` or `|join` makes one.",
        ),
        ("{{ review.__class__ }}", "`template`, line 1: access to attribute '__class__' of 'str' object is unsafe."),
        ("{{ tags.append(1) }}", "`template`, line 1: access to attribute 'append' of 'list' object is unsafe."),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "`template`, line 1: calls itself without end."),
    ],
)
def test_rows_that_can_not_be_rendered(text: str, sentence: str) -> None:
    """Each says the line of the template and the column, and the way out where there is one."""
    assert render(text) == Bad(sentence, BadReason.TEMPLATE)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a\nb {{ x", "`template`, line 2: unexpected end of template, expected 'end of print statement'."),
        ("{% include 'x' %}", "`template`, line 1: `{% include %}` is not taken: a template is one text."),
        ("\n{% import 'x' as y %}", "`template`, line 2: `{% import %}` is not taken: a template is one text."),
        ("{% extends 'x' %}", "`template`, line 1: `{% extends %}` is not taken: a template is one text."),
        ("{{ x|uper }}", "`template`, line 1: there is no filter `uper`. Did you mean `upper`?"),
        ("{% if x is foo %}{% endif %}", "`template`, line 1: there is no test `foo`."),
        ("{{ x|random }}", "`template`, line 1: `random` is not taken: it would give another text at each run."),
        ("{% do x %}", "`template`, line 1: Encountered unknown tag 'do'."),
    ],
)
def test_texts_that_are_no_template(text: str, sentence: str) -> None:
    """What is wrong in every row is refused before the first."""
    with pytest.raises(InputError) as caught:
        Template.parse(text, "`template`")
    assert str(caught.value) == sentence


TOO_LARGE = "gives more than 16 MiB of text."
TOO_LONG = "takes more than 200,000 steps: a loop has no end, or loops stand in each other."
TOO_SLOW = "takes more than 2 s of CPU."
PAIRS = "{%% set ns = namespace(x=[1], y=[1]) %%}{%% for i in range(60) %%}%s{%% endfor %%}{{ ns.x == ns.y }}"
DOUBLING = "{%% set ns = namespace(x=%s) %%}{%% for i in range(60) %%}{%% set ns.x = %s %%}{%% endfor %%}{{ ns.x }}"


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("{{ 'x' * 10**9 }}", TOO_LARGE),
        ("{{ 10**9 * 'x' }}", TOO_LARGE),
        ("{{ [1] * 10**9 }}", TOO_LARGE),
        ("{{ 'x'|center(10**9) }}", TOO_LARGE),
        ("{{ 'x'|center(1000000000) }}", TOO_LARGE),
        ("{{ 'x'.ljust(10**9) }}", TOO_LARGE),
        ("{{ 'x\ty'.expandtabs(10**9) }}", TOO_LARGE),
        ("{{ 'a\nb'|indent(10**9) }}", TOO_LARGE),
        ("{{ [1]|batch(10**9, 'x')|list }}", TOO_LARGE),
        ("{{ [1]|slice(10**9)|list }}", TOO_LARGE),
        ("{{ ('x' * 10000)|replace('x', 'y' * 10000) }}", TOO_LARGE),
        ("{{ ('x' * 10000).replace('x', 'y' * 10000) }}", TOO_LARGE),
        ("{{ ([1] * 1000)|join('x' * 10**6) }}", TOO_LARGE),
        ("{{ ('x' * 10**6).join(['y'] * 1000) }}", TOO_LARGE),
        ("{{ ('x ' * 10000)|wordwrap(1, True, 'y' * 10000) }}", TOO_LARGE),
        ("{{ '%1000000000d' % 5 }}", TOO_LARGE),
        ("{{ '%1000000000d'|format(5) }}", TOO_LARGE),
        ("{{ '{:1000000000}'.format(5) }}", TOO_LARGE),
        ("{{ '%*d'|format(10**9, 5) }}", "formats to a width that is an argument. Write the width as a number."),
        ("{{ '{:{w}}'.format(5, w=9) }}", "formats to a width that is an argument. Write the width as a number."),
        (DOUBLING % ("'aa'", "ns.x ~ ns.x"), TOO_LARGE),
        (DOUBLING % ("'aa'", "ns.x + ns.x"), TOO_LARGE),
        (DOUBLING % ("[1]", "[ns.x, ns.x]"), TOO_LARGE),
        (DOUBLING % ("[1]", "[ns.x]|batch(2, ns.x)|first"), TOO_LARGE),
        (PAIRS % "{% set ns.x = [ns.x, ns.x] %}{% set ns.y = [ns.y, ns.y] %}", TOO_LARGE),
        ("{{ '{a:1000000000}'.format_map({'a': 1}) }}", "the method `format_map` is not taken."),
        ("{{ ('x' * 10**7)|list }}", TOO_LARGE),
        ("{{ ('x ' * 10**6).split() }}", TOO_LARGE),
        ("{{ ('x' * 10**6)|wordwrap(1) }}", TOO_LARGE),
        ("{{ ('-' * 10**7)|wordwrap(10) }}", TOO_LARGE),
        ("{{ ('(' * 10**6)|urlize }}", TOO_LARGE),
        ("{{ 10 ** (10 ** 10) }}", "makes a number of more than 30,000 digits."),
        ("{{ 5|round(-10**9) }}", "rounds to -1,000,000,000 digits."),
        ("{{ [[1]]|sum(start=[]) }}", "`sum` takes numbers."),
        ("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", TOO_LONG),
        ("{% for a in range(200) %}" + "x" * 100_000 + "{% endfor %}", TOO_LARGE),
        ("{% set x %}{% for a in range(200) %}" + "x" * 100_000 + "{% endfor %}{% endset %}", TOO_LARGE),
        (
            "{% for a in range(10**9) %}x{% endfor %}",
            "Range too big. The sandbox blocks ranges larger than MAX_RANGE (100000).",
        ),
    ],
)
def test_templates_without_end(text: str, end: str) -> None:
    """Neither memory nor time runs away, whichever way a template goes about it."""
    assert render(text) == Bad(f"`template`, line {1 + text.count(chr(10))}: {end}", BadReason.TEMPLATE)


@pytest.mark.parametrize(
    "text",
    [
        "{% for i in range(99999) %}{{ range(99999)|sum }}{% endfor %}",
        "{% set big = 'x' * 10**7 %}{% for i in range(99999) %}{% set at = big.count('y') %}{% endfor %}",
        "{{ range(99999)|map('string')|select('in', 'x' * 10**7)|list }}",
        "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(50) }}",
    ],
)
def test_the_time_of_a_rendering_is_bounded(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Few steps may take long, too: the time is looked at before each of them."""
    monkeypatch.setattr("batchchat.sources.sandbox_limits.MAX_RENDER_S", 0.05)
    assert render(text) == Bad(f"`template`, line 1: {TOO_SLOW}", BadReason.TEMPLATE)


@pytest.mark.parametrize(
    "text",
    [
        "{{ 'x' ~ self }}",
        "{{ self|string }}",
        "{{ self|upper }}",
        "{{ '%s' % self }}",
        "{{ '{}'.format(self) }}",
        "{{ [self] }}",
        "{{ [self]|tojson }}",
        "{{ [self]|join }}",
        "{{ [1]|map('string')|upper }}",
    ],
)
def test_addresses_of_objects_are_no_text(text: str) -> None:
    """They differ at each run, and so would the request: the row would be paid again."""
    problem = render(text)
    assert isinstance(problem, Bad)
    assert " has no text." in problem.sentence


def test_what_is_missing_is_an_error_within_a_list_too() -> None:
    """It was printed as `Undefined`."""
    problem = render("{{ [d]|map(attribute='b')|list }}", {"d": {"a": 1}})
    assert isinstance(problem, Bad)
    assert "there is no key `b`" in problem.sentence
    assert render("{{ [d]|map(attribute='b')|select('defined')|list }}", {"d": {"a": 1}}) == "[]"


def test_large_columns_pass() -> None:
    """A long document is rendered whole."""
    document = "word " * 1_000_000
    assert render("Sum up:\n{{ text|trim }}\n", {"text": document}) == f"Sum up:\n{document.strip()}"


def test_a_rendering_leaves_the_next_its_room() -> None:
    """What is counted is counted for one row, whether it went well or not."""
    template = Template.parse("{% for i in range(n) %}x{% endfor %}", "`template`")
    for n in (100_000, 100_000, 100_000):
        assert template.render({"n": n}) == "x" * n
    assert isinstance(template.render({"n": 10**6}), Bad)
    assert template.render({"n": 1}) == "x"


def test_names() -> None:
    """The columns that are read, and those of them that must be there."""
    names = Template.parse("{{ a }}{{ b|default('') }}{% if c is defined %}{{ c }}{% endif %}{{ range(d)|list }}", "t")
    assert names.names.read >= {"a", "b", "c", "d"}
    assert names.names.required == {"a", "d"}
    assert not names.names.reads_row
    assert Template.parse("{{ row['a b'] }}", "t").names.reads_row
    assert Condition.parse("x > 3 and y is defined", "w").names.required == {"x"}
    assert (names.names | Condition.parse("x > 3", "w").names).required == {"a", "d", "x"}


def test_a_column_named_row() -> None:
    """It is itself."""
    assert render("{{ row }}", {"row": 7}) == "7"


@pytest.mark.parametrize(("text", "it_is"), [("a", False), ("{a}", False), ("{{ a }}", True), ("{# a #}", True)])
def test_is_template(text: str, it_is: bool) -> None:
    """A system message without anything of Jinja2's is no template."""
    assert is_template(text) is it_is


@pytest.mark.parametrize(
    ("text", "columns", "it_holds"),
    [
        ("status == 'answered' and score > 3", {"status": "answered", "score": 4}, True),
        ("status == 'answered' and score > 3", {"status": "failed", "score": None}, False),
        ("score|float > 3", {"score": "4"}, True),
        ("'word' in text", {"text": "a word"}, True),
        ("lang in ['de', 'fr']", {"lang": "en"}, False),
        ("good", {"good": None}, False),
        ("x is defined and x > 3", {}, False),
        ("row['Review text']|length > 2", {"Review text": "abc"}, True),
        ("batchchat_result == 1", {"batchchat_result": 1}, True),
    ],
)
def test_conditions(text: str, columns: dict[str, Any], it_holds: bool) -> None:
    """A condition is true or false of a row; null is false."""
    assert holds(text, columns) is it_holds


@pytest.mark.parametrize(
    ("text", "columns", "sentence"),
    [
        ("scor > 3", {"score": 1}, "`input.where`: there is no column `scor`. Did you mean `score`?"),
        ("a.b > 3", {"a": "x"}, '`input.where`: there is no `b` in "x", text.'),
        (
            "score > 3",
            {"score": "4"},
            "`input.where`: `>` can't compare text with a number."
            ' `score` is "4", text. `score|float` reads a number from text.',
        ),
        (
            "score > 3",
            {"score": None},
            "`input.where`: `>` can't compare null with a number. `score` is null. Write `score is not none and ...`.",
        ),
        (
            "good",
            {"good": "false"},
            '`input.where` gives "false", text. It takes a comparison, which gives true or false.',
        ),
        ("range(3)", {}, "`input.where` gives a range. It takes a comparison, which gives true or false."),
        ("'x' * 10**9 == a", {"a": 1}, "`input.where`: gives more than 16 MiB of text."),
    ],
)
def test_conditions_that_can_not_be_decided(text: str, columns: dict[str, Any], sentence: str) -> None:
    """No row is left out by a guess."""
    assert holds(text, columns) == Bad(sentence, BadReason.CONDITION)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a = 3", "`input.where`: unexpected `=`. `==` compares."),
        ("a AND b", "`input.where`: unexpected `AND`. Write `and`."),
        ("a <> 3", "`input.where`: unexpected '>'. Write `!=`."),
        ("a && b", "`input.where`: unexpected char '&' at 2. Write `and`."),
        ("a LIKE 'b'", "`input.where`: unexpected `LIKE`. Write `in`, as in `'word' in text`."),
        ("a ==", "`input.where`: unexpected 'end of template'."),
        ("a|foo", "`input.where`: there is no filter `foo`."),
        ("a > 3 }} x", "`input.where`: unexpected `}}`."),
    ],
)
def test_texts_that_are_no_condition(text: str, sentence: str) -> None:
    """SQL's operators are named in Jinja2's words."""
    with pytest.raises(InputError) as caught:
        Condition.parse(text, "`input.where`")
    assert str(caught.value) == sentence


def test_jinja2_is_imported_when_it_is_used() -> None:
    """A job without a template does not pay for it."""
    code = "import sys, batchchat.sources.templates, batchchat.sources; print('jinja2' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
