"""Keeps a broker that cannot be reached from costing orders their attempts. Pure: times are seconds of a clock that only grows.

Closed: everything goes out. Open, after failures in a row: entries wait, and what closes goes out one by one. When the pause is
over one order goes out as a probe: an answer closes the circuit, another failure makes the next pause longer.
"""

from dataclasses import dataclass, replace

TRIPS_AFTER = 5
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
EXIT_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class Allowance:
    """What may be sent now: whether entries may, and how many orders at most (None: any number).

    `again_s`: seconds until more may be sent without anything else happening; None: nothing is held back, or a probe is out.
    """

    entries: bool = True
    sends: int | None = None
    again_s: float | None = None


@dataclass(frozen=True, slots=True)
class Circuit:
    """`failures` in a row; `until`: when the pause ends, None while closed; `pauses` since it opened; `probing`: an order is out
    whose fate decides; `exits_from`: when the next one that closes may go out; `why`: the latest failure.
    """

    failures: int = 0
    until: float | None = None
    pauses: int = 0
    probing: bool = False
    exits_from: float = float("-inf")
    why: str = ""

    @property
    def is_open(self) -> bool:
        """Whether entries wait, or one of them is out as a probe."""
        return self.until is not None

    @property
    def said(self) -> str:
        """ "closed", or why entries wait."""
        return f"open: entries wait, since the broker does not answer. {self.why}" if self.is_open else "closed"

    def allowance(self, now: float) -> Allowance:
        """What may be sent now."""
        if self.until is None:
            return Allowance()
        if now >= self.until and not self.probing:
            return Allowance(entries=True, sends=1)
        waits_s = [] if self.probing else [self.until - now]
        if now < self.exits_from:
            return Allowance(entries=False, sends=0, again_s=min([*waits_s, self.exits_from - now]))
        return Allowance(entries=False, sends=1, again_s=min(waits_s, default=None))

    def sent(self, now: float, orders: int) -> "Circuit":
        """So many orders are on their way. Once the pause is over the first of them is the probe."""
        if self.until is None or orders == 0:
            return self
        return replace(self, probing=self.probing or now >= self.until, exits_from=now + orders * EXIT_EVERY_S)

    def failed(self, now: float, why: str, jitter: float, retry_after_s: float | None = None) -> "Circuit":
        """An order certainly did not reach the broker, or a look-up got no answer. `jitter` in [0, 1) spreads the probes."""
        counted = replace(self, failures=self.failures + 1, why=why)
        if counted.failures < TRIPS_AFTER and not self.is_open:
            return counted
        if self.until is not None and not self.probing and now < self.until:
            return counted  # an exit or a look-up during the pause tells nothing new
        return _paused(counted, now, jitter, retry_after_s)

    def unclear(self, now: float, jitter: float) -> "Circuit":
        """What became of an order tells nothing about the broker. A probe is tried again after a pause."""
        return _paused(self, now, jitter) if self.probing else self

    def answered(self) -> "Circuit":
        """The broker answered: the circuit is closed."""
        return Circuit()


def _paused(circuit: Circuit, now: float, jitter: float, retry_after_s: float | None = None) -> Circuit:
    full_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(circuit.pauses, 30))
    pause_s = max(full_s * (0.5 + jitter / 2), retry_after_s or 0.0)
    return replace(circuit, until=now + pause_s, pauses=circuit.pauses + 1, probing=False)
