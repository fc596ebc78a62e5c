"""Builds that are wrong on purpose, or whose clock is: made in a child process, by writing a part's source anew.

A rewriting that no longer finds what it replaces fails, so that a build cannot become a right one unnoticed.
"""

import inspect
import sys
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, tzinfo
from types import ModuleType
from typing import Any

from eventrouter import executor, outcomes, router, sending


def _rewritten(module: ModuleType, name: str, old: str, new: str) -> Any:
    """A function or class of the module as it is once this text of its source is replaced."""
    source = inspect.getsource(module)
    assert source.count(old) == 1, f"{module.__name__} has {source.count(old)} times: {old}"
    names = dict(vars(module))
    exec(compile(source.replace(old, new), str(module.__file__), "exec"), names)
    return names[name]


def _intent_after_sending() -> None:
    """The order leaves while its intent is written and not committed."""
    recorded = "            appended = await claim.record(self._name, entries, decisions.asked)\n"
    sent = f"{recorded}            self._start_sending(decisions.sends, send_until, send_until)\n            await asyncio.sleep(1)\n"
    broken = _rewritten(executor, "Executor", recorded, sent)
    executor.Executor._claim = broken._claim  # type: ignore[method-assign]
    executor.Executor._start_sending = _once(executor.Executor._start_sending)  # type: ignore[method-assign]


def _once(start_sending: Callable[..., None]) -> Callable[..., None]:
    """Leaves out the second call, which is the right build's."""
    calls: list[object] = []

    def start(self: Any, sends: Any, *times: float) -> None:
        calls.append(sends)
        if not any(known is sends for known in calls[:-1]):
            start_sending(self, sends, *times)

    return start


_TIMEOUT = 'return Unknown(Answer(), f"No answer within {within_s:g} s.")'


def _timeout_refused() -> None:
    """An order that is not answered in time counts as refused."""
    said = 'return Rejected(Answer(), f"No answer within {within_s:g} s.")'
    vars(executor)["send_once"] = _rewritten(sending, "send_once", _TIMEOUT, said)


def _timeout_repeated() -> None:
    """An order that is not answered in time counts as not sent, and is sent again."""
    said = 'return NotSent(f"No answer within {within_s:g} s.")'
    vars(executor)["send_once"] = _rewritten(sending, "send_once", _TIMEOUT, said)


def _no_poll() -> None:
    """Looks for work when it is told to, and never by itself."""
    polls = "            async with asyncio.timeout(wait_s):\n                await connection.wake.wait()"
    waits = "            async with asyncio.timeout(None):\n                await connection.wake.wait()"
    broken = _rewritten(router, "ExecutionRouter", polls, waits)
    router.ExecutionRouter._sleep = broken._sleep  # type: ignore[method-assign]


def _no_fence() -> None:
    """An outcome is written to its task however far that has moved on."""
    fenced = "        appended = await store.append(conn, self._name, [entry for entry, _, _ in results])\n"
    states = "{e.task_id: await store.task_state(conn, e.task_id) for e, _, _ in results}"
    unfenced = (
        f"        states = {states}\n"
        "        results = [(replace(e, version=states[e.task_id].version), a, m) for e, a, m in results]\n"
    )
    broken = _rewritten(outcomes, "Outcomes", fenced, unfenced + fenced)
    outcomes.Outcomes._write = broken._write  # type: ignore[method-assign]


def _clock(hours: int) -> Callable[[], None]:
    """This machine's clock is wrong by so much; the database's and the broker's are not."""

    def shift() -> None:
        apart = timedelta(hours=hours)
        now, seconds = datetime.now, time.time

        class AnyDatetime(type):
            def __instancecheck__(cls, value: object) -> bool:
                return isinstance(value, datetime)

        class Shifted(datetime, metaclass=AnyDatetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
                return now(tz) + apart

        time.time = lambda: seconds() + apart.total_seconds()
        for name, module in list(sys.modules.items()):
            if name.startswith("eventrouter") and getattr(module, "datetime", None) is datetime:
                module.datetime = Shifted  # type: ignore[attr-defined]

    return shift


BROKEN: Mapping[str, Callable[[], None]] = {
    "intent committed after sending": _intent_after_sending,
    "timeout taken for a refusal": _timeout_refused,
    "timeout retried at once": _timeout_repeated,
    "notification without poll": _no_poll,
    "completion without fence": _no_fence,
}
BUILDS: Mapping[str, Callable[[], None]] = {
    **BROKEN,
    "clock an hour ahead": _clock(1),
    "clock an hour behind": _clock(-1),
}
"""By name."""
