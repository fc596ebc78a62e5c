"""Single faults, each with what came of it: the same scenes show that the right build survives them, and that a broken one does not."""

import random
import signal
import time
from collections.abc import Callable

from tests.faults.invariants import Findings, examine
from tests.faults.points import FAULTS
from tests.faults.rounds import REST_S
from tests.faults.world import World
from tests.processes import until


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


def two_routers(world: World, trades: int, kills: int, draw: random.Random) -> Findings:
    """Two services' routers share the work, and one of them is killed at any moment, again and again."""
    steady = world.start()
    names = [f"T{number}" for number in range(trades)]
    for post in (world.enter, world.leave):
        for trade in names:
            post(trade)
        for _ in range(kills):
            victim = world.start(half="router")
            deadline = time.monotonic() + draw.uniform(0.5, 2.5)
            while time.monotonic() < deadline:
                world.post(most=5)
            victim.kill()
        moving = world.rest(REST_S)
        assert not moving, moving
    found = examine(world, names)
    steady.kill()
    return found
