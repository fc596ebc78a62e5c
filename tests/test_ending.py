"""Tasks that are ended: also one that loses its cancellation."""

import asyncio
from contextlib import suppress

import pytest

from eventrouter import ending


async def test_a_task_that_loses_a_cancellation_is_cancelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the wait for a pool's connection may, until Python 3.12."""
    monkeypatch.setattr(ending, "_AGAIN_S", 0.01)
    lost = asyncio.Event()

    async def loses_one() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        lost.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(loses_one())
    await asyncio.sleep(0)
    await ending.ended([task])
    assert lost.is_set()
    assert task.cancelled()


async def test_what_a_task_ended_with_is_not_raised() -> None:
    """A fault while stopping keeps nothing else from being stopped."""

    async def fails() -> None:
        raise RuntimeError

    await ending.ended([asyncio.create_task(fails()), asyncio.create_task(asyncio.Event().wait())])
    await ending.ended([])
