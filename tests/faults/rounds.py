"""Kills and restarts, then rest, then the invariants."""

import itertools
import random
import time
from dataclasses import dataclass, field

from tests.faults.invariants import Findings, examine
from tests.faults.nursery import Child
from tests.faults.points import Point
from tests.faults.world import World

REST_S = 60.0
"""Seconds after the last fault within which nothing may be in SENDING or UNKNOWN any more."""
_REACHED_S = 20.0
_trades = itertools.count(1)


@dataclass
class Result:
    """A line of the table. `missed`: kills at the end of a run that never came to the point."""

    name: str
    capability: str
    runs: int = 0
    missed: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    stuck: int = 0
    reviewed: int = 0
    slowest_rest_s: float = 0.0
    faults: list[str] = field(default_factory=list)

    def count(self, found: Findings) -> None:
        """Adds what was found after a round."""
        self.lost += len(found.lost)
        self.doubled += len(found.doubled)
        self.wrong += len(found.wrong)
        self.reviewed += found.reviewed
        self.faults += found.faults

    def add(self, other: "Result") -> None:
        """Adds another round's."""
        for name in ("runs", "missed", "lost", "doubled", "wrong", "stuck", "reviewed"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.slowest_rest_s = max(self.slowest_rest_s, other.slowest_rest_s)
        self.faults += other.faults


def capability(world: World) -> str:
    """The broker's, in the table's words."""
    return "unique tags" if world.unique else "repeated tags"


def round_of(world: World, point: Point, kills: int, draw: random.Random) -> Result:
    """So many kills while entries are on their way, rest, as many while exits are, rest; then everything is looked at."""
    result = Result(str(point), capability(world))
    trades = [f"T{next(_trades)}" for _ in range(kills)]
    for number, trade in enumerate(trades):
        world.enter(trade, brackets=not point.entries or number % 2 == 0)
        if point.entries:
            _cycle(world, point, draw, result)
    _settle(world, result)
    for trade in trades:
        world.leave(trade)
        if point.exits:
            _cycle(world, point, draw, result)
    _settle(world, result, trades)
    return result


def _cycle(world: World, point: Point, draw: random.Random, result: Result) -> None:
    """Starts a service, has it die, and counts that."""
    for fault, more in point.trouble:
        world.arm(fault, **more)
    result.runs += 1
    if not point.name:
        victim = world.start()
        _work(world, victim, draw.uniform(0.2, 2.0))
        victim.kill()
        return
    victim = world.start(f"{point.name}:{draw.choice((1, 1, 2))}")
    if not _work(world, victim, _REACHED_S):
        result.missed += 1
        victim.kill()


def _work(world: World, victim: Child, within_s: float) -> bool:
    """Posts alerts to it until it is dead, or has nothing to do any more; True for dead."""
    deadline = time.monotonic() + within_s
    while not victim.ended(0.03):
        world.post()
        world.review()
        idle = not world.alerts and not world.moving()
        if (idle and not victim.ended(0.3)) or time.monotonic() > deadline:
            return victim.ended()
    assert victim.status == -9, f"{victim.log}: it ended by itself, with {victim.status}"
    return True


def _settle(world: World, result: Result, trades: list[str] | None = None) -> None:
    """A service that does not die brings everything to rest; with `trades`, they are looked at then."""
    world.disarm()
    began = time.monotonic()
    service = world.start()
    moving = world.rest(REST_S)
    result.slowest_rest_s = max(result.slowest_rest_s, time.monotonic() - began)
    if moving:
        result.stuck += len(moving)
        result.faults.append(f"{result.name}: still on its way after {REST_S:g} s: {moving}")
    if trades is not None:
        result.count(examine(world, trades))
    service.kill()
