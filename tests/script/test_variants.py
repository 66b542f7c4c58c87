"""What becomes of an input row under samples and a matrix."""

from __future__ import annotations

from batchchat.core.conversation import BadRow, Key, Row
from batchchat.job.matrix import Axis
from batchchat.script.single import sent_params
from batchchat.script.variants import NO_VARIANT, RowExpansion, Variant, variants_of

USER = {"role": "user", "content": "hi"}
MODEL = Axis("model", (("a", "a"), ("b", "b")), labelled=False)
SYSTEM = Axis("system", (("none", None), ("short", "Be short.")), labelled=True)
TEMPERATURE = Axis("params.temperature", (("0", 0), ("1", 1)), labelled=False)


def row(**options: object) -> Row:
    return Row(Key("x"), 3, "f:4", [USER], passthrough={"topic": "sauce"}, **options)  # type: ignore[arg-type]


def test_names_do_not_depend_on_the_order_of_axes() -> None:
    """So answers are kept where axes change places in the job."""
    one, other = variants_of((MODEL, TEMPERATURE)), variants_of((TEMPERATURE, MODEL))
    assert [variant.name for variant in one] == [
        "model=a,temperature=0", "model=a,temperature=1", "model=b,temperature=0", "model=b,temperature=1"
    ]  # fmt: skip
    assert {variant.name for variant in one} == {variant.name for variant in other}


def test_columns_have_the_values_or_their_names() -> None:
    """A named value's column has the name: a prompt of a page is no value to group by."""
    assert [variant.columns for variant in variants_of((SYSTEM, TEMPERATURE))][::3] == [
        {"variant_system": "none", "variant_temperature": 0},
        {"variant_system": "short", "variant_temperature": 1},
    ]


def test_a_plain_row_stays_the_object_it_is() -> None:
    """Nothing is copied where there are no samples and no matrix."""
    plain = row()
    assert list(RowExpansion().rows(plain)) == [(plain, NO_VARIANT)]
    assert next(iter(RowExpansion().rows(plain)))[0] is plain


def test_rows_are_interleaved_and_numbered() -> None:
    """All of one input row in succession, their ordinals following each other; a bad row as many."""
    expansion = RowExpansion(variants_of((MODEL,)), samples=2)
    rows = [made for made, _ in expansion.rows(row())]
    assert [(each.key.variant, each.key.sample, each.ordinal) for each in rows] == [
        ("model=a", 0, 12), ("model=a", 1, 13), ("model=b", 0, 14), ("model=b", 1, 15)
    ]  # fmt: skip
    assert rows[0].passthrough == {"variant_model": "a", "topic": "sauce"}
    bad = BadRow(Key("x"), 3, "f:4", "no messages", passthrough={"topic": "sauce"})
    assert [(each.key, each.ordinal) for each in expansion.bad_rows(bad)] == [(r.key, r.ordinal) for r in rows]


def test_an_input_column_of_the_same_name_is_kept_under_another() -> None:
    """As with the other columns of the output."""
    mine = Row(Key("x"), 0, "f:1", [USER], passthrough={"variant_model": "mine"})
    ((made, _),) = RowExpansion((Variant("model=a", {"variant_model": "a"}),)).rows(mine)
    assert made.passthrough == {"variant_model": "a", "input_variant_model": "mine"}


def test_a_seed_is_another_for_each_sample() -> None:
    """Seed + k; the variant's over the row's over the job's."""
    second = Row(Key("x", "", 2), 0, "f:1", [USER], params={"seed": 10, "top_p": 1})
    assert sent_params({"seed": 1, "temperature": 1}, second) == {"seed": 12, "temperature": 1, "top_p": 1}
    assert sent_params({}, second, Variant("seed=5", params={"seed": 5}))["seed"] == 7
    assert "seed" not in sent_params({}, Row(Key("x", "", 1), 0, "f:1", [USER]))
