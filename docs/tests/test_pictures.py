"""The pictures show what the code does."""

from __future__ import annotations

import asyncio
from xml.etree import ElementTree

import pytest
from pages import pictures
from pages.drawing import drawn
from pages.pictures import Step, steps
from pages.plugins import own_plugins

from storagedriver_core import FileWriter, Storage, WriterState, open_storage


async def after(step: Step) -> WriterState:
    """Call the method on a writer that is open, and give the state that it leads to."""
    async with open_storage({"storage": {"driver": "inmemory"}}) as storage:
        writer = await opened(storage)
        result = getattr(writer, step.method)(*([b"data"] if step.method == "write" else []))
        if asyncio.iscoroutine(result):
            await result
        state = writer.state
        await writer.aclose()
        return state


async def opened(storage: Storage) -> FileWriter:
    writer = await storage.writer("/a")
    assert writer.state is WriterState.OPEN
    return writer


@pytest.mark.parametrize("step", steps(), ids=lambda step: step.method)
def test_arrow_leads_where_the_method_does(step: Step) -> None:
    assert asyncio.run(after(step)) is (step.after or WriterState.OPEN)


def test_every_state_has_a_box_and_an_arrow() -> None:
    assert {step.after for step in steps()} == {None, *WriterState} - {WriterState.OPEN}
    shown = text_of(pictures.writer_states())
    for state in WriterState:
        assert state.name in shown


def test_every_driver_and_middleware_is_in_the_architecture() -> None:
    plugins = own_plugins()
    shown = text_of(pictures.architecture())
    for name in [*plugins.drivers, *plugins.middlewares]:
        assert name in shown


def text_of(picture: str) -> str:
    root = ElementTree.fromstring(picture)
    return " ".join(element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text"))


@pytest.mark.parametrize(
    "line", ["box a 1 2 3: no height", "arrow a.top: no end", "circle 1 2 3", "box a 1 2 3 4 5 6"]
)
def test_a_line_that_nobody_can_read_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        drawn(f"size 10 10\n{line}", "", "")
