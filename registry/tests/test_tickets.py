"""Upload sessions that only a signature vouches for."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Iterator

import pytest
from storagedriver_registry.storage.tickets import Tickets

from registry.tests.application import in_memory
from storagedriver_core import Storage


@pytest.mark.parametrize("length", [1, 64, 65, 500])
def test_every_character_of_a_secret_of_any_length_counts(length: int) -> None:
    async def main() -> None:
        async with Storage(in_memory()) as storage:
            ours, others = (Tickets(storage, b"s" * (length - 1) + end) for end in (b"1", b"2"))
            upload_id = await ours.new_id()
            ticket = await ours.issue("a", upload_id)
            assert await ours.is_valid(ticket, "a", upload_id)
            assert not await others.is_valid(ticket, "a", upload_id)

    asyncio.run(main())


def test_ticket_is_for_one_session_of_one_repository() -> None:
    async def main() -> None:
        async with Storage(in_memory()) as storage:
            tickets, same_store = Tickets(storage), Tickets(storage)
            first, second = await tickets.new_id(), await tickets.new_id()
            assert first != second
            ticket = await tickets.issue("a", first)
            assert await same_store.is_valid(ticket, "a", first)
            assert not await tickets.is_valid(ticket, "a", second)
            assert not await tickets.is_valid(ticket, "b", first)
            issued, _, signature = ticket.partition(".")
            later = f"{int(issued, 16) + 1:x}.{signature}"
            assert not await tickets.is_valid(later, "a", first)

    asyncio.run(main())


@pytest.fixture
def seeded() -> Iterator[None]:
    yield
    random.seed()  # for the tests to come


def test_ids_differ_whatever_seed_the_program_sets(seeded: None) -> None:
    async def main() -> str:
        random.seed(2014)
        async with Storage(in_memory()) as storage:
            return await Tickets(storage, b"secret").new_id()

    assert asyncio.run(main()) != asyncio.run(main())


# Later Pythons warn of a fork beside threads, of which the child here uses none.
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_ids_differ_from_those_of_a_forked_child() -> None:
    async def main() -> str:
        return await Tickets(Storage(in_memory()), b"secret").new_id()

    told, tells = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(tells, asyncio.run(main()).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(tells)
    with os.fdopen(told) as answer:
        assert answer.read() not in ("", asyncio.run(main()))
