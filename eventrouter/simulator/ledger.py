"""What the broker executed for every client order id (customTag): the witness in tests of "never twice".

Kept in memory; with a file, every row is also appended to it as a line of JSON, and read again at the next start. It is
written through to the operating system with each row and not forced to disk: it survives the process, not the machine.
"""

import json
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TextIO

from eventrouter.errors import EventrouterError
from eventrouter.simulator.engine import Event
from eventrouter.simulator.orders import HalfTurn, Order, Status

_ENDS = {Status.REJECTED: "rejected", Status.CANCELLED: "cancelled", Status.FILLED: "done"}
Row = dict[str, Any]


class Ledger:
    """Rows `{at, what, account, tag, order, parent, contract, side, size, price}`; `what` is accepted, refused, filled,
    done, rejected or cancelled. An order is accepted once, when the engine takes it; one that is refused never is.
    `parent`: the entry of a bracket's order, which the broker made by itself.
    """

    def __init__(self, file: Path | None = None) -> None:
        self.rows: list[Row] = []
        self._orders: dict[int, Order] = {}
        self._file: TextIO | None = None
        if file is not None:
            self.rows = _read(file)
            try:
                self._file = file.open("a", encoding="utf-8")
            except OSError as error:
                raise EventrouterError(f"The ledger {file} cannot be written: {error.strerror}.") from error

    def close(self) -> None:
        """Closes the file."""
        if self._file is not None:
            self._file.close()

    def next_order(self) -> int:
        """An order id that no row has."""
        return max((row["order"] for row in self.rows), default=1000) + 1

    def tags(self) -> set[tuple[int, str]]:
        """Every (account, tag) that it has seen."""
        return {(row["account"], row["tag"]) for row in self.rows if row["tag"] is not None}

    def note(self, event: Event, now: datetime) -> None:
        """Writes down what an event of the engine says about execution."""
        if isinstance(event, HalfTurn):
            self._write(now, "filled", self._orders[event.order], event.size, event.price)
        elif isinstance(event, Order):
            known = event.id in self._orders
            self._orders[event.id] = event
            if not known:
                self._write(now, "refused" if event.status is Status.REJECTED else "accepted", event, event.size)
            elif event.status in _ENDS:
                self._write(now, _ENDS[event.status], event, event.size)

    def executions(self, rows: Iterable[Row] | None = None) -> list[Row]:
        """For every account and tag: `executed` orders taken, `filled` contracts, `refused`, `rejected` later, order ids."""
        sums: dict[tuple[int, str | None], Row] = {}
        for row in self.rows if rows is None else rows:
            key = (row["account"], row["tag"])
            empty = {"executed": 0, "filled": 0, "refused": 0, "rejected": 0, "orders": []}
            entry = sums.setdefault(key, {"account": row["account"], "tag": row["tag"], **empty})
            if row["order"] not in entry["orders"]:
                entry["orders"].append(row["order"])
            match row["what"]:
                case "accepted":
                    entry["executed"] += 1
                case "filled":
                    entry["filled"] += row["size"]
                case "refused" | "rejected":
                    entry[row["what"]] += 1
        return list(sums.values())

    def _write(self, at: datetime, what: str, order: Order, size: int, price: Decimal | None = None) -> None:
        row = {
            "at": at.isoformat(),
            "what": what,
            "account": order.account,
            "tag": order.tag,
            "order": order.id,
            "parent": order.parent,
            "contract": order.contract.id,
            "side": order.side.name,
            "size": size,
            "price": None if price is None else str(price),
        }
        self.rows.append(row)
        if self._file is not None:
            self._file.write(json.dumps(row) + "\n")
            self._file.flush()


def _read(file: Path) -> list[Row]:
    """The rows of an earlier run; a last line that was cut off by a kill is left out and will be followed by a new one."""
    if not file.exists():
        return []
    whole, newline, cut = file.read_text(encoding="utf-8").rpartition("\n")
    if cut:
        file.write_text(whole + newline, encoding="utf-8")
    return [json.loads(line) for line in whole.splitlines() if line]
