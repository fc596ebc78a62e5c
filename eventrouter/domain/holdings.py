"""What a trade holds of a contract, and which trades an execution belongs to. Pure.

`moved` is the rule of db/functions/fills_hold.sql; `eventrouter verify` proves that the two agree.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal, localcontext

from eventrouter.domain.broker import Fill, OrderSide
from eventrouter.domain.denials import EXACT
from eventrouter.domain.instruments import PRODUCTS, by_projectx
from eventrouter.domain.symbols import root_of

FOREIGN = "(foreign)"
"""The trade of what somebody else opened on the account."""

_AVERAGE_STEP = Decimal("1e-10")
_SHARE_STEP = Decimal("0.01")
_ZERO = Decimal(0)
_MONTH = re.compile(r"[FGHJKMNQUVXZ][0-9]{2}")


@dataclass(frozen=True, slots=True)
class Holding:
    """What one trade holds of one contract: above zero long, below zero short. `average_price`: None where it is not known."""

    trade_id: str
    contract: str
    root: str
    quantity: Decimal
    average_price: Decimal | None
    opened_at: datetime


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose order was executed. `role`: entry, exit, stop, target or foreign."""

    task_id: int | None
    trade_id: str | None
    role: str


NOBODY = Owner(None, None, "foreign")


@dataclass(frozen=True, slots=True)
class Execution:
    """A fill of which everything is known but its trade. `price`: None where a simulated order named none."""

    account: str
    fill_id: str
    order_id: str
    contract: str
    root: str
    side: OrderSide
    quantity: Decimal
    price: Decimal | None
    fee: Decimal
    pnl: Decimal | None
    at: datetime

    @classmethod
    def of(cls, fill: Fill) -> "Execution":
        """A broker's fill."""
        root = root_of_contract(fill.contract)
        values = (fill.side, fill.quantity, fill.price, fill.fee, fill.profit_and_loss, fill.at)
        return cls(fill.account, fill.id, fill.order_id, fill.contract, root, *values)


@dataclass(frozen=True, slots=True)
class Part:
    """A row of fills: what of an execution belongs to one trade. `pnl` is None where it only opened."""

    execution: Execution
    part: int
    task_id: int | None
    trade_id: str
    role: str
    quantity: Decimal
    fee: Decimal
    pnl: Decimal | None

    @property
    def signed(self) -> Decimal:
        """Above zero where it bought."""
        return self.quantity if self.execution.side is OrderSide.BUY else -self.quantity


def root_of_contract(contract: str) -> str:
    """The instrument root of a broker's contract id: CON.F.US.ENQ.Z26 is NQ, MNQZ6 is MNQ."""
    parts = contract.split(".")
    if len(parts) == 5 and parts[0] == "CON":
        product = by_projectx(parts[3])
        return parts[3] if product is None else product.root
    return root_of(contract) or "-"


def contract_name(contract: str) -> str:
    """A broker's contract id as people write it: CON.F.US.ENQ.Z26 is NQZ6; anything else as it is."""
    month = contract.rpartition(".")[2]
    root = root_of_contract(contract)
    if contract.startswith("CON.") and root in PRODUCTS and _MONTH.fullmatch(month):
        return f"{root}{month[0]}{month[-1]}"
    return contract


def moved(
    quantity: Decimal, average: Decimal | None, signed: Decimal, price: Decimal | None
) -> tuple[Decimal, Decimal | None]:
    """Quantity and average price after an execution: weighted where it adds, unchanged where it reduces, new where it turns."""
    with localcontext(EXACT):
        after = quantity + signed
        if not after:
            return _ZERO, None
        if not quantity or (quantity > 0) != (after > 0):
            return after, price
        if (signed > 0) != (quantity > 0):
            return after, average
        if average is None or price is None:
            return after, None
        weighted = (quantity * average + signed * price) / after
        return after, weighted.quantize(_AVERAGE_STEP, ROUND_HALF_UP)


def closing_pnl(holding: Holding | None, signed: Decimal, price: Decimal | None) -> Decimal | None:
    """What an execution realises by closing (a part of) a holding, in the product's currency, fees not taken off.

    None where it closes nothing, or a price or the product's point value is not known.
    """
    if holding is None or not holding.quantity or (signed > 0) == (holding.quantity > 0):
        return None
    product = PRODUCTS.get(holding.root)
    if product is None or price is None or holding.average_price is None:
        return None
    with localcontext(EXACT):
        closed = min(abs(signed), abs(holding.quantity))
        points = price - holding.average_price if holding.quantity > 0 else holding.average_price - price
        return points * closed * product.point_value


@dataclass(frozen=True, slots=True)
class Valued:
    """`open_pnl` of what can be valued; `unvalued`: contracts of which a holding cannot be, and why, sorted."""

    open_pnl: Decimal
    unvalued: tuple[tuple[str, str], ...] = ()


