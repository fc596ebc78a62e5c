"""Which accounts a strategy's signals go to: the published accounts, strategies and routes, as planning sees them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fnmatch import fnmatchcase

from eventrouter.domain.symbols import root_of


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

    `instruments` are roots or patterns such as M* (empty: all), `events` are ENTRY, ADD, EXIT, … (empty: all).
    """

    name: str
    accounts: tuple[str, ...]
    strategy: str = ""
    instruments: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    multiplier: Decimal = Decimal(1)

    def takes_strategy(self, strategy: str) -> bool:
        """Whether it is for signals of this strategy; upper and lower case count as the same."""
        return not self.strategy or self.strategy.casefold() == strategy.casefold()

    def takes_root(self, root: str | None) -> bool:
        """Whether it is for this instrument root; where none is named, only a route for all instruments is."""
        return not self.instruments or (root is not None and any(_fits(root, each) for each in self.instruments))

    def takes_event(self, event_type: str) -> bool:
        """Whether it is for this event. EXIT stands for EXIT_SL and every other exit, ENTRY also for what a REVERSE opens."""
        wanted = {event_type}
        if event_type == "REVERSE":
            wanted.add("ENTRY")
        elif event_type.startswith("EXIT"):
            wanted |= {"EXIT", event_type.removeprefix("EXIT_")}
        return not self.events or any(event.upper() in wanted for event in self.events)


@dataclass(frozen=True, slots=True)
class RoutingTable:
    """Everything that planning reads. `chosen`: strategy (case folded) → the only accounts that trade it.

    Without any route, all enabled accounts get every signal. `max_ages`: strategy (case folded) → the seconds after which
    what opens is too old (None: never).
    """

    accounts: tuple[Candidate, ...]
    routes: tuple[Route, ...] = ()
    chosen: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    version: int = 0
    max_ages: Mapping[str, float | None] = field(default_factory=dict)


def _fits(root: str, wanted: str) -> bool:
    """Whether a root is meant: by a pattern of it, or by a symbol of its product."""
    return fnmatchcase(root, wanted.strip().upper()) or root_of(wanted) == root
