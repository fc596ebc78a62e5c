"""Alert messages for TradingView, made of choices: JSON of our own with TradingView's placeholders in it. Pure."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

_NUMBER = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,6})?")
_PLOT = re.compile(r'\{\{plot_1?[0-9]\}\}|\{\{plot\("[A-Za-z0-9 _.-]{1,40}"\)\}\}')
_NAMED = ("close", "open", "high", "low", "strategy.order.price", "strategy.order.contracts")
PLACEHOLDERS = (*(f"{{{{{name}}}}}" for name in _NAMED), "{{plot_0}}", "{{plot_1}}", '{{plot("Stop")}}')
"""What a field for a number may hold instead of one; plots by number up to 19, or by title."""

_LONGEST_STRATEGY = 64


@dataclass(frozen=True, slots=True)
class Action:
    """What a template asks for. `side`: +1 long, -1 short, 0 not said. `sizes`: the kinds of quantity that mean something."""

    word: str
    sends: str
    side: int = 0
    opens: bool = False
    protects: bool = False
    sizes: tuple[str, ...] = ()


_OPENING = ("account", "fixed", "cash", "risk_amount", "risk_percent", "percent_of_equity")
_LEAVING = ("account", "fixed", "percent_of_position")
ACTIONS: Mapping[str, Action] = {
    "follow": Action("Whatever a Pine strategy orders", "{{strategy.order.action}}", opens=True, sizes=("contracts",)),
    "enter_long": Action("Enter long", "enter_long", 1, opens=True, protects=True, sizes=_OPENING),
    "enter_short": Action("Enter short", "enter_short", -1, opens=True, protects=True, sizes=_OPENING),
    "exit": Action("Exit, whatever side", "exit", sizes=_LEAVING),
    "exit_long": Action("Exit long", "exit_long", 1, sizes=_LEAVING),
    "exit_short": Action("Exit short", "exit_short", -1, sizes=_LEAVING),
    "add_long": Action("Add to long", "add_long", 1, opens=True, protects=True, sizes=_OPENING),
    "add_short": Action("Add to short", "add_short", -1, opens=True, protects=True, sizes=_OPENING),
    "reduce": Action("Reduce", "reduce", sizes=("fixed", "percent_of_position")),
    "reverse_long": Action("Reverse to long", "reverse_long", 1, opens=True, protects=True, sizes=_OPENING),
    "reverse_short": Action("Reverse to short", "reverse_short", -1, opens=True, protects=True, sizes=_OPENING),
    "move_stop_long": Action("Move stop or target of a long", "move_stop_long", 1, protects=True),
    "move_stop_short": Action("Move stop or target of a short", "move_stop_short", -1, protects=True),
    "cancel": Action("Cancel working orders", "cancel"),
    "flatten": Action("Flatten the symbol", "flatten"),
}
ORDER_TYPES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "market": ("Market", ()),
    "limit": ("Limit", ("limit_price",)),
    "stop": ("Stop", ("stop_price",)),
    "stop_limit": ("Stop limit", ("stop_price", "limit_price")),
    "trailing_stop": ("Trailing stop", ("trail_amount",)),
}
"""Word, and the fields with the prices that it needs."""

SIZES: Mapping[str, tuple[str, str, str]] = {
    "account": ("As the account's rule says", "", ""),
    "contracts": ("As the strategy orders", "", "{{strategy.order.contracts}}"),
    "fixed": ("Units or contracts", "", "1"),
    "cash": ("Money", "dollar_amount", "1000"),
    "risk_amount": ("Money at risk", "risk_dollar_amount", "200"),
    "risk_percent": ("Percent of equity at risk", "risk_percent", "0.5"),
    "percent_of_equity": ("Percent of equity", "percent_of_equity", "10"),
    "percent_of_position": ("Percent of the position", "percent_of_position", "50"),
}
"""Word, the kind as the alert names it, and the value where none is given."""

LEVELS: Mapping[str, tuple[str, str]] = {
    "none": ("None", ""),
    "price": ("Price", "{{plot_0}}"),
    "points": ("Points", "10"),
    "ticks": ("Ticks", "40"),
    "percent": ("Percent", "0.5"),
    "usd": ("Money", "200"),
}
_LEVEL_NAMES = ("stop_loss", "take_profit")
_PRICES = ("limit_price", "stop_price", "trail_amount")
_PRICE_DEFAULTS = {"limit_price": "{{close}}", "stop_price": "{{close}}", "trail_amount": "10"}
_SAMPLES = {
    "{{ticker}}": "MNQ1!",
    "{{open}}": "20990",
    "{{high}}": "21010",
    "{{low}}": "20980",
    "{{strategy.order.action}}": "buy",
    "{{strategy.market_position}}": "long",
    "{{strategy.prev_market_position}}": "flat",
    "{{strategy.market_position_size}}": "2",
    "{{strategy.prev_market_position_size}}": "0",
    "{{strategy.order.contracts}}": "2",
}
_SAMPLE_PRICE = 21000


@dataclass(frozen=True, slots=True)
class Template:
    """`message` goes into TradingView's message field; None where `faults` (field → sentence) say what is missing.

    `sample`: the message as it could arrive. `notes`: what else has to be so. The others are what was chosen, after what has no
    meaning for the action was left out; `values`: the field of each number with what stands in it.
    """

    action: str
    order_type: str
    size: str
    levels: Mapping[str, str]
    values: Mapping[str, str]
    message: str | None
    sample: str | None
    faults: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def sizes_for(action: str) -> tuple[str, ...]:
    """The kinds of quantity that mean something for an action; none for what has no size."""
    return ACTIONS[action].sizes


def make(asked: Mapping[str, str], strategy: str | None = None) -> Template:
    """The template for what a form says; what it leaves out or names wrongly is the first of its choices."""
    name = asked.get("action", "") if asked.get("action") in ACTIONS else "enter_long"
    action = ACTIONS[name]
    order_type = asked.get("order_type", "") if name != "follow" and action.opens else "market"
    order_type = order_type if order_type in ORDER_TYPES else "market"
    size = asked.get("size", "") if asked.get("size") in action.sizes else (action.sizes or ("account",))[0]
    levels = {each: asked.get(f"{each}_kind", "none") if action.protects else "none" for each in _LEVEL_NAMES}
    levels = {each: kind if kind in LEVELS else "none" for each, kind in levels.items()}
    values = dict(_values(asked, order_type, size, levels))
    faults = dict(_faults(values, size, levels))
    if name.startswith("move_stop") and set(levels.values()) == {"none"}:
        faults["stop_loss_kind"] = "Choose a new stop loss or take profit."
    if strategy is not None and not _is_name(strategy):
        faults["strategy"] = (
            f"The strategy's name must be a text of at most {_LONGEST_STRATEGY} characters without braces."
        )
    message = sample = None
    if not faults:
        rows = list(_rows(name, order_type, size, levels, values, strategy))
        message = _json(rows, lambda _, text: text)
        sample = _json(rows, lambda field_name, text: _filled(field_name, text, action.side or 1))
    return Template(name, order_type, size, levels, values, message, sample, faults, tuple(_notes(name, size, levels)))


def _values(
    asked: Mapping[str, str], order_type: str, size: str, levels: Mapping[str, str]
) -> Iterable[tuple[str, str]]:
    """The numbers that the message holds, as they were typed."""
    for name in ORDER_TYPES[order_type][1]:
        yield name, asked.get(name, "").strip() or _PRICE_DEFAULTS[name]
    if SIZES[size][2]:
        given = "" if size == "contracts" else asked.get("quantity", "").strip()
        yield "quantity", given or SIZES[size][2]
    for name, kind in levels.items():
        if kind != "none":
            plot = "{{plot_1}}" if name == "take_profit" else LEVELS["price"][1]
            yield name, asked.get(name, "").strip() or (plot if kind == "price" else LEVELS[kind][1])


def _faults(values: Mapping[str, str], size: str, levels: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    for name, text in values.items():
        if text in PLACEHOLDERS or _PLOT.fullmatch(text):
            continue
        if not _NUMBER.fullmatch(text) or not float(text) > 0:
            yield name, "Give a number greater than zero, or a placeholder such as {{close}} or {{plot_0}}."
        elif name == "quantity" and "percent" in size and float(text) > 100:
            yield name, "It is more than 100 percent."
        elif levels.get(name) == "percent" and float(text) >= 100:
            yield name, "A level is nearer than 100 percent."


def _rows(
    name: str,
    order_type: str,
    size: str,
    levels: Mapping[str, str],
    values: Mapping[str, str],
    strategy: str | None,
) -> Iterable[tuple[str, str, bool]]:
    """Field, value, and whether the value is a number: it stands there without quotes."""
    if strategy:
        yield "strategy", strategy, False
    yield "symbol", "{{ticker}}", False
    yield "action", ACTIONS[name].sends, False
    if name == "follow":
        yield "market_position", "{{strategy.market_position}}", False
        yield "market_position_size", "{{strategy.market_position_size}}", True
        yield "prev_market_position", "{{strategy.prev_market_position}}", False
        yield "prev_market_position_size", "{{strategy.prev_market_position_size}}", True
    if "quantity" in values:
        yield "quantity", values["quantity"], True
        if SIZES[size][1]:
            yield "quantity_type", SIZES[size][1], False
    if order_type != "market":
        yield "order_type", order_type, False
    for price in ORDER_TYPES[order_type][1]:
        yield price, values[price], True
    for level, kind in levels.items():
        if kind != "none":
            yield f"{level}_{kind}", values[level], True
    if ACTIONS[name].opens:
        yield "price", "{{strategy.order.price}}" if name == "follow" else "{{close}}", True
    yield "timestamp", "{{timenow}}", False


def _json(rows: Iterable[tuple[str, str, bool]], written: Callable[[str, str], str]) -> str:
    lines = []
    for name, text, is_number in rows:
        value = written(name, text)
        lines.append(f'  "{name}": {value if is_number else json.dumps(value, ensure_ascii=False)}')
    return "{\n" + ",\n".join(lines) + "\n}"


def _filled(name: str, text: str, side: int) -> str:
    """A value as TradingView could send it: levels on their side of the price, for a chart of MNQ at 21,000."""
    if not text.startswith("{{"):
        return text
    if text == "{{timenow}}":
        return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if text in _SAMPLES:
        return _SAMPLES[text]
    away = {"stop_loss_price": -50, "take_profit_price": 100}.get(name)
    if away is not None:
        return str(_SAMPLE_PRICE + away * side)
    if name.startswith(("stop_loss_", "take_profit_")) or name in ("trail_amount", "quantity"):
        return "10"
    return str(_SAMPLE_PRICE)


def _notes(name: str, size: str, levels: Mapping[str, str]) -> Iterable[str]:
    if size in ("risk_amount", "risk_percent") and levels["stop_loss"] == "none":
        yield "It sizes by what is lost at the stop: without a stop loss every account denies it (STOP_MISSING)."
    if name == "follow":
        yield "For an alert on a strategy: it enters, adds, reduces, exits and reverses as the strategy's orders do."
    else:
        yield "For an alert on an indicator or a price: one alert for each thing that it is to do."


def _is_name(text: str) -> bool:
    return 0 < len(text) <= _LONGEST_STRATEGY and text.isprintable() and "{" not in text and "}" not in text
