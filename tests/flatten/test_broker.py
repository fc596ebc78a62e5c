"""Flattening at a broker that speaks ProjectX: what works is cancelled, what is held is closed, and the proof is read there."""

import asyncio
from typing import Any

import pytest

from eventrouter.domain.book import out_of_sync
from eventrouter.domain.tasks import Status
from eventrouter.store import controls
from eventrouter.store.books import append_event, read_books
from eventrouter.store.connect import Database
from eventrouter.store.tasks import trade_facts
from tests.flatten.conftest import Desk
from tests.processes import until_async
from tests.router.book import enqueue, move
from tests.router.holding import show
from tests.simulator.client import LIMIT, MNQ, NQ, SELL, until_stalled


async def test_everything_is_cancelled_and_closed(desk: Desk) -> None:
    """Working orders, a bracket's too, are cancelled and positions of both sides closed; each answer is in the log."""
    broker = desk.rig.control
    await broker.placed(2)
    await broker.placed(1, SELL, contractId=NQ)
    far = await broker.placed(1, kind=LIMIT, limitPrice=20_000)
    await desk.start()
    control = await desk.flatten()
    proof = await desk.reaches("FLAT")
    assert await desk.is_flat()
    assert await desk.kinds() == ["FLATTEN_STARTED", "FLATTEN_STEP", "FLAT"]
    (_, started, said), (_, step, _), _ = await desk.log()
    assert (started["control"], started["reason"], "cli:tester" in said) == (control.id, "a test", True)
    assert [(each["order"], each["side"], each["outcome"]) for each in step["cancelled"]] == [
        (str(far), "BUY", "accepted")
    ]
    assert {(each["contract"], each["quantity"]) for each in step["closed"]} == {(MNQ, "2"), (NQ, "-1")}
    assert proof == {"control": control.id, "scope": "all", "held": [], "working": [], "unresolved": []}


async def test_only_the_account_asked_for(desk: Desk) -> None:
    """An account's flattening touches no other account."""
    broker = desk.rig.control
    await broker.placed(1)
    await broker.placed(1, accountId=102)
    await desk.start(None, "one", "two")
    await desk.flatten("account:one")
    await desk.reaches("FLAT")
    assert await desk.is_flat(101)
    assert not await desk.is_flat(102)
    assert await desk.kinds("two") == []


async def test_two_routers_do_it_once(desk: Desk) -> None:
    """Two flatteners of one account send one close; an account that is short afterwards would be the sign of two."""
    await desk.rig.control.placed(3)
    stalled = await desk.rig.control.arm("stall", endpoint="Position/closeContract")
    await desk.start()
    await desk.start(name="router-b")
    await desk.flatten()
    await until_stalled(desk.rig.control, stalled)
    await asyncio.gather(*(asyncio.sleep(0) for _ in range(200)))
    await desk.rig.control.control(f"faults/{stalled}/release", {})
    await desk.reaches("FLAT")
    assert await desk.is_flat()
    requests = await desk.rig.control.control("requests")
    assert requests["Position/closeContract"] == 1
    assert (await desk.kinds()).count("FLAT") == 1


