"""Places where a test may stop or kill this process: `EVENTROUTER_FAILPOINT=name[:nth][=kill|stop|raise]`.

For tests of crashes only. Without the variable, which is read once, `hit` does nothing.
"""

import os
import signal
import sys
from dataclasses import dataclass

VARIABLE = "EVENTROUTER_FAILPOINT"
ACTIONS = ("kill", "stop", "raise")
POINTS = (
    "ingest.commit.before",  # signal and tasks are written, and not committed
    "ingest.commit.after",  # they are, and the sender of the alert has no answer
    "claim.commit.before",  # the intents are written, and not committed
    "claim.commit.after",  # they are, and nothing has left
    "order.before",  # the order is with the connector
    "order.connect",  # the connection to the broker is about to be made: the last place where nothing has left
    "order.sent",  # the bytes are with the operating system
    "order.accepted",  # the broker has answered, and the answer is not read
    "cancel.connect",  # the same for a working order that is to be withdrawn
    "cancel.accepted",
    "cancel.commit.before",  # the broker's answer to that is written, and not committed
    "cancel.commit.after",
    "outcomes.commit.before",  # what became of orders
    "outcomes.commit.after",
    "fills.commit.before",  # what the broker reports of orders and fills
    "fills.commit.after",
    "lookup.before",  # the broker is about to be asked what became of an order
    "lookup.commit.before",  # its answer, or the end of a lease, is written, and not committed
    "lookup.commit.after",
)


class FailpointHit(RuntimeError):
    """What the action `raise` raises."""


@dataclass
class _Armed:
    """The one point that is armed; `left` counts down to the time that is meant."""

    name: str
    action: str
    left: int

    def hit(self, name: str) -> None:
        if name != self.name:
            return
        self.left -= 1
        if self.left != 0:
            return
        if self.action == "raise":
            raise FailpointHit(name)
        os.kill(os.getpid(), signal.SIGKILL if self.action == "kill" else signal.SIGSTOP)


def _armed(text: str) -> _Armed | None:
    """What the variable says. Exits with status 2 where it says nothing that can be done: a test must not run unarmed."""
    if not text:
        return None
    rest, _, action = text.partition("=")
    name, _, nth = rest.partition(":")
    action, nth = action or "kill", nth or "1"
    if name not in POINTS or action not in ACTIONS or not nth.isdecimal() or int(nth) < 1:
        said = f"{VARIABLE}={text!r} is no name[:nth][=action]. Unset it, or use one of these names: {', '.join(POINTS)}; and actions: {', '.join(ACTIONS)}."
        print(f"eventrouter: {said}", file=sys.stderr)  # noqa: T201 - before there are logs
        sys.exit(2)
    print(f"eventrouter: {VARIABLE} is set: this process will {action} at {name}.", file=sys.stderr)  # noqa: T201
    return _Armed(name, action, int(nth))


ARMED = _armed(os.environ.get(VARIABLE, ""))


def hit(name: str) -> None:
    """Does what is armed for this point."""
    if ARMED is not None:
        ARMED.hit(name)