def valued(holdings: Iterable[Holding], prices: Mapping[str, Decimal]) -> Valued:
    """What is held is worth more than it cost, at these last prices by root, as far as that can be told."""
    total = _ZERO
    unvalued: dict[str, str] = {}
    for holding in holdings:
        if not holding.quantity:
            continue
        product, price = PRODUCTS.get(holding.root), prices.get(holding.root)
        if product is None:
            unvalued[holding.contract] = f"{holding.root} is no product that is known here, so its point value is not"
        elif price is None:
            unvalued[holding.contract] = f"no price of {holding.root} is known"
        elif holding.average_price is None:
            unvalued[holding.contract] = "what it was opened at is not known"
        else:
            with localcontext(EXACT):
                total += (price - holding.average_price) * holding.quantity * product.point_value
    return Valued(total, tuple(sorted(unvalued.items())))


class Holdings:
    """The holdings of one account in one mode, moved by one execution after the other."""

    def __init__(self, held: Iterable[Holding] = ()) -> None:
        self._held = {(each.trade_id, each.contract): each for each in held}

    def open(self) -> list[Holding]:
        """What is held, the oldest first."""
        return sorted(
            (each for each in self._held.values() if each.quantity), key=lambda each: (each.opened_at, each.trade_id)
        )

    def net(self) -> dict[str, Decimal]:
        """Contract → what the account holds of it, all trades together; contracts that it does not hold are missing."""
        sums: dict[str, Decimal] = {}
        for each in self.open():
            sums[each.contract] = sums.get(each.contract, _ZERO) + each.quantity
        return {contract: quantity for contract, quantity in sums.items() if quantity}

    def take(self, execution: Execution, owner: Owner) -> list[Part]:
        """The parts that an execution falls into, one for each trade; the holdings are moved by them."""
        if owner.trade_id is not None:
            shares = [Share(owner.trade_id, execution.quantity, closes=True)]
        else:
            shares = list(self._closed_by(execution))
        fees = _shared(execution.fee, [share.quantity for share in shares])
        profits = self._profits(execution, shares)
        parts = [
            Part(execution, number, owner.task_id, share.trade_id, owner.role, share.quantity, fee, pnl)
            for number, (share, fee, pnl) in enumerate(zip(shares, fees, profits, strict=True), start=1)
        ]
        for part in parts:
            self.move(part)
        return parts

    def move(self, part: Part) -> None:
        """After a part, as the database moves it."""
        execution = part.execution
        key = (part.trade_id, execution.contract)
        before = self._held.get(key)
        quantity, average = (_ZERO, None) if before is None else (before.quantity, before.average_price)
        after, price = moved(quantity, average, part.signed, execution.price)
        turned = not quantity or (after and (quantity > 0) != (after > 0))
        opened_at = execution.at if before is None or turned else before.opened_at
        self._held[key] = Holding(part.trade_id, execution.contract, execution.root, after, price, opened_at)

    def simulated_close(self, execution: Execution, trade_id: str) -> Execution | None:
        """A simulated exit as a broker would have filled it: of what its trade holds, and not more; None: it holds nothing."""
        held = [each for each in self.open() if each.trade_id == trade_id]
        if not held:
            return None
        chosen = next((each for each in held if each.contract == execution.contract), held[0])
        side = OrderSide.SELL if chosen.quantity > 0 else OrderSide.BUY
        quantity = min(execution.quantity, abs(chosen.quantity))
        return replace(execution, contract=chosen.contract, root=chosen.root, side=side, quantity=quantity)

    def _closed_by(self, execution: Execution) -> Iterable["Share"]:
        """What nobody of ours ordered closes the oldest holdings first; what is left over opens a trade of its own."""
        left = execution.quantity
        buys = execution.side is OrderSide.BUY
        for each in self.open():
            if left and each.contract == execution.contract and (each.quantity < 0) == buys:
                closed = min(left, abs(each.quantity))
                left -= closed
                yield Share(each.trade_id, closed, closes=True)
        if left:
            yield Share(FOREIGN, left, closes=False)

    def _profits(self, execution: Execution, shares: Sequence["Share"]) -> list[Decimal | None]:
        """The broker's figure where it gives one, shared by what each part closes; else from the average prices."""
        if execution.pnl is None:
            sign = 1 if execution.side is OrderSide.BUY else -1
            held = [self._held.get((share.trade_id, execution.contract)) for share in shares]
            return [
                closing_pnl(each, sign * share.quantity, execution.price) if share.closes else None
                for each, share in zip(held, shares, strict=True)
            ]
        closing = [share.quantity for share in shares if share.closes] or [share.quantity for share in shares]
        given = iter(_shared(execution.pnl, closing))
        return [next(given, None) if share.closes or len(closing) == len(shares) else None for share in shares]


@dataclass(frozen=True, slots=True)
class Share:
    """How much of an execution goes to a trade, and whether it may close something there."""

    trade_id: str
    quantity: Decimal
    closes: bool


def _shared(amount: Decimal, quantities: Sequence[Decimal]) -> list[Decimal]:
    """An amount in parts as large as these quantities; what rounding leaves over is in the last one."""
    if len(quantities) == 1:
        return [amount]
    with localcontext(EXACT):
        total = sum(quantities, _ZERO)
        parts = [(amount * each / total).quantize(_SHARE_STEP, ROUND_DOWN) for each in quantities[:-1]]
        return [*parts, amount - sum(parts, _ZERO)]