async def test_what_is_being_sent_is_waited_for(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """While an order is on its way the broker is not even asked, and what it opened is closed after it."""
    looks = 0
    undecided = controls.undecided

    async def counted(*arguments: Any) -> list[controls.UndecidedTask]:
        nonlocal looks
        looks += 1
        return await undecided(*arguments)

    async def looked() -> bool:
        return looks >= 3 or "FLAT" in await desk.kinds()

    monkeypatch.setattr(controls, "undecided", counted)
    await desk.rig.control.placed(1)
    task = await enqueue(desk.db, "t", account="one", symbol="MNQ", mode="live")
    await move(desk.db, task, Status.SENDING)
    await desk.start(lease_s=60.0)
    await desk.flatten()
    await until_async(looked, what="three looks at what is on its way")
    assert await desk.kinds() == ["FLATTEN_STARTED", "FLATTEN_WAITS"]
    ((_, _, message),) = [row for row in await desk.log() if row[0] == "FLATTEN_WAITS"]
    assert f"task {task}, which by-hand is sending, until" in message
    assert "Position/searchOpen" not in await asked(desk)
    await desk.rig.control.placed(1)  # it arrives
    await move(desk.db, task, Status.ACCEPTED)
    await desk.reaches("FLAT")
    assert await desk.is_flat()


async def test_an_order_that_the_broker_has_shown_is_not_waited_for(desk: Desk) -> None:
    """Its sender is gone and its lease has not ended: what it opened is closed all the same."""
    order = await desk.rig.control.placed(1)
    task = await enqueue(desk.db, "t", account="one", symbol="MNQ", mode="live")
    await move(desk.db, task, Status.SENDING)
    await show(desk.db, task, str(order), "entry", account="one", state="FILLED", filled=1)
    await desk.start(lease_s=3600.0)
    await desk.flatten()
    assert (await desk.reaches("FLAT"))["unresolved"] == [task]
    assert "FLATTEN_WAITS" not in await desk.kinds()
    assert await desk.is_flat()


async def asked(desk: Desk) -> set[str]:
    """The endpoints that the flattener's login asked, apart from this test's own client."""
    return {name for name, times in (await desk.rig.control.control("requests")).items() if times}


async def test_it_is_verified_again_when_an_unknown_outcome_resolves(desk: Desk) -> None:
    """An order that nobody knows of stays a doubt in the proof; once it is found, what it opened is closed too."""
    task = await enqueue(desk.db, "t", account="one", symbol="MNQ", mode="live")
    await move(desk.db, task, Status.SENDING, Status.UNKNOWN)
    await desk.start()
    await desk.flatten()
    assert (await desk.reaches("FLAT"))["unresolved"] == [task]
    await desk.rig.control.placed(1)  # it was there all the time, and filled late
    await move(desk.db, task, Status.ACCEPTED)
    assert (await desk.reaches("FLAT", times=2))["unresolved"] == []
    assert await desk.is_flat()


async def test_an_order_that_appears_late(desk: Desk) -> None:
    """An order that searches hide is cancelled as soon as its task is known to be working."""
    hidden = await desk.rig.control.arm("hide")
    order = await desk.rig.control.placed(1, kind=LIMIT, limitPrice=20_000)
    task = await enqueue(desk.db, "t", account="one", symbol="MNQ", mode="live")
    await move(desk.db, task, Status.SENDING, Status.UNKNOWN)
    await desk.start()
    await desk.flatten()
    await desk.reaches("FLAT")
    await desk.rig.control.control(f"faults/{hidden}/release", {})
    assert [each["id"] for each in await desk.rig.control.working()] == [order]
    await move(desk.db, task, Status.ACCEPTED)
    await desk.reaches("FLAT", times=2)
    assert await desk.is_flat()


async def test_a_close_that_fills_in_parts(desk: Desk) -> None:
    """What a close leaves over is cancelled and closed again until nothing is left, and never more."""
    await desk.rig.control.placed(3)
    await desk.rig.control.arm("partial", endpoint="Position/closeContract", contracts=1)
    await desk.start()
    await desk.flatten()
    await desk.reaches("FLAT")
    assert await desk.is_flat()
    steps = [detail for kind, detail, _ in await desk.log() if kind == "FLATTEN_STEP"]
    assert [each["quantity"] for step in steps for each in step["closed"]] == ["3", "2"]
    assert await net_of_all_fills(desk) == 0


FAULTS: list[tuple[str, dict[str, Any]]] = [
    ("unanswered", {"fault": "drop", "when": "after"}),
    ("unanswered", {"fault": "http", "when": "after"}),
    ("unanswered", {"fault": "drop", "when": "before"}),
    ("unanswered", {"fault": "cut"}),
    ("refused", {"fault": "refuse", "code": 6, "when": "after"}),
    ("refused", {"fault": "refuse", "code": 5}),
]


@pytest.mark.parametrize(
    ("said", "fault"), FAULTS, ids=lambda each: "-".join(map(str, each.values())) if isinstance(each, dict) else ""
)
async def test_a_close_without_a_good_answer(desk: Desk, said: str, fault: dict[str, Any]) -> None:
    """The answer is in the log, the position is read again before anything is repeated, and the account never turns."""
    await desk.rig.control.placed(2)
    await desk.rig.control.arm(fault.pop("fault"), endpoint="Position/closeContract", **fault)
    await desk.start()
    await desk.flatten()
    await desk.reaches("FLAT")
    assert await desk.is_flat()
    assert await net_of_all_fills(desk) == 0
    first = next(detail for kind, detail, _ in await desk.log() if kind == "FLATTEN_STEP")
    assert said in first["closed"][0]["outcome"] or fault.get("code") == 6
    sides = {each["side"] for each in await desk.rig.control.trades() if each["profitAndLoss"] is None}
    assert sides == {0}, "something was opened on the other side"


async def test_a_connector_that_breaks(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of a connector is told like a broker that cannot be asked, and the account is not called flat."""
    broken = RuntimeError("broken")
    positions = desk.rig.connector.positions

    async def once(account: str) -> Any:
        monkeypatch.setattr(desk.rig.connector, "positions", positions)
        raise broken

    await desk.rig.control.placed(1)
    monkeypatch.setattr(desk.rig.connector, "positions", once)
    await desk.start()
    await desk.flatten()
    await desk.reaches("FLATTEN_FAILED")
    assert "RuntimeError: broken" in next(said for kind, _, said in await desk.log() if kind == "FLATTEN_FAILED")
    await desk.reaches("FLAT")
    assert await desk.is_flat()


@pytest.mark.parametrize("endpoint", ["Position/searchOpen", "Order/searchOpen"])
async def test_a_broker_that_cannot_be_read_at_first(desk: Desk, endpoint: str) -> None:
    """Nobody calls an account flat that could not be read: it is FLATTEN_FAILED with the reason, and tried again by itself."""
    await desk.rig.control.placed(2)
    await desk.rig.control.arm("http", endpoint=endpoint, when="before", times=2)
    await desk.start()
    await desk.flatten()
    failed = await desk.reaches("FLATTEN_FAILED")
    assert failed["retry_in_s"] == 1.0
    await desk.reaches("FLAT")
    assert await desk.is_flat()
    assert [kind for kind in await desk.kinds() if kind in ("FLATTEN_FAILED", "FLAT")][-2:] == [
        "FLATTEN_FAILED",
        "FLAT",
    ]


async def test_a_cancel_that_fails_at_first(desk: Desk) -> None:
    """An order that could not be cancelled is found working and cancelled again."""
    await desk.rig.control.placed(1, kind=LIMIT, limitPrice=20_000)
    await desk.rig.control.arm("http", endpoint="Order/cancel", when="before")
    await desk.start()
    await desk.flatten()
    await desk.reaches("FLAT")
    assert await desk.is_flat()
    assert (await desk.kinds()).count("FLATTEN_STEP") == 2


async def test_a_resume_withdraws_it(desk: Desk) -> None:
    """What is not flat when the scope is resumed is left as it is."""
    await desk.rig.control.placed(2)
    await desk.rig.control.arm("http", endpoint="Position/searchOpen", when="before", times=1000)
    await desk.start()
    await desk.flatten()
    await desk.reaches("FLATTEN_FAILED")
    await controls.set_control(desk.db, "all", "resume", "cli:tester", None)
    await desk.rig.control.control("faults", method="DELETE")
    other = await desk.flatten("account:two")  # nobody's here
    assert await controls.flatten_requests(desk.db, ["one"], "live") == []
    assert other.in_flight == ()
    assert not await desk.is_flat()


async def test_exits_wait_while_it_goes_on(desk: Desk) -> None:
    """From its start to its proof, and until our books have what closed it; a strategy's own exits never wait."""
    task = await enqueue(desk.db, "t", account="one", symbol="MNQ", mode="live")
    await move(desk.db, task, Status.SENDING, Status.ACCEPTED, Status.SUCCESS)
    await desk.fill("t", 2)
    stalled = await desk.rig.control.arm("stall", endpoint="Position/searchOpen")
    await desk.start()
    control = await desk.flatten()
    await until_stalled(desk.rig.control, stalled)
    facts = await trade_facts(desk.db, "t", "one", "live")
    assert (facts.flattening, facts.outdated) == (control.id, None)
    await desk.rig.control.control(f"faults/{stalled}/release", {})
    await desk.reaches("FLAT")
    facts = await trade_facts(desk.db, "t", "one", "live")
    assert (facts.flattening, facts.outdated) == (None, control.id)
    await desk.fill("t", -1)
    assert (await trade_facts(desk.db, "t", "one", "live")).outdated == control.id
    await desk.fill("t", -1)
    assert (await trade_facts(desk.db, "t", "one", "live")).outdated is None
    await desk.fill("t", 1)
    assert (await trade_facts(desk.db, "t", "one", "live")).outdated is None


async def test_a_start_waits_for_claims(desk: Desk) -> None:
    """An exit that was being decided is committed before a flattening begins, which then waits for its outcome."""
    await desk.rig.control.placed(1)
    async with await Database(desk.dsn).connect("claim") as claiming:
        async with claiming.transaction():
            await claiming.execute("SELECT pg_advisory_xact_lock_shared(halt_key())")
            await desk.db.execute("INSERT INTO controls (scope, action, actor) VALUES ('all', 'flatten', 'test')")
            await desk.start()
            await until_async(lambda: waits_for_claims(desk), what="a start that waits")
            assert await desk.kinds() == []
        await desk.reaches("FLAT")


async def waits_for_claims(desk: Desk) -> bool:
    """Whether somebody waits for an advisory lock."""
    cursor = await desk.db.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory' AND datname = current_database()"
    )
    return await cursor.fetchone() == (1,)


async def test_a_resume_in_the_middle_ends_it_in_the_book(desk: Desk) -> None:
    """What is withdrawn while the broker is being asked stands in nobody's way afterwards."""
    await desk.rig.control.placed(2)
    stalled = await desk.rig.control.arm("stall", endpoint="Position/closeContract")
    await desk.start()
    control = await desk.flatten()
    await until_stalled(desk.rig.control, stalled)
    await controls.set_control(desk.db, "all", "resume", "cli:tester", None)
    await desk.rig.control.control(f"faults/{stalled}/release", {})
    assert (await desk.reaches("FLATTEN_WITHDRAWN"))["control"] == control.id
    assert (await read_books(desk.db, ["one"], "live"))["one"].flattening is None
    assert "FLAT" not in await desk.kinds()


async def test_a_router_that_dies_lets_go(desk: Desk) -> None:
    """The lock of a router whose connection is gone is free, and another one ends what it began."""
    await desk.rig.control.placed(2)
    stalled = await desk.rig.control.arm("stall", endpoint="Position/searchOpen")
    await desk.start(lease_s=60.0)
    await desk.flatten()
    await until_stalled(desk.rig.control, stalled)
    cursor = await desk.db.execute(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'eventrouter-flatten'"
        " AND datname = current_database()"
    )
    assert await cursor.fetchone() == (1,)
    await desk.start(name="router-b")
    await desk.reaches("FLAT")
    assert await desk.is_flat()
    await desk.rig.control.control(f"faults/{stalled}/release", {})
    assert (await desk.rig.control.control("requests"))["Position/closeContract"] == 1


async def net_of_all_fills(desk: Desk) -> int:
    """Contracts bought less contracts sold, as the broker's ledger of executions has them."""
    return sum((1 if each["side"] == 0 else -1) * each["size"] for each in await desk.rig.control.trades())


async def test_an_account_that_is_out_of_sync_is_flattened(desk: Desk) -> None:
    """The broker's positions are closed, whatever our fills add up to."""
    async with desk.db.transaction():
        await append_event(desk.db, "test", "one", "live", out_of_sync("The broker holds something else."))
    await desk.rig.control.placed(2)
    await desk.start()
    await desk.flatten("account:one")
    await desk.reaches("FLAT")
    assert await desk.is_flat()
