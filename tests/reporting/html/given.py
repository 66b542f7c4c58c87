"""Outputs for the tests of the page."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from batchchat.arrow.widening import Kind
from batchchat.core.record import RowRecord
from batchchat.store.parquet import write_parquet
from tests.store.given import answered, failed, invalid

START = 1_764_000_000.0
TOPICS = ("sauce", "soup", "bread")
MODELS = ("microsoft/WizardLM-2-8x22B", "Qwen/Qwen2.5-72B-Instruct")
METADATA = {"name": "chef", "model": MODELS[0], "endpoint": "api.deepinfra.com", "beside": {}}


def run_of(count: int, seed: int = 1, **fields: Any) -> list[RowRecord]:
    """A plausible run of `count` rows, eight in flight, with failures of several kinds."""
    draw = random.Random(seed)
    slots = [START] * 8
    rows = []
    for number in range(count):
        slot = slots.index(min(slots))
        reply = draw.randrange(20, 500)
        latency_s = 0.3 + reply / 60 * draw.uniform(0.8, 1.3)
        began, slots[slot] = slots[slot], slots[slot] + latency_s
        times = {"started_at": began, "finished_at": slots[slot], "latency_s": latency_s, "ordinal": number}
        common = times | {"model": MODELS[number % 2], "carried": {"topic": TOPICS[number % 3]}} | fields
        if number % 40 == 39:
            rows.append(invalid(f"q{number:05}", carried={"topic": TOPICS[number % 3]}, ordinal=number))
        elif number % 20 == 19:
            rows.append(failed(f"q{number:05}", attempts=3, **common))
        else:
            usage = {"prompt_tokens": 40 + number % 300, "completion_tokens": reply, "total_tokens": 40 + reply}
            words = {"text": f"Answer {number}. " + "Stir it slowly. " * (reply // 4), "model": MODELS[number % 2]}
            common = {"usage": usage, "reply": words, "cost_usd": reply * 5e-7} | common
            rows.append(answered(f"q{number:05}", **common))
    return rows


def output_of(path: Path, rows: Iterable[RowRecord], metadata: dict[str, Any] = METADATA) -> Path:
    """`rows` as a published output."""
    write_parquet(path, ((row, 2_000) for row in rows), {"topic": Kind.TEXT}, metadata)
    return path
