"""Sends one order once, and says what its outcome adds to the log."""

import asyncio
import random
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from eventrouter import failpoints
from eventrouter.changing import ask
from eventrouter.connectors.base import Connector
from eventrouter.domain.broker import BrokerOrder, OrderSide, OrderState
from eventrouter.domain.decide import DueTask, Send
from eventrouter.domain.orders import Accepted, Answer, NotSent, Outcome, Rejected, Unknown
from eventrouter.domain.retry import Cause, delay_s, may_retry
from eventrouter.domain.tasks import LogEntry, Status
from eventrouter.store.acceptances import Acceptance


async def send_once(connector: Connector, send: Send, within_s: float) -> Outcome:
    """The connector's answer; whatever keeps it from answering leaves the outcome unknown.

    Nothing is sent once its lease has ended (`within_s` is zero or less): a process that was stopped and wakes up late must not
    send what another one looks for by now, or what a halt forbade meanwhile.
    """
    if within_s <= 0:
        return NotSent("The lease of its intent ended before it could be sent.", late=True)
    try:
        async with asyncio.timeout(within_s):
            failpoints.hit("order.before")
            return await ask(connector, send)
    except TimeoutError:
        return Unknown(Answer(), f"No answer within {within_s:g} s.")
    except Exception as error:
        return Unknown(Answer(), f"The connector failed: {type(error).__name__}: {error}")


def outcome_entry(send: Send, outcome: Outcome, now: datetime, took_s: float) -> LogEntry:
    """The log row that an outcome adds to the row of its intent. An unknown one is looked up not before the broker's Retry-After.

    `took_s`: from handing the order to the connector to its answer.
    """
    task, version = send.task, send.task.version + 1
    order_id: str | None = None
    run_in_s: float | None = None
    match outcome:
        case Accepted(answer, done, order_id):
            status, reason, message = (Status.SUCCESS, "DONE", None) if done else (Status.ACCEPTED, "ACCEPTED", None)
        case Rejected(answer, message, True):
            return _later(task, now, Cause.SESSION_REFUSED, message, answer, None)
        case Rejected(answer, message):
            status, reason = Status.FAILED, "REJECTED"
        case Unknown(answer, message):
            status, reason = Status.UNKNOWN, "UNKNOWN_OUTCOME"
            run_in_s = (answer.detail or {}).get("retry_after_s")
        case NotSent(message, retry_after_s, late):
            limited = Cause.UNREACHABLE if retry_after_s is None else Cause.RATE_LIMITED
            cause = Cause.LEASE_ENDED if late else limited
            return _later(task, now, cause, message, Answer(), retry_after_s)
    placed = {"order_id": order_id} if order_id else {}
    detail = {**(answer.detail or {}), **placed, "took_ms": round(took_s * 1000, 1)}
    return LogEntry(
        task.id, version, status, reason, message, answer.code, answer.body, detail=detail, run_in_s=run_in_s
    )


def acceptance_of(send: Send, outcome: Outcome) -> Acceptance | None:
    """What an acceptance brought with it; None where that is nothing: a refusal, a cancel, a moved stop."""
    if not isinstance(outcome, Accepted) or (outcome.order_id is None and not outcome.fills):
        return None
    task = send.task
    shown = outcome.order if outcome.order is not None else _placed(send, outcome.order_id)
    return Acceptance(task.id, task.account, task.trade_id, task.opening, shown, outcome.fills)


def _placed(send: Send, order_id: str | None) -> BrokerOrder | None:
    """The order as we placed it, until the broker shows it; None for what places none."""
    order = send.order
    if order_id is None or order.action not in ("OPEN", "CLOSE", "REDUCE") or order.direction is None:
        return None
    return BrokerOrder(
        id=order_id,
        account=order.account,
        contract=str(send.entry.detail.get("contract") or order.symbol or "-"),
        client_order_id=order.client_order_id,
        side=OrderSide.of(order.direction, opening=order.action == "OPEN"),
        quantity=Decimal(order.quantity or 1),
        state=OrderState.WORKING,
        filled=Decimal(0),
        average_price=None,
        created_at=datetime.now(UTC),
        limit_price=None if order.limit_price is None else Decimal(order.limit_price),
        stop_price=None if order.stop_price is None else Decimal(order.stop_price),
    )


def _later(
    task: DueTask, now: datetime, cause: Cause, message: str, answer: Answer, retry_after_s: float | None
) -> LogEntry:
    """The order is certainly not there: tried again later, or given up as too old or tried too often.

    An entry waits no longer than it stays fresh, so that it is EXPIRED in time.
    """
    attempts = task.attempts + 1
    reason = "SESSION_REFUSED" if cause is Cause.SESSION_REFUSED else "NOT_SENT"
    said: dict[str, Any] = {
        "response_code": answer.code,
        "response_body": answer.body,
        "detail": dict(answer.detail or {}),
    }
    if may_retry(attempts, opening=task.opening, expires_at=task.expires_at, now=now, cause=cause):
        delay = delay_s(attempts, random.random(), cause)  # noqa: S311 - spreads retries, guards nothing
        wait_s = delay + (retry_after_s or 0.0)
        if task.opening and not task.approved and task.expires_at is not None:
            wait_s = min(wait_s, (task.expires_at - now).total_seconds())
        return LogEntry(task.id, task.version + 1, Status.PENDING, reason, message, run_in_s=wait_s, **said)
    expired = task.expires_at is not None and now >= task.expires_at
    status = Status.EXPIRED if expired else Status.FAILED
    return LogEntry(task.id, task.version + 1, status, reason, message, **said)
