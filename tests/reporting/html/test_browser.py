"""The page in a real browser with its network off. Skipped where there is no Chromium."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from batchchat.arrow.widening import Kind
from batchchat.core.record import RowRecord
from batchchat.reporting.page import page_of_outputs
from batchchat.store.parquet import write_parquet
from tests.reporting.html.chromium import FOUND, Page, opened
from tests.reporting.html.given import METADATA, output_of, run_of
from tests.store.given import answered, failed, invalid

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(FOUND is None, reason="there is no Chromium here: apt-get install chromium"),
]

PAYLOAD = """</script><script>window.hit=1</script><img src=x onerror="window.hit=2"><!--\u2028=SUM(A1)"""
ROWS = "[...document.querySelectorAll('#rows tbody tr')]"


def page_at(path: Path, outputs: list[Path], by: Sequence[str] = ("topic",)) -> Path:
    path.write_bytes(page_of_outputs(outputs, by, lambda output: output.name).content)
    return path


EDGES: dict[str, list[RowRecord]] = {
    "0 of 0 rows answered.": [],
    "1 of 1 row answered in 1.5s for $0.0001.": [answered()],
    "0 of 2 rows answered.": [invalid("a"), invalid("b")],
    "0 of 2 rows answered in 1.5s.": [failed("a"), failed("b")],
    "2 of 2 rows answered in 1.5s.": [
        answered(id_, cost_usd=None, cost_source=None, usage=None, wait_s=None) for id_ in "ab"
    ],
    # A clock that was set back, answers that took no time, and figures that no axis expects.
    "3 of 3 rows answered for $3,000,000,000.00.": [
        answered(
            str(n),
            finished_at=1.6e9 - n,
            latency_s=1e6 * n,
            cost_usd=1e9,
            usage={"prompt_tokens": 10**15, "completion_tokens": 0},
        )
        for n in range(3)
    ],
    "40 of 40 rows answered in 1m 20s for $0.0049.": [
        answered(
            str(n), started_at=1.7e9 + 2 * n + 40_000 * (n > 20), finished_at=1.7e9 + 2 * n + 2 + 40_000 * (n > 20)
        )
        for n in range(40)
    ],
}


def within(seen: Callable[[Page], Awaitable[None]], path: Path, **size: int) -> None:
    """Open `path`, look, and hold the page to what holds of every page: no complaint, nothing asked for."""
    url = path.absolute().as_uri()

    async def main() -> None:
        async with opened() as page:
            await page.show(url, **size)
            await seen(page)
            assert page.complaints == []
            assert page.requests == [url]

    asyncio.run(main())


def test_a_page_is_drawn_searched_sorted_and_read(tmp_path: Path) -> None:
    """Charts have their marks; search, status and sort do as they say; Enter opens a row, Escape closes it."""
    path = page_at(tmp_path / "x.html", [output_of(tmp_path / "x.parquet", run_of(400))])

    async def look(page: Page) -> None:
        assert (await page.ask("document.querySelector('h1').textContent")).startswith("380 of 400 rows answered in ")
        titles = await page.ask("[...document.querySelectorAll('h2')].map((title) => title.textContent)")
        assert titles[:3] == [
            "Where did the money go, by topic?",
            "Where did the money go, by model?",
            "When was it spent?",
        ]
        charts = await page.ask(
            "[...document.querySelectorAll('.chart svg[aria-label]')]"
            ".map((svg) => [svg.getAttribute('aria-label'), svg.querySelectorAll('rect, circle, path').length])"
        )
        assert len(charts) == 8
        assert all(marks > 0 for _, marks in charts), charts
        assert dict(charts)["latency against reply tokens"] >= 380
        assert "NaN" not in await page.ask("document.querySelector('main').innerHTML")

        assert await page.ask(f"{ROWS}.length") == 50
        type_ = "const s = document.getElementById('search'); s.value = %r; s.dispatchEvent(new Event('input'));"
        await page.ask(f"(() => {{{type_ % 'answer 101.'}}})()")
        assert await page.ask(f"{ROWS}.map((row) => row.cells[0].textContent)") == ["q00101"]
        await page.ask(f"(() => {{{type_ % ''}}})()")
        head = "[...document.querySelectorAll('#rows th button')].find((b) => b.textContent === 'reply tokens')"
        await page.ask(f"{head}.click()")
        tokens = f"{ROWS}.map((row) => Number(row.cells[5].textContent.replace(',', '')))"
        told = await page.ask(tokens)
        assert told == sorted(told, reverse=True)
        await page.ask(f"{head}.click()")
        told = await page.ask(tokens)
        assert told == sorted(told)
        choose = (
            "const s = document.querySelector('#rows select'); s.value = 'failed'; s.dispatchEvent(new Event('change'))"
        )
        await page.ask(f"(() => {{{choose}}})()")
        assert await page.ask(f"{ROWS}.length") == 10

        await page.ask(f"{ROWS}[0].focus()")
        await page.press("ArrowDown")
        opened_ = await page.ask("document.activeElement.cells[0].textContent")
        await page.press("Enter")
        assert await page.ask("document.querySelector('dialog').open")
        assert await page.ask("document.querySelector('dialog h2').textContent") == opened_
        assert "What is a roux?" in await page.ask("document.querySelector('dialog').textContent")
        await page.press("Escape")
        assert not await page.ask("document.querySelector('dialog').open")
        assert await page.ask("document.activeElement.cells[0].textContent") == opened_

    within(look, path)


def matrix_rows(prompts: Sequence[str]) -> list[RowRecord]:
    """Two rows of two models with `prompts`, two samples of each; the second model is the slow one."""
    return [
        answered(
            f"q{n}",
            variant=f"model=x/m{model},system={prompt}",
            sample=sample,
            latency_s=1.0 + model,
            cost_usd=0.5,
            carried={"variant_model": f"x/m{model}", "variant_system": prompt, "topic": "soup"},
        )
        for n in range(2)
        for model in range(2)
        for prompt in prompts
        for sample in range(2)
    ]


@pytest.mark.parametrize("width", [1280, 390])
def test_a_matrix_is_a_table_of_models_and_prompts(tmp_path: Path, width: int) -> None:
    """The best values are marked, where not all are the same; it scrolls in its own box; a row says which it is."""
    rows = matrix_rows(["short", "long", "a prompt with a label that takes much room on a narrow screen", "x" * 60])
    columns = {"topic": Kind.TEXT, "variant_model": Kind.TEXT, "variant_system": Kind.TEXT}
    output = tmp_path / "x.parquet"
    write_parquet(output, ((row, 2_000) for row in rows), columns, METADATA)
    path = page_at(tmp_path / "x.html", [output], by=())

    async def look(page: Page) -> None:
        assert await page.ask("document.documentElement.scrollWidth <= innerWidth")
        assert await page.ask("document.querySelector('#variants h2').textContent") == "Which model with which prompt?"
        assert await page.ask("[...document.querySelectorAll('#variants .group')].map((th) => th.textContent)") == [
            "m0",
            "m1",
        ]
        assert (
            await page.ask("[...document.querySelectorAll('#variants strong')].map((td) => td.textContent)")
            == ["1.00 s"] * 4
        )
        type_ = (
            "const s = document.getElementById('search'); s.value = 'system=long'; s.dispatchEvent(new Event('input'));"
        )
        await page.ask(f"(() => {{{type_}}})()")
        assert await page.ask(f"{ROWS}.length") == 8
        head = "[...document.querySelectorAll('#rows th button')].find((b) => b.textContent === 'sample')"
        await page.ask(f"{head}.click()")
        assert await page.ask(f"{ROWS}.map((row) => row.cells[2].textContent)") == ["1"] * 4 + ["0"] * 4
        await page.ask(f"{ROWS}[0].click()")
        title = await page.ask("document.querySelector('dialog h2').textContent")
        assert title == "q0 · model=x/m0,system=long · sample 1"
        assert "sample1 (0 to 1)" in await page.ask("document.querySelector('dialog .facts').textContent")

    within(look, path, width=width)


def test_payloads_in_every_field_are_text(tmp_path: Path) -> None:
    """Whatever stands in an id, a text, a name, an error or a column is shown as it stands, and never run."""
    fields: dict[str, Any] = {
        "model": PAYLOAD,
        "carried": {"topic": PAYLOAD},
        "messages": [{"role": PAYLOAD, "content": PAYLOAD}],
    }
    reply = {"text": PAYLOAD, "finish_reason": PAYLOAD, "model": PAYLOAD, "reasoning": PAYLOAD, "refusal": PAYLOAD}
    rows = [
        answered(PAYLOAD, reply=reply, cost_source=PAYLOAD, **fields),
        failed(f"f{PAYLOAD}", error=PAYLOAD, error_kind=PAYLOAD, **fields),
        invalid(f"i{PAYLOAD}", error=PAYLOAD),
    ]
    metadata = {"name": PAYLOAD, "model": PAYLOAD, "endpoint": PAYLOAD, "beside": {}}
    path = page_at(tmp_path / "x.html", [output_of(tmp_path / "x<img src=x>.parquet", rows, metadata)])

    async def look(page: Page) -> None:
        assert await page.ask(f"{ROWS}.length") == 3
        await page.ask(f"{ROWS}[0].click()")
        assert await page.ask("document.querySelector('dialog h2').textContent") == PAYLOAD
        assert (await page.ask("document.querySelector('dialog').textContent")).count(PAYLOAD) >= 6
        assert await page.ask("[window.hit, document.querySelectorAll('img, main script, dialog script').length]") == [
            None,
            0,
        ]

    within(look, path)


def test_several_outputs_on_a_phone(tmp_path: Path) -> None:
    """Outputs stand side by side with what differs; on a phone nothing is wider than the screen."""
    one = output_of(tmp_path / "x.parquet", run_of(60))
    other = output_of(tmp_path / "y.parquet", run_of(60, reply={"text": "Another.", "model": "m"}))
    path = page_at(tmp_path / "x.html", [one, other])

    async def look(page: Page) -> None:
        text = await page.ask("document.querySelector('main').textContent")
        assert "Which is cheaper?" in text
        assert "y.parquet: 57 answers of 57 that both have differ from x.parquet" in text
        assert await page.ask("document.documentElement.scrollWidth <= innerWidth")
        await page.ask("document.querySelectorAll('[role=tab]')[1].click()")
        await page.ask(f"{ROWS}.at(-1).click()")
        assert "Another." in await page.ask("document.querySelector('dialog').textContent")

    within(look, path, width=360, height=740)


def test_runs_at_the_edge(tmp_path: Path) -> None:
    """Nothing, one row, nothing but failures, nothing known, senseless figures: a page without a gap in it."""
    odd = "document.querySelector('main').innerHTML.match(/.{0,80}(?:NaN|Infinity|undefined|\\[object).{0,40}/)"
    paths = {
        sentence: page_at(tmp_path / f"{number}.html", [output_of(tmp_path / f"{number}.parquet", rows)])
        for number, (sentence, rows) in enumerate(EDGES.items())
    }

    async def look() -> None:
        async with opened() as page:
            for sentence, path in paths.items():
                await page.show(path.as_uri())
                assert await page.ask("document.querySelector('h1').textContent") == sentence
                assert await page.ask(f"{ROWS}.length") == len(EDGES[sentence]), sentence
                assert await page.ask(odd) is None, sentence
                assert page.complaints == [], sentence

    asyncio.run(look())
