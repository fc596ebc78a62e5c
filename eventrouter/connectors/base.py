"""What the router asks of a broker's connector."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from pydantic import SecretStr

from eventrouter.domain.broker import BrokerAccount, BrokerEvent, BrokerOrder, Change, Contract, Fill, Position, Price
from eventrouter.domain.orders import LookUp, Order, Outcome


@dataclass(frozen=True, slots=True)
class CredentialField:
    """One thing that a connector's credentials hold. `secret`: it is shown nowhere, and asked for without echo."""

    name: str
    prompt: str
    secret: bool = True


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """What a connector is made of: one login. `accounts`: our names → the broker's names or ids.

    `secret` has what its credential fields name. `url` and `hub_url` are empty for the broker's own addresses.
    """

    name: str
    accounts: Mapping[str, str] = field(default_factory=dict)
    secret: Mapping[str, SecretStr] = field(default_factory=dict, repr=False)
    url: str = ""
    hub_url: str = ""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a broker can do, as its documentation says.

    `lane_in_one_claim`: several orders of a lane may be taken at once, because none of them can go wrong.
    `most_in_flight`: orders that may wait for this broker's answer at the same time; None: as many as are claimed.
    `refuses_repeated_ids`: a second order of the same client order id is refused, so an unknown one may be sent again.
    `finds_closed_orders`: a look-up by client order id also finds orders that are done.
    `lists_ids`: orders that it lists carry their client order ids.
    `shows_only_positions`: it lists no orders at all; only positions tell what became of one.
    `attaches_brackets`: a stop loss and a take profit go out with the entry, in one call.
    """

    lane_in_one_claim: bool = False
    most_in_flight: int | None = 8
    refuses_repeated_ids: bool = False
    finds_closed_orders: bool = False
    lists_ids: bool = False
    shows_only_positions: bool = False
    attaches_brackets: bool = False


class Connector(Protocol):
    """Speaks one broker's API for the accounts of one login.

    What changes something (`send`, `cancel`, `modify`, `close_position`) is asked exactly once, without a retry or redirect,
    and answers an Outcome: an expected failure is never an exception. What only reads raises BrokerUnavailable or
    BrokerRefused. Accounts are given and named as in our configuration, contracts by the broker's id.
    """

    @property
    def capabilities(self) -> Capabilities:
        """What this broker can do."""
        ...

    async def open(self) -> None:
        """Gets ready without asking the broker anything, so that a dead one stops nobody. Idempotent."""
        ...

    async def close(self) -> None:
        """Ends connections and the iterators of `events`. Idempotent."""
        ...

    async def send(self, order: Order, *, repeated: bool = False) -> Outcome:
        """Sends an order that opens, closes or reduces.

        `repeated`: an earlier attempt with this id may have reached the broker. Then a refusal that may mean "this id was
        used" is Unknown, and only a look-up tells.
        """
        ...

    async def look_up(self, account: str, client_order_id: str, since: datetime | None = None) -> LookUp:
        """The order of this id among those that are not older than `since`, the first intent (None: the last day).

        What is found carries its `order`; compare account, contract, side, quantity and time before adopting it.
        `answer.detail["orders"]` lists all ids found: more than one means that it was executed more than once.
        """
        ...

    async def cancel(self, account: str, order_id: str) -> Outcome:
        """Withdraws a working order. Rejected also when there is none any more, because it filled or was gone."""
        ...

    async def modify(self, account: str, order_id: str, change: Change) -> Outcome:
        """Changes a working order: a stop's or target's price, or a quantity."""
        ...

    async def close_position(self, account: str, contract: str, quantity: Decimal | None = None) -> Outcome:
        """Closes what is held, or `quantity` of it, never more. Accepted and done when nothing was held.

        Carries no client order id: an unknown outcome is resolved by reading the position.
        """
        ...

    async def positions(self, account: str) -> Sequence[Position]:
        """What the account holds; contracts that it does not hold are missing."""
        ...

    async def orders(self, account: str, since: datetime | None = None) -> Sequence[BrokerOrder]:
        """Orders that were created since then, or, without `since`, those that work now."""
        ...

    async def fills(self, account: str, since: datetime) -> Sequence[Fill]:
        """Executions since then, the oldest first."""
        ...

    async def accounts(self) -> Sequence[BrokerAccount]:
        """All accounts of this login."""
        ...

    async def contract(self, symbol: str) -> Contract | None:
        """The contract behind MNQZ6, MNQZ2026, MNQ 12-26 or the broker's id; the current one for MNQ1! and MNQ.

        None when no contract, or more than one, fits.
        """
        ...

    async def price(self, contract: str) -> Price | None:
        """The last known price of a contract (the broker's id); None where the broker tells none."""
        ...

    def events(self) -> AsyncIterator[BrokerEvent]:
        """What the broker reports, beginning with a Gap, until `close`; for one reader at a time."""
        ...
