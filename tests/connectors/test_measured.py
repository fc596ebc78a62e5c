"""Every call to a broker is counted by how it ended, and changes nothing."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from eventrouter.connectors.base import Connector
from eventrouter.connectors.measured import Measured
from eventrouter.domain.orders import Absent, Accepted, Answer, NotSent, Rejected, Unknown
from eventrouter.errors import BrokerRefused, BrokerUnavailable
from eventrouter.metrics import Metrics

ENDS: dict[str, Any] = {
    "accepted": Accepted(Answer(), done=True),
    "rejected": Rejected(Answer(), "no"),
    "not_sent": NotSent("no way"),
    "unknown": Unknown(Answer(), "?"),
    "absent": Absent(proven=False, message="no such order"),
    "ok": [],
    "refused": BrokerRefused("wrong key"),
    "unavailable": BrokerUnavailable("away"),
    "no_answer": asyncio.CancelledError(),
    "error": ValueError("a bug"),
}
CALLS: dict[str, Callable[[Any], Any]] = {
    "send": lambda c: c.send(None, repeated=True),
    "look_up": lambda c: c.look_up("a", "id", None),
    "cancel": lambda c: c.cancel("a", "1"),
    "modify": lambda c: c.modify("a", "1", None),
    "close_position": lambda c: c.close_position("a", "MNQ", None),
    "positions": lambda c: c.positions("a"),
    "orders": lambda c: c.orders("a", None),
    "fills": lambda c: c.fills("a", None),
    "accounts": lambda c: c.accounts(),
    "contract": lambda c: c.contract("MNQ"),
    "price": lambda c: c.price("MNQ"),
}


class Ends:
    """Every call ends in the same way; `asked` is what was asked."""

    def __init__(self, end: Any) -> None:
        self._end = end
        self.asked: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        async def call(*given: Any, **named: Any) -> Any:
            self.asked.append((name, given, named))
            if isinstance(self._end, BaseException):
                raise self._end
            return self._end

        return call


@pytest.mark.parametrize("outcome", ENDS)
@pytest.mark.parametrize("operation", CALLS)
async def test_a_call_is_passed_on_and_counted(operation: str, outcome: str) -> None:
    """The same question inside and the same answer outside, once, and one count of each kind."""
    metrics, bare, inner = Metrics(), Ends(ENDS[outcome]), Ends(ENDS[outcome])
    wrapped = Measured("x", cast("Connector", inner), metrics)
    for each in (bare, wrapped):
        answers = await asyncio.gather(CALLS[operation](each), return_exceptions=True)
        assert answers[0] is ENDS[outcome] or type(answers[0]) is type(ENDS[outcome])
    assert inner.asked == bare.asked
    text = metrics.render().decode()
    assert f'eventrouter_broker_calls_total{{connector="x",operation="{operation}",outcome="{outcome}"}} 1.0' in text
    assert f'eventrouter_broker_call_seconds_count{{connector="x",operation="{operation}"}} 1.0' in text


def test_nothing_of_a_connector_is_left_out() -> None:
    """Whatever the router may ask of a connector, the measured one has."""
    asked = {name for name in vars(Connector) if not name.startswith("_")}
    assert asked <= set(vars(Measured))
    assert asked - set(CALLS) == {"capabilities", "open", "close", "events"}
