"""The output that is written while its run goes on: it is what is written at the end, or it is not used."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchchat.core.conversation import Key
from batchchat.dispatch.pause import pause
from batchchat.execution.early_output import EarlyLimits, EarlyOutput
from batchchat.execution.publish import content_of, publish
from batchchat.job import InputSpec, OutputSpec
from batchchat.store import records
from batchchat.store.amendments import amendment
from batchchat.store.ledger import Ledger
from batchchat.store.output_builder import OutputBuilder
from batchchat.store.parquet_file import GroupLimits
from batchchat.store.passthrough_columns import schema_text
from batchchat.store.segments import journal_offset, segment_path
from tests.acceptance.job import until
from tests.store.given import answered, failed, invalid, open_files, run_record, small_disk

AT_ONCE = EarlyLimits(look_every_s=0.0, first_rows=3, min_rows=1, max_rows=4, times_as_many=2)


class Scene:
    """A run whose journal is written and applied by hand, with an output in `folder`."""

    def __init__(self, folder: Path, *, order: str = "input", part_rows: int | None = None, name: str = "out") -> None:
        self.path = folder / (name if part_rows else f"{name}.parquet")
        self.output = OutputSpec(self.path, self.path.name, order, part_rows or 100_000)
        self.journal = folder / "out.run"
        self.journal.mkdir(exist_ok=True)
        self.ledger = Ledger(self.journal)
        self.adopted: list[int] = []
        self._sizes: dict[int, int] = {}

    def keep(self, *kept: Any, segment: int = 1) -> None:
        """Synced records: they are in the journal and in the ledger."""
        for record in kept:
            line, size = records.encode(record), self._sizes.get(segment, 0)
            with segment_path(self.journal, segment).open("ab") as file:
                file.write(line)
            self.ledger.apply(journal_offset(segment, size), record)
            self._sizes[segment] = size + len(line)

    def early(self, limits: EarlyLimits = AT_ONCE) -> EarlyOutput:
        """What writes the output while the run goes on; it notes how many rows are adopted at the end."""
        adopted = self.adopted

        class Noted(EarlyOutput):
            def adopted(self, *arguments: Any) -> Any:
                writer = super().adopted(*arguments)
                adopted.append(0 if writer is None else writer.count)
                return writer

        job: Any = SimpleNamespace(output=self.output, expect=SimpleNamespace(columns=False), input=InputSpec((), ()))
        return Noted(job, self.journal, self.ledger, limits)

    def publish(self, early: EarlyOutput | None = None) -> None:
        """Publish the output, at the run's end."""
        publish(
            self.output, self.journal, self.ledger, {"content": content_of(self.ledger, self.output)}, 0, early=early
        )

    def beside(self) -> list[str]:
        """What is in the output's folder."""
        return sorted(path.name for path in self.path.parent.iterdir())


