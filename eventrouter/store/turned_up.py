"""Orders that turn up at the broker for tasks that were not known to have them: adopted, or told as one too many."""

from collections.abc import Sequence

from eventrouter.domain import book as events
from eventrouter.domain.broker import BrokerOrder
from eventrouter.domain.tasks import Status
from eventrouter.domain.turned_up import Candidate, turned_up_order
from eventrouter.logs import get_logger
from eventrouter.store.books import lock_books
from eventrouter.store.connect import Conn
from eventrouter.store.files import query
from eventrouter.store.fills import Moved
from eventrouter.store.tasks import append

_log = get_logger("eventrouter.turned_up")


async def adopt_shown(conn: Conn, actor: str, orders: Sequence[BrokerOrder]) -> list[Moved]:
    """Appends what these orders, noted before, mean for their tasks; those that are followed from here on.

    An order of before a retry that has filled beside its successor puts the account out of sync. Call it inside a transaction
    that holds the accounts' locks. A task that moves on at this moment is left to the next look.
    """
    shown = {(order.account, order.id): order for order in orders if order.client_order_id is not None}
    if not shown:
        return []
    values = {"accounts": [account for account, _ in shown], "order_ids": [order_id for _, order_id in shown]}
    rows = await (await conn.execute(query("turned_up"), values)).fetchall()
    moved: list[Moved] = []
    for order_id, trade_id, received_at, task_id, version, status, *more in rows:
        task = Candidate(task_id, version, Status(status), *more)
        order = shown[(task.account, order_id)]
        entry = turned_up_order(task, order)
        appended = await append(conn, actor, [entry]) if entry is not None else {}
        if entry is None or task_id not in appended:
            continue
        moved.append(Moved(entry, appended[task_id], trade_id, task.account, received_at))
        _log.warning("order_turned_up", account=task.account, task=task_id, order=order_id, reason=entry.reason)
        if entry.reason == "EARLIER_ORDER" and order.filled:
            books = await lock_books(conn, [task.account], "live")
            if books[task.account].out_of_sync is None:
                books.add(task.account, events.out_of_sync(entry.message or "", task=task_id))
                await books.write(conn, actor)
    return moved
