"""Single faults, each with what came of it: the same scenes show that the right build survives them, and that a broken one does not."""

import random
import signal
import time
from collections.abc import Callable

from tests.faults.invariants import Findings, examine
from tests.faults.points import FAULTS
from tests.faults.rounds import REST_S
from tests.faults.world import LEASE_S, World
from tests.processes import until

FREEZES_AT = ("order.accepted", "outcomes.commit.before", "lookup.before", "fills.commit.before")
"""Points behind the intent where a router may stand still."""
_UNDECIDED = "SELECT id, status FROM execution_tasks WHERE status IN ('SENDING', 'UNKNOWN') AND last_attempt_at < %s"
_FREEZES = 0.3  # of the faults; the others are kills


def rested(world: World, *trades: str) -> Findings:
    """Brings everything to rest with a service that does not die, and looks at it."""
    service = world.start()
    moving = world.rest(REST_S)
    found = examine(world, trades)
    found.lost += [f"still on its way after {REST_S:g} s: {row}" for row in moving]
    service.kill()
    return found


def killed_once_the_broker_has_it(world: World) -> Findings:
    """Dies with the broker's answer on its way: only what was committed before the order left says that there is one."""
    victim = world.start("order.accepted")
    world.enter("T1")
    world.post_until(lambda: victim.ended(0.05), "the kill")
    assert victim.status == -signal.SIGKILL
    return rested(world, "T1")


def an_answer_that_comes_too_late(world: World) -> Findings:
    """The broker executes the order, and answers after the lease has ended."""
    service = world.start()
    until(lambda: "listener_up" in service.log.read_text(), what="the service")
    world.arm("stall", when="after", seconds=3.0)
    world.enter("T1")
    moving = world.rest(REST_S)
    found = examine(world, ["T1"])
    found.lost += [f"still on its way after {REST_S:g} s: {row}" for row in moving]
    service.kill()
    return found


def frozen_between_intent_and_send(world: World) -> Findings:
    """Stands still with its intent committed; another one recovers it and sends; then the first one goes on."""
    frozen = world.start("claim.commit.after=stop")
    world.enter("T1")
    world.post_until(lambda: not world.alerts and frozen.stopped, "a frozen router")
    if world.unique:  # its answer hangs while the frozen one thaws
        world.arm("stall", when="after")
    other = world.start(half="router", lease_s=30)
    sent_again = "SELECT id FROM execution_logs WHERE status = 'SENDING' AND prev_status = 'PENDING' AND attempt = 2"
    if world.unique:
        until(lambda: any(each["stalled"] for each in world.control("faults")), what="a second attempt at the broker")
        assert world.rows(sent_again)
    else:
        until(lambda: world.rows("SELECT id FROM execution_tasks WHERE status = 'REVIEW'"), what="a review")
    frozen.send(signal.SIGCONT)
    late = "SELECT id FROM execution_logs WHERE reason IN ('LATE_ANSWER', 'NOT_SENT')"
    until(lambda: world.rows(late), what="what the first one says")
    world.disarm()
    other.kill()
    frozen.kill()
    return rested(world, "T1")


def frozen_at(world: World, point: str) -> Findings:
    """Stands still at a point behind the intent; another router finds out what became of the order; then the first one goes on."""
    frozen = world.start(f"{point}=stop")
    if point.startswith("lookup."):
        world.arm("drop", when="after")
    world.enter("T1")
    world.post_until(lambda: not world.alerts and frozen.stopped, "a frozen router")
    other = world.start(half="router")
    known = "SELECT id FROM execution_tasks WHERE status IN ('SUCCESS', 'REVIEW')"
    until(lambda: world.rows(known), within_s=REST_S, what="what became of the order")
    frozen.send(signal.SIGCONT)
    world.enter("T2")  # the first one has the webhook, so it goes on once this is answered
    world.post_until(lambda: not world.alerts and not world.moving(), "the next alert's end")
    other.kill()
    frozen.kill()
    return rested(world, "T1", "T2")


