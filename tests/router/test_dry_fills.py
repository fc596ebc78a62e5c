"""What a dry run books: simulated fills, holdings and profit, in the commit of each outcome."""

import json
from decimal import Decimal

from eventrouter.domain.tasks import Status
from eventrouter.store.connect import Conn
from tests.router.book import is_sound, reaches, value, way
from tests.router.conftest import Start


async def enqueued(db: Conn, trade: str, event: str, **payload: str) -> int:
    """A task of the account paper."""
    call = "SELECT enqueue_execution_task(%s, %s, %s, 'paper')"
    return int(await value(db, call, trade, event, json.dumps(payload)))


async def test_a_simulated_trade_has_a_result(start: Start, db: Conn) -> None:
    """It fills at the alerts' prices; each task keeps its three log rows."""
    await start()
    entry = await enqueued(db, "T1", "ENTRY", symbol="MNQZ2026", direction="LONG", entry_price="24000", quantity="2")
    await reaches(db, entry, Status.SUCCESS)
    closing = await enqueued(db, "T1", "EXIT", exit_price="24010.5", quantity="2")
    await reaches(db, closing, Status.SUCCESS)
    for task_id in (entry, closing):
        assert await way(db, task_id) == "PENDING SENDING SUCCESS"
        assert await value(db, "SELECT count(*) FROM execution_logs WHERE task_id = %s", task_id) == 3
    rows = await db.execute(
        "SELECT task_id, mode, trade_id, contract, root, side, quantity, price, pnl FROM fills ORDER BY filled_at"
    )
    assert await rows.fetchall() == [
        (entry, "dry", "T1", "MNQZ6", "MNQ", "BUY", 2, 24000, None),
        (closing, "dry", "T1", "MNQZ6", "MNQ", "SELL", 2, Decimal("24010.5"), 42),
    ]
    assert await value(db, "SELECT quantity FROM holdings") == 0
    assert await is_sound(db)


async def test_a_short_without_prices(start: Start, db: Conn) -> None:
    """Stage 13B's payloads name neither symbol nor quantity: one contract of '-', whose profit nobody knows."""
    await start()
    entry = await enqueued(db, "T1", "ENTRY", direction="SHORT")
    await reaches(db, entry, Status.SUCCESS)
    assert await value(db, "SELECT contract || ' ' || quantity FROM holdings") == "- -1"
    closing = await enqueued(db, "T1", "EXIT_SL")
    await reaches(db, closing, Status.SUCCESS)
    assert await value(db, "SELECT quantity FROM holdings") == 0
    assert await value(db, "SELECT count(*) FROM fills WHERE price IS NULL AND pnl IS NULL") == 2
    assert await is_sound(db)