def table_of(path: Path) -> list[Any]:
    """All of an output: of each file its schema with metadata, its row groups and its cells."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    whole = []
    for file in files:
        metadata = pq.read_metadata(file)
        groups = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
        table = pq.read_table(file)
        whole.append((file.suffix, table.schema, table.schema.metadata, groups, table.to_pylist()))
    return whole


def same_as_from_scratch(scene: Scene) -> bool:
    """Whether the output is what is published without anything written before."""
    for number, path in enumerate((scene.path, scene.path.with_name(f"scratch{scene.path.suffix}"))):
        if number:
            scratch = OutputSpec(path, path.name, scene.output.order, scene.output.part_rows)
            content = {"content": content_of(scene.ledger, scratch)}
            publish(scratch, scene.journal, scene.ledger, content, 0)
    return table_of(scene.path) == table_of(path)


def small_groups() -> Any:
    """Row groups of a few rows, until the context is left."""
    small = partial(OutputBuilder, limits=GroupLimits(rows=3, slice_rows=2))
    return patch("batchchat.execution.output_writer.OutputBuilder", small)


async def play(scene: Scene, early: EarlyOutput, groups: Iterable[list[Any]], last: list[Any]) -> None:
    """Synced groups of records, with time to write behind each but the `last`."""
    async with early.written():
        for group in groups:
            scene.keep(*group)
            for _ in range(8):
                await asyncio.sleep(0.0005)
        scene.keep(*last)


ROWS = st.builds(
    lambda kind, carried, long: kind(carried=carried, messages=None if kind is invalid else long),
    st.sampled_from([answered, answered, answered, failed, invalid]),
    st.fixed_dictionaries({"n": st.sampled_from([1, 2, 3])})
    | st.fixed_dictionaries({}, optional={"n": st.sampled_from([1, 2.5, None, "x"]), "tag": st.just({"a": [1]})}),
    st.sampled_from([[{"role": "user", "content": "é" * 30}], [{"role": "user", "content": "q", "name": "n"}]]),
)


@st.composite
def runs(draw: st.DrawFn) -> tuple[list[list[Any]], list[list[Any]], list[Any]]:
    """The groups of records of an earlier run and of this one, and its last: rows end in any order, some twice."""
    rows = draw(st.lists(ROWS, min_size=1, max_size=14))
    numbered = [{**row, "id": f"r{at}", "ordinal": at, "fp": f"{at:016x}"} for at, row in enumerate(rows)]
    spread, chance = draw(st.sampled_from([0, 2, 30])), random.Random(draw(st.integers(0, 99)))
    numbered.sort(key=lambda row: row["ordinal"] + chance.random() * spread)
    if draw(st.integers(0, 3)) == 0:
        numbered.insert(draw(st.integers(0, len(numbered))), {**numbered[0], "wait_s": 9.0})
    cut, size = draw(st.integers(0, len(numbered))), draw(st.integers(1, 6))
    groups = [numbered[start : start + size] for start in range(0, len(numbered), size)]
    before, now = groups[: cut // size], groups[cut // size :]
    again, column = {**numbered[0], "wait_s": 9.0}, answered("late", ordinal=len(rows), carried={"late": 1})
    last: list[Any] = draw(st.sampled_from([[again], [column], now.pop() if now else []]))
    return before, [[run_record()], *now], last


@settings(max_examples=15, deadline=None)
@given(runs(), st.sampled_from(["input", "completion"]), st.sampled_from([None, None, 4]))
def test_it_is_what_is_written_at_the_end(
    run: tuple[list[list[Any]], list[list[Any]], list[Any]], order: str, part_rows: int | None
) -> None:
    """Cell for cell and row group for row group, whatever the order and kinds of rows, late types, resumes."""
    with tempfile.TemporaryDirectory() as name, small_groups():
        scene = Scene(Path(name), order=order, part_rows=part_rows)
        scene.keep(run_record())
        for group in run[0]:
            scene.keep(*group)
        early = scene.early()
        asyncio.run(play(scene, early, *run[1:]))
        scene.publish(early)
        assert scene.beside() == sorted([scene.path.name, "out.run"])
        assert same_as_from_scratch(scene)


@pytest.mark.parametrize("order", ["input", "completion"])
@pytest.mark.parametrize("part_rows", [None, 7])
def test_rows_are_written_before_the_end(tmp_path: Path, order: str, part_rows: int | None) -> None:
    """All but those that one unfinished row holds up, where the order is that of the input."""
    scene = Scene(tmp_path, order=order, part_rows=part_rows)
    scene.keep(run_record())
    rows = [answered(f"r{number}", ordinal=number) for number in range(40)]
    early = scene.early()

    async def run() -> None:
        async with early.written():
            scene.keep(*rows[:20], *rows[21:])
            await wait_for(lambda: early.count == (20 if order == "input" else 39))

    asyncio.run(run())
    scene.keep(rows[20])
    scene.publish(early)
    assert scene.adopted == [20 if order == "input" else 39]
    assert same_as_from_scratch(scene)


def test_nothing_is_written_before_a_run_that_goes_on_has_an_answer(tmp_path: Path) -> None:
    """What is kept is passed over first, and that is the time until a row is sent."""
    scene, looks = Scene(tmp_path), []
    scene.keep(run_record(), *(answered(f"r{n}", ordinal=n) for n in range(9)))
    early = scene.early()

    async def look(_pause_s: float, ended: asyncio.Event) -> bool:
        looks.append(early.count)
        return await pause(0.0, ended)

    async def run() -> None:
        async with early.written():
            await wait_for(lambda: len(looks) > 200)
            assert early.count == 0
            assert scene.beside() == ["out.run"]
            scene.keep(answered("r9", ordinal=9))
            await wait_for(lambda: early.count == 10)

    with patch("batchchat.execution.early_output.pause", look):
        asyncio.run(run())
    scene.publish(early)
    assert scene.adopted == [10]


async def wait_for(happens: Callable[[], bool]) -> None:
    await asyncio.to_thread(until, happens)


def test_a_column_of_another_type_is_written_again(tmp_path: Path) -> None:
    """From the first row on, and not before there are as many more rows as make it cheap."""
    scene = Scene(tmp_path)
    scene.keep(run_record())
    early = scene.early()

    async def run() -> None:
        async with early.written():
            scene.keep(*(answered(f"r{n}", ordinal=n, carried={"n": n}) for n in range(10)))
            await wait_for(lambda: early.count == 10)
            scene.keep(answered("r10", ordinal=10, carried={"n": "text"}))
            await wait_for(lambda: early.count == 0)
            scene.keep(*(answered(f"r{n}", ordinal=n, carried={"n": n}) for n in range(11, 19)))
            await asyncio.sleep(0.02)
            assert early.count == 0
            scene.keep(answered("r19", ordinal=19, carried={"n": None}))
            await wait_for(lambda: early.count == 20)

    asyncio.run(run())
    scene.publish(early)
    assert scene.adopted == [20]
    assert same_as_from_scratch(scene)


@pytest.mark.parametrize("cause", ["amended", "again", "off", "disk"])
def test_it_is_given_up(tmp_path: Path, cause: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where what was written can't be how the output begins, or must not be: nothing is left of it, and it is over."""
    scene = Scene(tmp_path)
    scene.keep(run_record(), *(answered(f"r{n}", ordinal=n) for n in range(8)))
    early = scene.early()

    async def run() -> None:
        async with early.written():
            scene.keep(answered("r8", ordinal=8))
            await wait_for(lambda: early.count == 9)
            assert scene.beside() == [".out.parquet.building", "out.run"]
            if cause == "amended":
                place = journal_offset(1, len(records.encode(run_record())))
                key, fp = Key("r0"), int(answered()["fp"], 16)
                scene.keep(amendment(key, fp, of=key, row=place, place="p:1", ordinal=0, passthrough={"topic": "y"}))
            elif cause == "again":
                scene.keep(answered("r3", ordinal=3, cost_usd=0.5))
            elif cause == "off":
                early.is_off = True
            else:
                monkeypatch.setattr(early, "_limits", AT_ONCE._replace(min_free=1 << 60))
            scene.keep(answered("r9", ordinal=9))
            await wait_for(lambda: scene.beside() == ["out.run"])
            scene.keep(*(answered(f"r{n}", ordinal=n) for n in range(10, 50)))
            await asyncio.sleep(0.02)
            assert early.count == 0

    asyncio.run(run())
    scene.publish(early)
    assert scene.adopted == [0]
    assert same_as_from_scratch(scene)


