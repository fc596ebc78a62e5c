"""Which accounts a strategy's signals go to: the published accounts, strategies and routes, as planning sees them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Candidate:
    """An account that may get orders. `version` is that of its published settings."""

    name: str
    enabled: bool = True
    owner: str = ""
    version: int = 0


@dataclass(frozen=True, slots=True)
class Route:
    """Signals of `strategy` (empty: of any) go to `accounts`, sized times `multiplier`.

    `instruments` are roots or patterns such as M* (empty: all), `events` are ENTRY, ADD, REVERSE, … (empty: all).
    """

    name: str
    accounts: tuple[str, ...]
    strategy: str = ""
    instruments: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    multiplier: Decimal = Decimal(1)


@dataclass(frozen=True, slots=True)
class RoutingTable:
    """Everything that planning reads. `chosen`: strategy (case folded) → the only accounts that trade it.

    Without any route, all enabled accounts get every signal.
    """

    accounts: tuple[Candidate, ...]
    routes: tuple[Route, ...] = ()
    chosen: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    version: int = 0
