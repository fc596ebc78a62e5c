"""Flattening by exits: what is simulated, and what a strategy holds."""

from eventrouter.domain.tasks import Status
from tests.flatten.conftest import Desk
from tests.processes import until_async
from tests.router.book import enqueue, move, value


async def hold(desk: Desk, trade: str, quantity: int, *, mode: str = "dry", strategy: str | None = None) -> int:
    """An executed entry and what it holds; its task."""
    task = await enqueue(desk.db, trade, account="one", symbol="MNQ", mode=mode)
    await move(desk.db, task, Status.SENDING, Status.SUCCESS)
    if strategy:
        await desk.db.execute("SET session_replication_role = replica")
        await desk.db.execute(
            "UPDATE execution_tasks SET payload = payload || jsonb_build_object('strategy', %s::TEXT) WHERE id = %s",
            (strategy, task),
        )
        await desk.db.execute("SET session_replication_role = origin")
    await desk.fill(trade, quantity, mode=mode)
    return task


async def exits(desk: Desk) -> list[tuple[int, str, str, str]]:
    """Every EXIT_FLATTEN: id, trade, mode, symbol."""
    cursor = await desk.db.execute(
        "SELECT id, trade_id, mode, payload ->> 'symbol' FROM execution_tasks WHERE event_type = 'EXIT_FLATTEN' ORDER BY id"
    )
    return [(number, trade, mode, symbol) for number, trade, mode, symbol in await cursor.fetchall()]


async def execute(desk: Desk, task: int, trade: str) -> None:
    """What a router and its broker do with an exit."""
    await move(desk.db, task, Status.SENDING)
    mode = await value(desk.db, "SELECT mode FROM execution_tasks WHERE id = %s", task)
    held = await value(desk.db, "SELECT quantity FROM holdings WHERE trade_id = %s", trade)
    await desk.fill(trade, -int(held), mode=mode)
    await move(desk.db, task, Status.SUCCESS)


async def some_exits(desk: Desk, number: int) -> list[tuple[int, str, str, str]]:
    """Waits until there are so many."""

    async def there() -> list[tuple[int, str, str, str]] | None:
        found = await exits(desk)
        return found if len(found) >= number else None

    return await until_async(there, within_s=20, what=f"{number} exits")


async def test_a_dry_run_closes_each_trade_by_an_exit(desk: Desk) -> None:
    """Every simulated trade gets one exit, whoever of two routers is first, and the account is flat when they are done."""
    await hold(desk, "long", 2)
    await hold(desk, "other", 1)
    await hold(desk, "live", 3, mode="live")
    for name in ("router-a", "router-b"):
        await desk.start(name=name, mode="dry")
    await desk.flatten()
    found = await some_exits(desk, 2)
    assert [(trade, mode, symbol) for _, trade, mode, symbol in found] == [
        ("long", "dry", "MNQ"),
        ("other", "dry", "MNQ"),
    ]
    for number, trade, _, _ in found:
        assert "FLAT" not in await desk.kinds()
        await execute(desk, number, trade)
    await desk.reaches("FLAT")
    assert len(await exits(desk)) == 2
    assert (await desk.kinds()).count("FLAT") == 1


async def test_trades_that_cover_each_other_are_flat(desk: Desk) -> None:
    """What is on the other side of the account's net no exit may close: only the rest is closed, and then the account is flat."""
    await hold(desk, "long", 2)
    await hold(desk, "short", -1)
    await desk.start(mode="dry")
    await desk.flatten()
    ((number, trade, _, _),) = await some_exits(desk, 1)
    assert trade == "long"
    await move(desk.db, number, Status.SENDING)
    await desk.fill("long", -1, mode="dry")  # all that the net of 1 lets it close
    await move(desk.db, number, Status.SUCCESS)
    await desk.reaches("FLAT")
    assert len(await exits(desk)) == 1


async def test_an_exit_that_is_under_way_is_enough(desk: Desk) -> None:
    """A trade whose exit waits already gets no second one."""
    await hold(desk, "t", 2)
    waiting = await enqueue(desk.db, "t", "EXIT_SL", account="one", symbol="MNQ")
    await desk.start(mode="dry")
    await desk.flatten()
    step = await desk.reaches("FLATTEN_STEP")
    assert [each["task"] for each in step["held"]] == [waiting]
    await execute(desk, waiting, "t")
    await desk.reaches("FLAT")
    assert await exits(desk) == []


async def test_a_strategy_takes_only_its_own(desk: Desk) -> None:
    """Trades of the strategy get an exit each, in live mode too; what the account holds beside them stays."""
    await hold(desk, "mine", 2, mode="live", strategy="Orb")
    await hold(desk, "other", 1, mode="live", strategy="breakout")
    await desk.rig.control.placed(1)
    await desk.start()
    await desk.flatten("strategy:orb")
    ((number, trade, mode, _),) = await some_exits(desk, 1)
    assert (trade, mode) == ("mine", "live")
    await execute(desk, number, "mine")
    await desk.reaches("FLAT")
    assert len(await exits(desk)) == 1
    assert not await desk.is_flat()


async def test_an_exit_that_fails_is_told_and_repeated(desk: Desk) -> None:
    """An exit that does not close its trade makes the flattening fail with its number, and another one follows."""
    await hold(desk, "t", 2)
    await desk.start(mode="dry", lease_s=0.1)
    await desk.flatten()
    ((first, *_),) = await some_exits(desk, 1)
    await move(desk.db, first, Status.SENDING, Status.FAILED)
    failed = await desk.reaches("FLATTEN_FAILED")
    assert failed["held"][0]["task"] == first
    _, (second, *_) = await some_exits(desk, 2)
    await execute(desk, second, "t")
    await desk.reaches("FLAT")


async def test_a_late_fill_is_closed_too(desk: Desk) -> None:
    """A trade of ours that holds something after the proof is closed as long as the flattening stands."""
    await desk.start(mode="dry")
    await desk.flatten()
    await desk.reaches("FLAT")
    await hold(desk, "late", 1)
    ((number, *_),) = await some_exits(desk, 1)
    await execute(desk, number, "late")
    await desk.reaches("FLAT", times=2)


async def test_nobody_waits_for_a_foreign_account(desk: Desk) -> None:
    """A flattener touches the accounts of its connection only."""
    await hold(desk, "t", 1)
    await desk.start(None, "two", mode="dry")
    await desk.flatten()
    await desk.reaches("FLAT", "two")
    assert await desk.kinds("one") == []
    assert await exits(desk) == []
    assert await value(desk.db, "SELECT count(*) FROM account_log WHERE account = 'one'") == 0