@pytest.mark.parametrize("cause", ["again", "amended", "column", "type", "gone", "writer"])
def test_what_changes_at_the_last_moment_is_seen_at_the_end(tmp_path: Path, cause: str) -> None:
    """Nothing looks any more; but what was written is compared with what the output is to be."""
    scene = Scene(tmp_path, order="completion" if cause == "writer" else "input")
    declares = run_record(columns=schema_text({"day": pa.date32()}))
    carried = {"day": 20_455}
    scene.keep(declares, *(answered(f"r{n}", ordinal=n, carried=carried) for n in range(8)), segment=2)
    early = scene.early()

    async def run() -> None:
        async with early.written():
            scene.keep(answered("r8", ordinal=8, carried=carried), segment=2)
            await wait_for(lambda: early.count == 9)

    asyncio.run(run())
    if cause == "again":
        scene.keep(answered("r3", ordinal=3, carried=carried, cost_usd=0.5), segment=2)
    elif cause == "amended":
        place, fp = journal_offset(2, len(records.encode(declares))), int(answered()["fp"], 16)
        key = Key("r0")
        scene.keep(amendment(key, fp, of=key, row=place, place="p:1", ordinal=0, passthrough=carried), segment=2)
    elif cause == "column":
        scene.keep(answered("r9", ordinal=9, carried={**carried, "topic": "y"}), segment=2)
    elif cause == "type":
        scene.keep(run_record(), answered("r9", ordinal=9, carried={"day": "at noon"}), segment=2)
    elif cause == "gone":
        entry = scene.ledger.index.find(Key("r8"))
        assert entry is not None
        scene.ledger.index.remove_from_input(entry)
    else:
        scene.keep(answered("r9", ordinal=9, carried=carried), segment=1)
    scene.publish(early)
    assert scene.adopted == [0]
    assert same_as_from_scratch(scene)


