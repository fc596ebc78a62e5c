"""What comes with an acceptance: the broker's id of the order, and, where it was executed at once, its fills."""

from collections.abc import Sequence
from dataclasses import dataclass

from eventrouter.domain.broker import BrokerOrder, Fill
from eventrouter.domain.holdings import Execution, Owner
from eventrouter.domain.symbols import root_of
from eventrouter.domain.tasks import Status
from eventrouter.store.books import Books, lock_books
from eventrouter.store.connect import Conn
from eventrouter.store.files import query
from eventrouter.store.fills import Executed, note_own_orders, record_simulated, settle


@dataclass(frozen=True, slots=True)
class Acceptance:
    """An accepted order of a task. `order`: as we placed it or as the broker showed it; `fills`: simulated ones."""

    task_id: int
    account: str
    trade_id: str
    opening: bool
    order: BrokerOrder | None
    fills: tuple[Fill, ...]


async def lock_acceptances(conn: Conn, mode: str, acceptances: Sequence[Acceptance]) -> Books:
    """Locks the accounts whose fills or orders are about to be written."""
    accounts = {each.account for each in acceptances}
    return await lock_books(conn, accounts, mode) if accounts else Books(mode, ())


async def record_acceptances(
    conn: Conn,
    actor: str,
    mode: str,
    books: Books,
    acceptances: Sequence[Acceptance],
    doubtful: Sequence[Acceptance] = (),
) -> None:
    """Notes the orders and records the fills. An order that the broker has reported as ended already ends its task.

    `doubtful`: those whose tasks had moved on. A simulation of a task that ended in another way never happened.
    """
    void = await _ended_otherwise(conn, [each.task_id for each in doubtful if each.fills])
    executed = [
        Executed(
            _execution(fill), Owner(each.task_id, each.trade_id, "entry" if each.opening else "exit"), simulated=True
        )
        for each in acceptances
        if each.task_id not in void
        for fill in each.fills
    ]
    await record_simulated(conn, actor, mode, executed, books)
    await note_own_orders(conn, [(each.task_id, each.order) for each in acceptances if each.order is not None])
    await settle(conn, actor, [each.task_id for each in acceptances if not each.fills])


async def _ended_otherwise(conn: Conn, task_ids: Sequence[int]) -> set[int]:
    if not task_ids:
        return set()
    rows = await (await conn.execute(query("task_states"), {"task_ids": list(task_ids)})).fetchall()
    return {row[0] for row in rows if row[2] not in (Status.SUCCESS, Status.ACCEPTED)}


def _execution(fill: Fill) -> Execution:
    """A simulated fill: its contract is the symbol of the order, or '-'."""
    root = root_of(fill.contract) or "-"
    values = (fill.side, fill.quantity, fill.price, fill.fee, fill.profit_and_loss, fill.at)
    return Execution(fill.account, fill.id, fill.order_id, fill.contract, root, *values)
