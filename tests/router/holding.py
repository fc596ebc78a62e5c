"""What the broker's events come to in a test's database: orders as they stand, fills, and what is held after them."""

from decimal import Decimal
from typing import Any

from eventrouter.domain.tasks import LogEntry
from eventrouter.store.connect import Conn
from eventrouter.store.tasks import append, task_state
from tests.router.book import only, value

MNQ = "CON.F.US.MNQ.H26"


async def show(
    db: Conn,
    task: int,
    order_id: str,
    role: str,
    quantity: int = 1,
    *,
    contract: str = MNQ,
    account: str = "real",
    **more: Any,
) -> None:
    """An order of a task as the broker shows it, working unless `more` says otherwise."""
    values = {"state": "WORKING", "filled": 0, "limit_price": None, "stop_price": None, **more}
    await db.execute(
        "INSERT INTO broker_orders (account, order_id, mode, task_id, trade_id, role, contract, root, side, quantity, filled, state,"
        " limit_price, stop_price, placed_at)"
        " SELECT %(account)s, %(order)s, t.mode, t.id, t.trade_id, %(role)s, %(contract)s, 'MNQ', %(side)s, %(quantity)s,"
        " %(filled)s, %(state)s, %(limit_price)s, %(stop_price)s, now() FROM execution_tasks t WHERE t.id = %(task)s",
        {
            "account": account,
            "order": order_id,
            "role": role,
            "contract": contract,
            "side": "BUY" if role == "entry" else "SELL",
            "quantity": quantity,
            "task": task,
            **values,
        },
    )


async def ends(db: Conn, order_id: str, state: str = "CANCELLED", *, filled: int | None = None) -> None:
    """The broker shows that an order works no more."""
    await db.execute(
        "UPDATE broker_orders SET state = %s, filled = COALESCE(%s, filled) WHERE order_id = %s",
        (state, filled, order_id),
    )


async def resized(db: Conn, order_id: str, quantity: int) -> None:
    """The broker shows an order's new size."""
    await db.execute("UPDATE broker_orders SET quantity = %s WHERE order_id = %s", (quantity, order_id))


async def fill(
    db: Conn,
    task: int,
    order_id: str,
    quantity: int,
    *,
    contract: str = MNQ,
    account: str = "real",
    price: str = "100",
) -> None:
    """Records a fill of a task's trade, above zero bought, and what the trade holds after it."""
    fill_id = f"{order_id}-{await value(db, 'SELECT count(*) FROM fills')}"
    found = await db.execute("SELECT trade_id, mode FROM execution_tasks WHERE id = %s", (task,))
    trade, mode = await only(found.fetchall())
    side = "BUY" if quantity > 0 else "SELL"
    await db.execute(
        "INSERT INTO fills (account, fill_id, mode, order_id, task_id, trade_id, contract, root, side, quantity, price, filled_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, 'MNQ', %s, %s, %s, now())",
        (account, fill_id, mode, order_id, task, trade, contract, side, abs(quantity), Decimal(price)),
    )
    state = await task_state(db, task)
    assert state is not None
    told = {"fill_id": fill_id, "part": 1, "quantity": str(abs(quantity))}
    assert await append(db, "by-hand", [LogEntry(task, state.version, state.status, "FILL", detail=told)])
