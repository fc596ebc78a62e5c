"""Asks brokers to withdraw or to change working orders: for a CANCEL or MOVE_STOP, and to make way for an exit."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from eventrouter import failpoints
from eventrouter.connectors.base import Connector
from eventrouter.domain.broker import Change
from eventrouter.domain.clearing import Clearing
from eventrouter.domain.closing import OrderChange
from eventrouter.domain.decide import Send
from eventrouter.domain.denials import plain
from eventrouter.domain.orders import Accepted, Answer, NotSent, Outcome, Rejected, Unknown
from eventrouter.domain.tasks import LogEntry
from eventrouter.ending import ended
from eventrouter.errors import StoreError
from eventrouter.logs import get_logger
from eventrouter.store import tasks as store
from eventrouter.store.connect import Pool, session

_log = get_logger("eventrouter.changing")
_NOTE_TRIES = 5


async def ask(connector: Connector, send: Send) -> Outcome:
    """What the broker says to an intent: an order is sent, a CANCEL or MOVE_STOP is asked of each working order at once."""
    if send.order.action not in ("CANCEL", "MOVE_STOP"):
        return await connector.send(send.order, repeated=send.task.repeated)
    answers = await asyncio.gather(*(_change(connector, send.order.account, change) for change in send.changes))
    found = {order_id: outcome for (order_id, _), outcome in zip(send.changes, answers, strict=True)}
    return together(found, gone_is_done=send.order.action == "CANCEL")


async def _change(connector: Connector, account: str, change: OrderChange) -> Outcome:
    order_id, values = change
    try:
        if values is None:
            return await connector.cancel(account, order_id)
        return await connector.modify(account, order_id, values)
    except Exception as error:
        return Unknown(Answer(), f"The connector failed: {type(error).__name__}: {error}")


def together(found: dict[str, Outcome], *, gone_is_done: bool) -> Outcome:
    """One outcome of several: the worst one, because repeating a change that was made does no harm.

    An order that is gone needs no cancel any more; as a stop it is a refusal, unless another one was moved.
    """
    detail: dict[str, Any] = {"orders": {order_id: _told(outcome) for order_id, outcome in found.items()}}
    gone = [each for each in found.values() if isinstance(each, Rejected) and each.gone]
    rest = [each for each in found.values() if each not in gone]
    for each in sorted(rest, key=_worst_first):
        match each:
            case Unknown(answer, message):
                return Unknown(_with(answer, detail), message)
            case NotSent():
                return each
            case Rejected(answer, message):
                return Rejected(_with(answer, detail), message)
            case Accepted(answer):
                return Accepted(_with(answer, detail), done=True)
    if gone and not gone_is_done:
        return Rejected(_with(gone[0].answer, detail), gone[0].message, gone=True)
    return Accepted(_with(gone[0].answer if gone else Answer(), detail), done=True)


def _worst_first(outcome: Outcome) -> int:
    return (Unknown, NotSent, Rejected, Accepted).index(type(outcome))


def _with(answer: Answer, detail: Mapping[str, Any]) -> Answer:
    return Answer(answer.code, answer.body, {**(answer.detail or {}), **detail})


def word_of(outcome: Outcome) -> str:
    """accepted, gone, rejected, not_sent or unknown."""
    match outcome:
        case Accepted():
            return "accepted"
        case Rejected(gone=True):
            return "gone"
        case Rejected():
            return "rejected"
        case NotSent():
            return "not_sent"
        case Unknown():
            return "unknown"


def _told(outcome: Outcome) -> str:
    return word_of(outcome) if isinstance(outcome, Accepted) else f"{word_of(outcome)}: {outcome.message}"


class Clearer:
    """Makes way for exits: withdraws or shrinks working orders, and writes in their tasks' logs what the broker said.

    What it asks counts for nobody's slots: an exit must not wait behind entries that a broker does not answer.
    """

    def __init__(self, pool: Pool, *, name: str, within_s: float, on_change: Callable[[], None]) -> None:
        self._pool = pool
        self._name = name
        self._within_s = within_s
        self._on_change = on_change
        self._asking: set[asyncio.Task[None]] = set()

    @property
    def asking(self) -> int:
        """Orders of which the broker was asked, and has not answered or whose answer is not written down."""
        return len(self._asking)

    def start(self, connector: Connector, clearings: Sequence[Clearing]) -> None:
        """Asks at once, without waiting for the answers. The rows that say so must be committed."""
        for clearing in clearings:
            task = asyncio.create_task(self._clear(connector, clearing))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)

    async def drain(self, grace_s: float) -> None:
        """Waits for answers, at most `grace_s` seconds. What is not answered is asked again by the next look."""
        if self._asking:
            await asyncio.wait(self._asking, timeout=grace_s)
        await ended(self._asking)

    async def _clear(self, connector: Connector, clearing: Clearing) -> None:
        change = Change(quantity=clearing.size) if clearing.left else None
        try:
            async with asyncio.timeout(self._within_s):
                outcome = await _change(connector, clearing.account, (clearing.order_id, change))
        except TimeoutError:
            outcome = Unknown(Answer(), f"No answer within {self._within_s:g} s.")
        try:
            await self._note(clearing, outcome)
        except StoreError as error:
            _log.warning("answer_not_noted", task=clearing.task_id, order=clearing.order_id, error=str(error))
        self._on_change()

    async def _note(self, clearing: Clearing, outcome: Outcome) -> None:
        answer = Answer() if isinstance(outcome, NotSent) else outcome.answer
        reason = "RESIZE_ANSWERED" if clearing.left else "CANCEL_ANSWERED"
        message = f"Order {clearing.order_id}: {_told(outcome)}"
        detail = {"order": clearing.order_id, "left": plain(clearing.left), "outcome": word_of(outcome)}
        if word_of(outcome) in ("rejected", "unknown"):
            _log.warning("order_not_cleared", task=clearing.task_id, order=clearing.order_id, answer=_told(outcome))
        async with session(self._pool, "clearing") as conn:
            for _ in range(_NOTE_TRIES):
                state = await store.task_state(conn, clearing.task_id)
                if state is None:
                    return
                entry = LogEntry(
                    clearing.task_id,
                    state.version,
                    state.status,
                    reason,
                    message,
                    answer.code,
                    answer.body,
                    detail={**(answer.detail or {}), **detail},
                )
                async with conn.transaction():
                    appended = await store.append(conn, self._name, [entry])
                    failpoints.hit("cancel.commit.before")
                if appended:
                    failpoints.hit("cancel.commit.after")
                    return
