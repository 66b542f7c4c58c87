"""Small runs at random: faults, kills and commands; after each, the provider's books and everything we tell agree."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.acceptance.job import Job
from tests.field.endpoint import endpoint
from tests.field.fuzz import Customer, Provider
from tests.field.fuzz_shapes import Bookkeeper, Generator, check_order

STEPS = 6


def play(job: Job, seed: int, steps: int = STEPS) -> None:
    """A customer's week of `steps` runs; the last one is calm and finishes."""
    dice = random.Random(seed)
    provider = Provider(random.Random(seed + 1), reports_cost=bool(seed % 2))
    with endpoint(provider.answer) as server:
        customer = Customer(job, server, provider, dice)
        try:
            customer.run()
            customer.check()
            for _ in range(steps):
                customer.step()
            customer.run()
            customer.check()
        except BaseException:
            print(f"seed {seed}: " + "\n".join(customer.log))
            raise


@pytest.mark.parametrize("seed", [1, 2])
def test_a_few_runs_at_random(job: Job, seed: int) -> None:
    """No answer is lost, none paid for twice but what a kill caught, no limit passed, and every sum is true."""
    play(job, seed, steps=3)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(40))
def test_three_hundred_runs_at_random(job: Job, seed: int) -> None:
    """The same for forty customers of eight runs each."""
    play(job, 1000 + seed)


def generate(job: Job, seed: int, steps: int = STEPS) -> None:
    """`steps` runs of a job of some shape; the last one is calm and finishes."""
    dice = random.Random(seed)
    books = Bookkeeper(random.Random(seed + 1), bool(seed % 2), refuses_format=dice.choice([0.0, 0.3, 1.0]))
    with endpoint(books.answer) as server:
        generator = Generator(job, server, books, dice)
        try:
            generator.run()
            generator.check()
            for _ in range(steps):
                generator.step()
            books.calm = True
            generator.run()
            generator.check()
        except BaseException:
            print(f"seed {seed}: " + "\n".join(generator.log))
            raise


@pytest.mark.parametrize("seed", [1, 2])
def test_a_few_shapes_at_random(job: Job, seed: int) -> None:
    """Turns, schemas, re-asks, streams, samples, a matrix and equal requests, in any combination."""
    generate(job, seed, steps=2)


def of_row(status: str) -> dict[str, Any]:
    """A journal's record of one row that ended."""
    return {"kind": "row", "id": "r0", "variant": "", "sample": 0, "fp": "f", "status": status}


def of_run(*resend: str) -> dict[str, Any]:
    """A journal's record of a run."""
    return {"kind": "run", "resend": [*resend]}


def test_an_answer_that_was_sent_again_and_failed_is_answered_no_longer() -> None:
    """`--resend @FILE` has an answer fail, and `--resend failed`, whose record is as a plain run's, answers it."""
    check_order([of_run(), of_row("answered"), of_run("ids"), of_row("failed"), of_run(), of_row("answered")])


@pytest.mark.parametrize("status", ["answered", "failed"])
def test_an_answer_that_is_sent_again_unasked_is_noticed(status: str) -> None:
    """In the same run or in a later one, whatever comes of it, and though it failed once before."""
    for records in (
        [of_row("answered")],
        [of_row("answered"), of_run()],
        [of_row("failed"), of_run(), of_row("answered"), of_run()],
        [of_row("answered"), of_run("ids"), of_row("failed"), of_run(), of_row("answered"), of_run()],
    ):
        with pytest.raises(AssertionError, match="was answered, and then"):
            check_order([of_run(), *records, of_row(status)])


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(40))
def test_three_hundred_runs_of_random_shapes(job: Job, seed: int) -> None:
    """The same for forty jobs of eight runs each."""
    generate(job, 2000 + seed)
