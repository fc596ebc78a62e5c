"""Orders at the broker that are nobody's here: said once each in their account's log, and never touched."""

from collections.abc import Collection

from eventrouter.domain import book as events
from eventrouter.logs import get_logger
from eventrouter.store.books import lock_books
from eventrouter.store.connect import Conn
from eventrouter.store.files import query

_log = get_logger("eventrouter.resync")


async def tell_external(
    conn: Conn, actor: str, account: str, order_ids: Collection[str], seen: Collection[str]
) -> set[str]:
    """Writes EXTERNAL rows for those of these orders that nobody of ours placed and that were `seen` so before.

    Returns those that are to be looked at once more: an order's news may be faster than what says whose it is. Call it inside
    a transaction.
    """
    values = {"account": account, "order_ids": list(order_ids)}
    rows = await (await conn.execute(query("external_orders"), values)).fetchall()
    known = [row for row in rows if row[0] in seen]
    if known:
        books = await lock_books(conn, [account], "live")
        for (
            order_id,
            contract,
            side,
            quantity,
            filled,
            state,
            limit_price,
            stop_price,
            client_order_id,
            placed_at,
        ) in known:
            event = events.external(
                order_id,
                contract,
                side,
                quantity,
                client_order_id,
                filled=filled,
                state=state,
                limit_price=limit_price,
                stop_price=stop_price,
                placed_at=None if placed_at is None else placed_at.isoformat(),
            )
            books.add(account, event)
            _log.warning("external_order", account=account, order=order_id, said=event.message)
        await books.write(conn, actor)
    return {row[0] for row in rows} - {row[0] for row in known}
