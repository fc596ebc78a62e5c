"""Which contract an entry trades: the one that its symbol means, verified against the broker before anything is sent."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, time

from eventrouter.domain.broker import Contract
from eventrouter.domain.denials import Denial
from eventrouter.domain.instruments import Product, Roll, differs
from eventrouter.domain.rolls import Resolution, RollPolicy, resolve
from eventrouter.domain.symbols import ContractMonth, Symbol, parse_symbol
from eventrouter.domain.trading_day import TradingDays

EXCHANGE_DAYS = TradingDays("America/Chicago", time(17))
"""The exchange's trading days, by which contracts expire and roll: Sunday evening is Monday."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What a broker said of a symbol: its contract, None when it has none; `fault`: why it could not be asked."""

    contract: Contract | None = None
    fault: str | None = None


LookUp = Callable[[str], Looked | None]
"""Symbol → what is known of it; None: the broker has not been asked yet."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """`symbol` is what the order names: the broker's id, or a name where no broker is asked. `why` is a sentence for the log."""

    symbol: str
    why: str


@dataclass(frozen=True, slots=True)
class Waits:
    """The broker is to be asked for `symbol` first. `fault`: it was, and could not say."""

    symbol: str
    fault: str | None = None


def of_product(symbol: Symbol, product: Product) -> Symbol:
    """The same contract month, or the same place in the line of months, of another product of the family."""
    return symbol if symbol.root == product.root else replace(symbol, root=product.root)


def without_broker(symbol: Symbol, product: Product, today: date) -> Chosen | Denial:
    """What a simulated order names."""
    if symbol.month is None and product.roll is not Roll.CME_INDEX:
        name = f"{product.root}{symbol.continuous or 1}!"
        return Chosen(name, f"Simulated as {name}: which contract of {product.root} is active only a broker knows.")
    found = resolve(symbol, product, today, RollPolicy.EXCHANGE, None)
    if isinstance(found, Denial):
        return found
    return Chosen(found.month.short_name(product.root), found.message)


def at_broker(
    symbol: Symbol, product: Product, today: date, policy: RollPolicy, look_up: LookUp
) -> Chosen | Waits | Denial:
    """The broker's contract. Denials: CONTRACT_EXPIRED, CONTRACT_UNRESOLVED, CONTRACT_UNKNOWN, CONTRACT_MISMATCH, …"""
    current: Contract | Waits | Denial | None = None
    active: ContractMonth | None = None
    if symbol.month is None and (policy is RollPolicy.BROKER or product.roll is not Roll.CME_INDEX):
        current = _looked(f"{product.root}1!", product, look_up)
        if not isinstance(current, Contract):
            return current
        named = parse_symbol(current.name, today)
        active = None if isinstance(named, Denial) else named.month
    found = resolve(symbol, product, today, policy, active)
    if isinstance(found, Denial):
        return found
    if not isinstance(current, Contract) or found.month != active:
        current = _looked(found.month.tradingview_name(product.root), product, look_up)
    return _verified(current, product, found, today) if isinstance(current, Contract) else current


def unasked(symbol: Symbol, product: Product, today: date, policy: RollPolicy) -> Chosen | Denial:
    """What an order would name as far as that can be told without asking its broker."""
    if symbol.month is None and (policy is RollPolicy.BROKER or product.roll is not Roll.CME_INDEX):
        name = f"{product.root}{symbol.continuous or 1}!"
        return Chosen(name, f"Which contract {name} is, the broker says when the order is sent: it was not asked.")
    found = resolve(symbol, product, today, policy, None)
    if isinstance(found, Denial):
        return found
    name = found.month.short_name(product.root)
    return Chosen(name, f"{found.message} The broker was not asked for it; it is when the order is sent.")


def held_contract(contract_id: str, product: Product, look_up: LookUp) -> Chosen | Waits | Denial:
    """The contract that a trade holds already and adds to."""
    contract = _looked(contract_id, product, look_up)
    if not isinstance(contract, Contract):
        return contract
    return differs(product, contract.tick_size, contract.tick_value) or Chosen(contract.id, holds(contract.name))


def holds(name: str) -> str:
    """Why what a trade adds to is not resolved anew."""
    return f"The trade holds {name} and adds to it."


def _looked(symbol: str, product: Product, look_up: LookUp) -> Contract | Waits | Denial:
    looked = look_up(symbol)
    if looked is None or looked.fault is not None:
        return Waits(symbol, looked.fault if looked else None)
    if looked.contract is None:
        message = (
            f"The broker has no contract for {symbol}, or more than one: see the symbol and the account's permissions."
        )
        return Denial("CONTRACT_UNKNOWN", message, {"symbol": symbol, "root": product.root})
    return looked.contract


def _verified(contract: Contract, product: Product, resolution: Resolution, today: date) -> Chosen | Denial:
    named = parse_symbol(contract.name, today)
    if isinstance(named, Denial) or (named.root, named.month) != (product.root, resolution.month):
        wanted = resolution.month.short_name(product.root)
        message = f"The broker's contract for {wanted} is {contract.name[:40]}. Nothing is sent until they agree."
        return Denial("CONTRACT_MISMATCH", message, {"wanted": wanted, "contract": contract.id, "name": contract.name})
    return differs(product, contract.tick_size, contract.tick_value) or Chosen(
        contract.id, f"{resolution.message} The broker's contract is {contract.name} ({contract.id})."
    )
