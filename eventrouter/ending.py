"""Ends asyncio tasks for sure."""

import asyncio
from collections.abc import Iterable
from typing import Any

_AGAIN_S = 2.0


async def ended(tasks: Iterable["asyncio.Task[Any]"]) -> None:
    """Cancels tasks and returns once all have ended, whatever they ended with.

    Until Python 3.12 `asyncio.wait_for`, and with it the wait for a pool's connection, loses a cancellation that comes in the
    moment of its wake. The task would then run on for ever, so it is cancelled again, after long enough for it to clean up.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        done, pending = await asyncio.wait(pending, timeout=_AGAIN_S)
        for task in done:
            if not task.cancelled():
                task.exception()  # looked at, so that nobody complains of an error that nobody waits for
