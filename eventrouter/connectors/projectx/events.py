"""The hub's events as ours, kept for one reader. Where one cannot be kept or understood there is a Gap instead."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from eventrouter.connectors.projectx.json_values import Unreadable, whole_number
from eventrouter.connectors.projectx.reading import account_of, fill_of, order_of, position_of
from eventrouter.domain.broker import BrokerEvent, Gap, Position

MOST_WAITING = 10_000
_READERS: dict[str, tuple[str, Callable[[Mapping[str, Any], str], BrokerEvent]]] = {
    "GatewayUserAccount": ("id", account_of),
    "GatewayUserOrder": ("accountId", order_of),
    "GatewayUserPosition": ("accountId", position_of),
    "GatewayUserTrade": ("accountId", fill_of),
}
_CHANGES = (None, 0, 1)  # what `action` may be around a position that is held; its numbers are not documented


class Events:
    """A bounded queue. `name_of` gives our name of an account by the broker's id; events of others are dropped."""

    def __init__(self, name_of: Callable[[str], str | None], most: int = MOST_WAITING) -> None:
        self._name_of = name_of
        self._most = most
        self._waiting: deque[BrokerEvent] = deque()
        self._changed = asyncio.Event()
        self._ended = False

    def take(self, target: str, argument: Any) -> None:
        """An event of the hub: `{action, data}` around what is told, or that alone; a list is several."""
        if target not in _READERS:
            return
        for item in argument if isinstance(argument, list) else [argument]:
            try:
                event = self._read(target, item)
            except Unreadable as error:
                event = Gap(f"{target} cannot be read: {error}.")
            if event is not None:
                self.put(event)

    def gap(self, reason: str) -> None:
        """What came before may be incomplete."""
        self.put(Gap(reason))

    def put(self, event: BrokerEvent) -> None:
        """Keeps it; when too many wait they are all given up for one Gap, since a part of them is of no use."""
        if len(self._waiting) >= self._most:
            self._waiting.clear()
            event = Gap(f"More than {self._most} events waited to be read.")
        self._waiting.append(event)
        self._changed.set()

    def begin(self) -> None:
        """More may come again after an end."""
        self._ended = False

    def end(self) -> None:
        """Nothing more will come; the reader gets what waits, then None."""
        self._ended = True
        self._changed.set()

    async def next(self) -> BrokerEvent | None:
        """The next event; None after the end."""
        while not self._waiting:
            if self._ended:
                return None
            self._changed.clear()
            await self._changed.wait()
        return self._waiting.popleft()

    def _read(self, target: str, item: Any) -> BrokerEvent | None:
        action = None
        if isinstance(item, dict) and isinstance(item.get("data"), dict):
            action, item = item.get("action"), item["data"]
        if not isinstance(item, dict):
            raise Unreadable("it is not an object")
        id_field, reader = _READERS[target]
        name = self._name_of(str(whole_number(item, id_field)))
        event = None if name is None else reader(item, name)
        if isinstance(event, Position) and event.quantity and action not in _CHANGES:
            return Gap("A position was reported in a way that is not documented; it may have ended.")
        return event
