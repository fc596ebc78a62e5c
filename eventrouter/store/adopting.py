"""Where an account's positions differ from the broker's: ask for a look at the broker, or take its positions for true."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from eventrouter.domain import book as events
from eventrouter.domain.broker import Fill, OrderSide
from eventrouter.domain.denials import plain
from eventrouter.errors import NothingToAdopt
from eventrouter.store.books import lock_books, read_holdings
from eventrouter.store.connect import Conn, translated
from eventrouter.store.fills import record_broker_fills
from eventrouter.store.reports import Row, rows_of

_MODE = "live"  # of a dry run no broker holds anything


@dataclass(frozen=True, slots=True)
class Difference:
    """A contract of which the broker holds another quantity. `price`: what its position was opened at, None: not known."""

    contract: str
    theirs: Decimal
    ours: Decimal
    price: Decimal | None

    @classmethod
    def of(cls, said: Sequence[str | None]) -> "Difference":
        """From a row's detail, see `events.compared`; rows of an earlier version name no price."""
        contract, theirs, ours, price = (*said, None)[:4]
        assert contract is not None
        return cls(contract, Decimal(str(theirs)), Decimal(str(ours)), None if price is None else Decimal(price))

    def __str__(self) -> str:
        return f"{self.contract}: the broker holds {plain(self.theirs)}, our fills add up to {plain(self.ours)}"


async def out_of_sync(conn: Conn, account: str) -> Row | None:
    """{why, since, seen_at, differences, what_to_do} of an account that is out of sync, else None.

    `since`: when it last stopped to agree; `seen_at`: when the differences were first as they are.
    """
    found = await rows_of(conn, "out_of_sync", {"account": account})
    if not found or not found[0]["why"]:
        return None
    row = found[0]
    differences = [Difference.of(each) for each in (row["detail"] or {}).get("differences", ())]
    return {
        "why": row["why"],
        "since": row["since"],
        "seen_at": row["seen_at"],
        "differences": [
            {"contract": each.contract, "ours": plain(each.ours), "broker": plain(each.theirs)} for each in differences
        ],
        "what_to_do": _what_to_do(account, differences),
    }


async def ask(conn: Conn, account: str, actor: str, reason: str | None = None) -> int:
    """Asks the account's router to compare now; the number that its answer will name."""
    async with translated("resync"), conn.transaction():
        books = await lock_books(conn, [account], _MODE)
        number = books.next_seq(account)
        books.add(account, events.resync_asked(reason))
        await books.write(conn, actor)
    return number


async def asked(conn: Conn, accounts: Sequence[str]) -> dict[str, int]:
    """Account → its latest question for a look, of those that have one."""
    return {row["account"]: row["seq"] for row in await rows_of(conn, "resyncs_asked", {"accounts": list(accounts)})}


async def answer(conn: Conn, account: str, number: int) -> list[Difference] | None:
    """What the look came to that was asked for with this number; None while there is no answer."""
    found = await rows_of(conn, "resync_answer", {"account": account, "asked": number})
    return [Difference.of(each) for each in found[0]["detail"]["differences"]] if found else None


async def adopt(conn: Conn, account: str, actor: str, reason: str) -> list[Difference]:
    """Takes the broker's positions, as the latest look found them, for true; the differences that are made up for.

    Fills `adjustment-…` are recorded that belong to no task: they close the oldest trades of the contract first and open the
    trade `(foreign)` with what is left. What they realised is not known, so the broker's balance brings it. The next look at the
    broker says whether it was right. Raises NothingToAdopt, also while an order that is not done could explain a difference: its
    fill would come on top, and what its trade then seems to hold on the other side would be closed at the broker.
    """
    async with translated("adopt"), conn.transaction():
        books = await lock_books(conn, [account], _MODE)
        found = await rows_of(conn, "out_of_sync", {"account": account})
        told = (found[0]["detail"] or {}).get("differences") if found and found[0]["why"] else None
        if not told:
            raise NothingToAdopt(
                f"The positions of {account} are not known to differ from the broker's, so there is nothing to adopt."
                f" Compare now: eventrouter accounts resync {account}"
            )
        if books[account].flattening is not None:
            raise NothingToAdopt(
                f"{account} is being flattened at the broker, as control {books[account].flattening} asks: what closes it is not all"
                " recorded yet. Wait until it is flat, then compare again."
            )
        differences = [Difference.of(each) for each in told]
        net = (await read_holdings(conn, [account], _MODE))[account].net()
        for each in differences:
            if net.get(each.contract, Decimal(0)) != each.ours:
                raise NothingToAdopt(
                    f"Of {each.contract} our fills add up to {plain(net.get(each.contract, Decimal(0)))} by now, no longer to"
                    f" {plain(each.ours)}. Compare again first: eventrouter accounts resync {account}"
                )
        if coming := await rows_of(
            conn, "may_explain", {"account": account, "contracts": [e.contract for e in differences]}
        ):
            what = ", ".join(f"task {row['id']} ({row['event_type']}) is {row['status']}" for row in coming)
            raise NothingToAdopt(
                f"What differs may be a fill that is only late, and would be counted twice: {what}. Wait for its outcome, cancel its"
                " order, or resolve or discard what is in REVIEW first."
            )
        assert books.now is not None
        number = books.next_seq(account)
        books.add(account, events.adopted(reason, told))
        books.add(account, events.in_sync())
        await books.write(conn, actor)
        fills = [_adjustment(account, each, number, books.now) for each in differences]
        await record_broker_fills(conn, actor, fills, foreign={(fill.account, fill.id) for fill in fills})
    return differences


def _adjustment(account: str, difference: Difference, number: int, now: datetime) -> Fill:
    """What makes our quantity the broker's. Its price is known only where it adds to the broker's position: what that was opened at."""
    missing = difference.theirs - difference.ours
    opens = bool(difference.theirs) and (missing > 0) == (difference.theirs > 0)
    return Fill(
        id=f"adjustment-{number}-{difference.contract}",
        order_id="adjustment",
        account=account,
        contract=difference.contract,
        side=OrderSide.BUY if missing > 0 else OrderSide.SELL,
        quantity=abs(missing),
        price=difference.price if opens else None,
        fee=Decimal(0),
        profit_and_loss=None,
        at=now,
    )


def _what_to_do(account: str, differences: Sequence[Difference]) -> str:
    if not differences:
        return f"Entries are denied until a look at the broker finds no difference. Look now: eventrouter accounts resync {account}"
    held = (
        f" If nothing should be held: eventrouter flatten account:{account}."
        if any(each.theirs for each in differences)
        else ""
    )
    return (
        "Entries are denied until both agree. Look at the positions in the broker's own program. If a fill is only late, wait, or"
        f" compare now: eventrouter accounts resync {account}. If the broker is right: eventrouter accounts adopt {account}"
        f" --reason TEXT.{held}"
    )


def told(differences: Sequence[Difference]) -> list[Mapping[str, Any]]:
    """For programs: {contract, ours, broker} each."""
    return [{"contract": each.contract, "ours": plain(each.ours), "broker": plain(each.theirs)} for each in differences]
