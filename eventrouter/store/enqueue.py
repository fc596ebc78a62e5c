"""Enqueue from a host application, inside its own transaction: the task exists only if that transaction commits."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from eventrouter.logs import get_logger
from eventrouter.store.files import query

_log = get_logger("eventrouter.enqueue")


async def enqueue_execution_task(
    conn: psycopg.AsyncConnection[Any],
    trade_id: str,
    event_type: str,
    payload: Mapping[str, Any] | None = None,
    *,
    account: str | None = None,
) -> int | None:
    """Enqueues one task in the caller's transaction and returns its id; a router wakes when that transaction commits.

    Without an account a router plans the task for every account of the payload's `strategy`. A task that cannot be
    enqueued is logged and answered with None: the caller's handler and transaction go on.
    """
    try:
        text = None if payload is None else json.dumps(dict(payload), allow_nan=False, default=_number)
        values = {"trade_id": trade_id, "event_type": event_type, "payload": text, "account": account}
        if not conn.autocommit and conn.info.transaction_status == TransactionStatus.IDLE:
            await conn.execute("SELECT")  # begins the caller's transaction, so that the block below does not commit it
        async with conn.transaction(), conn.cursor(row_factory=tuple_row) as cursor:
            # a savepoint: our failure must not abort the caller's transaction
            row = await (await cursor.execute(query("enqueue_execution_task"), values)).fetchone()
    except (psycopg.Error, ValueError, TypeError, RecursionError) as error:
        _log.error("task_not_enqueued", trade_id=trade_id, event_type=event_type, account=account, error=str(error))
        return None
    return int(row[0]) if row else None


async def enqueue_execution_task_for_entry(
    conn: psycopg.AsyncConnection[Any],
    trade_id: str,
    *,
    direction: str,
    entry_price: Decimal | float | None = None,
    stop_loss: Decimal | float | None = None,
    session: str | None = None,
    bias: str | None = None,
    account: str | None = None,
    **more: Any,
) -> int | None:
    """Enqueues an ENTRY. `more` (symbol, quantity, strategy, …) joins the payload. Returns the task's id, or None."""
    payload = {
        "kind": "ENTRY",
        "direction": direction,
        "entry_price": entry_price,
        "stop_loss": stop_loss,
        "session": session,
    }
    return await enqueue_execution_task(conn, trade_id, "ENTRY", {**payload, "bias": bias, **more}, account=account)


async def enqueue_execution_task_for_exit(
    conn: psycopg.AsyncConnection[Any],
    trade_id: str,
    *,
    exit_type: str,
    exit_price: Decimal | float | None = None,
    final_be_mfe: Decimal | float | None = None,
    final_no_be_mfe: Decimal | float | None = None,
    account: str | None = None,
    **more: Any,
) -> int | None:
    """Enqueues an exit; `exit_type` SL makes it EXIT_SL. `more` joins the payload. Returns the task's id, or None."""
    kind = str(exit_type or "EXIT").upper().removeprefix("EXIT_")
    payload = {"kind": "EXIT", "exit_type": kind, "exit_price": exit_price, "final_be_mfe": final_be_mfe}
    event_type = f"EXIT_{kind}" if kind not in ("", "EXIT") else "EXIT"
    return await enqueue_execution_task(
        conn, trade_id, event_type, {**payload, "final_no_be_mfe": final_no_be_mfe, **more}, account=account
    )


def _number(value: Any) -> float:
    """Decimal → JSON number. Exact for up to 15 digits, since the shortest text of the float is the same number."""
    if isinstance(value, Decimal) and value.is_finite():
        return float(value)
    raise TypeError(f"{value!r} cannot stand in a payload")