def a_deaf_listener(world: World) -> Findings:
    """Notifications are lost: the poll finds the task all the same."""
    service = world.start(half="router")
    until(lambda: "listener_up" in service.log.read_text(), what="the listener")
    time.sleep(2.0)  # what a start wakes has come to rest
    payload = '{"symbol": "MNQ1!", "quantity": "1", "direction": "LONG"}'
    world.rows("SELECT enqueue_execution_task('T1', 'ENTRY', %s::JSONB, 'a0')", payload)
    found = Findings()
    moving = world.rest(8.0)
    found.lost += [f"still on its way after 8 s: {row}" for row in moving]
    service.kill()
    return found


def broker_faults(world: World) -> Findings:
    """Every fault of the broker's that leaves possible what was asked for, on an entry and on its exit."""
    service = world.start()
    until(lambda: "listener_up" in service.log.read_text(), what="the service")
    trades = [f"T{number}" for number in range(len(FAULTS))]
    for post in (world.enter, world.leave):
        for trade, (fault, more) in zip(trades, FAULTS, strict=True):
            world.arm(fault, **more)
            post(trade)
            world.post_until(lambda: not world.alerts, "the alert's answer")
        moving = world.rest(REST_S)
        assert not moving, moving
    found = examine(world, trades)
    service.kill()
    return found


def database_restarts(world: World, restart: Callable[[], None], times: int) -> Findings:
    """Postgres dies again and again while alerts come in."""
    service = world.start(lease_s=5)
    until(lambda: "listener_up" in service.log.read_text(), what="the service")
    trades = [f"T{number}" for number in range(10 * times)]
    for number, trade in enumerate(trades):
        world.enter(trade)
        world.post()
        if number % 10 == 9:
            restart()
    service.kill()
    return rested(world, *trades)


def two_routers(world: World, trades: int, faults: int, draw: random.Random) -> tuple[Findings, float]:
    """Two routers share the work; so often one of them, or both, are killed or stand still for longer than a lease.

    What was found, and seconds from the last fault until nothing moved any more.
    """
    web = world.start(half="ingress")
    routers = [world.start(half="router"), world.start(half="router")]
    names = [f"T{number}" for number in range(trades)]
    found, slowest_s = Findings(), 0.0
    for post in (world.enter, world.leave):
        for trade in names:
            post(trade)
        each = max(1, trades // faults)
        for _ in range(faults):
            _work_a_while(world, draw.uniform(0.2, 1.5), each)
            for victim in draw.choice(([0], [1], [0, 1])):
                if draw.random() < _FREEZES:
                    routers[victim].send(signal.SIGSTOP)
                    _work_a_while(world, draw.uniform(0.5, 2.0) * LEASE_S, each)
                    routers[victim].send(signal.SIGCONT)
                else:
                    routers[victim].kill()
                    routers[victim] = world.start(half="router")
        world.post_until(lambda: not world.alerts, "all alerts' answers")
        last = world.rows("SELECT clock_timestamp() AS at")[0]["at"]
        began = time.monotonic()
        undecided = world.rest(REST_S) and world.rows(_UNDECIDED, last)
        found.lost += [f"not decided {REST_S:g} s after the last fault: {row}" for row in undecided]
        # what had not been sent by then waits in line, one order after the other
        found.lost += [f"still on its way: {row}" for row in world.rest(10 * REST_S)]
        slowest_s = max(slowest_s, time.monotonic() - began)
    seen = examine(world, names)
    seen.lost += found.lost
    for process in (web, *routers):
        process.kill()
    return seen, slowest_s


def _work_a_while(world: World, seconds: float, most: int) -> None:
    deadline = time.monotonic() + seconds
    world.post(most=most)
    while time.monotonic() < deadline:
        world.review()
        time.sleep(0.05)