def test_a_disk_that_fails_costs_only_what_was_written(tmp_path: Path) -> None:
    """The run goes on; whether the output can be written is seen at its end."""
    with small_disk(tmp_path, 64) as disk:
        scene = Scene(disk)
        scene.journal.rmdir()
        scene.journal = tmp_path / "out.run"
        scene.journal.mkdir()
        scene.ledger = Ledger(scene.journal)
        scene.keep(run_record())
        text = random.Random(1)
        early = scene.early(AT_ONCE._replace(min_free=0))

        async def run() -> None:
            async with early.written():
                for number in range(300):
                    words = text.randbytes(900).hex()
                    scene.keep(answered(f"r{number}", ordinal=number, reply={"text": words}))
                await wait_for(lambda: early.is_off)

        with small_groups():
            asyncio.run(run())
        assert list(disk.iterdir()) == []


def test_no_more_files_than_may_be_open(tmp_path: Path) -> None:
    """Parts stay open until the end, and a run needs its descriptors; what is written so far is used."""
    scene = Scene(tmp_path, part_rows=2)
    scene.keep(run_record(), *(answered(f"r{n}", ordinal=n) for n in range(29)))
    early, before = scene.early(AT_ONCE._replace(max_files=4)), open_files()

    async def run() -> None:
        async with early.written():
            scene.keep(answered("r29", ordinal=29))
            await wait_for(lambda: early.count == 8)
            await asyncio.sleep(0.02)

    asyncio.run(run())
    assert early.count == 8
    scene.publish(early)
    assert (scene.adopted, open_files()) == ([8], before)
    assert same_as_from_scratch(scene)


def test_what_was_built_may_vanish(tmp_path: Path) -> None:
    """Another program cleared it away: then the output is written from the journal."""
    scene = Scene(tmp_path)
    scene.keep(run_record(), *(answered(f"r{n}", ordinal=n) for n in range(8)))
    early = scene.early()

    async def run() -> None:
        async with early.written():
            scene.keep(answered("r8", ordinal=8))
            await wait_for(lambda: early.count == 9)

    asyncio.run(run())
    (tmp_path / ".out.parquet.building").unlink()
    scene.publish(early)
    assert scene.adopted == [9]
    assert same_as_from_scratch(scene)


def test_several_writers_are_written_in_the_order_of_the_input(tmp_path: Path) -> None:
    """As with `workers`: each has segments of its own. In the order of the journal it is over at once."""
    for order, count in (("input", 12), ("completion", 0)):
        scene = Scene(tmp_path, order=order, name=order)
        scene.journal = tmp_path / f"{order}.run"
        scene.journal.mkdir()
        scene.ledger = Ledger(scene.journal)
        scene.keep(run_record(workers=2))
        early = scene.early()

        async def run(scene: Scene = scene, early: EarlyOutput = early, count: int = count) -> None:
            async with early.written():
                for number in range(12):
                    scene.keep(answered(f"r{number}", ordinal=number), segment=2 + number % 2)
                    if number == 5:
                        await wait_for(lambda: early.count == 6)
                await wait_for(lambda: early.count == count)

        asyncio.run(run())
        scene.publish(early)
        assert scene.adopted == [count]
        assert same_as_from_scratch(scene)
