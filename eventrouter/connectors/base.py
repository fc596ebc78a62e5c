"""What the router asks of a broker's connector."""

from dataclasses import dataclass
from typing import Protocol

from eventrouter.domain.orders import LookUp, Order, Outcome


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a broker can do, as its documentation says.

    `lane_in_one_claim`: several orders of a lane may be taken at once, because none of them can go wrong.
    `most_in_flight`: orders that may wait for this broker's answer at the same time; None: as many as are claimed.
    """

    lane_in_one_claim: bool = False
    most_in_flight: int | None = 8


class Connector(Protocol):
    """Speaks one broker's API. An expected failure is an answer, never an exception."""

    @property
    def capabilities(self) -> Capabilities:
        """What this broker can do."""
        ...

    async def send(self, order: Order) -> Outcome:
        """Sends the order exactly once: no retry, no redirect."""
        ...

    async def look_up(self, account: str, client_order_id: str) -> LookUp:
        """Whether the broker has an order of this id on this account."""
        ...
