"""What a reader left unread and must not be left out: fields whose name speaks of a size, a stop or an order's price.

Every reader asks for the fields that it knows. Whatever is then left and looks like protection, quantity or order type
refuses an alert that opens; what looks like a size also refuses one that closes a part. The rest is named in a note.
"""

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from eventrouter.domain.parsers.actions import plain
from eventrouter.domain.parsers.fields import FREE, Fields
from eventrouter.domain.parsers.unsupported import says_nothing
from eventrouter.domain.parsers.values import Number, Value, odd_reason, word_set
from eventrouter.domain.signals import Event, OrderType, Side
from eventrouter.errors import SignalRefused

MOST_NAMES = 10

_PROTECTION = word_set(
    "stop stops stp stoploss stoplosses loss sl slp sltp tp tpp tpsl takeprofit target targets profit trail trailing bracket "
    "brackets breakeven protect protection protective invalidation exitprice"
)
_SIZE = word_set(
    "qty quantity lots lot contracts units shares size sizing risk amount notional multiplier percent pct perc percentage "
    "usd dollar dollars vol qtty margin cost capital investment portion fraction half"
)
_LEVERAGE = word_set("leverage lever")
_FACTORS = _LEVERAGE | {"multiplier"}  # where 1 changes nothing
_TOLD = word_set("pnl mfe mae rsi atr adx ema sma macd change drawdown commission fee fees slippage volatility")
_ORDER_PRICES = word_set("limit lmt trigger triggerprice limitprice activation activationprice")
_STEMS = re.compile(
    r".*(?:stoploss|takeprofit|trailing).*|stop.*|(?:order|hard|init|initial|long|short|my)(?:stop|target)|exitprice|"
    r"(?:sl|tp)\d*(?:value|val|price|level|pts?|points?|ticks?|dist.*|offset|am(?:oun)?t|usd|dollars?|pct|perc.*|pips?|r|atr)|"
    r"(?:long|short|init|initial|my|use|has|enable)(?:sl|tp)"
)
_SIZE_STEMS = re.compile(
    r".*(?:quantity|percent|pct|qty|(?:trade|order|position|lot)size).*|(?:n|num|number|noof|max)contracts"
)
_HARMLESS = re.compile(
    r"(?:net|open|gross)profit|profitfactor|(?:tick|contract|pip|point|bar|step)size|riskreward(?:ratio)?|rr|vwap|"
    r"(?:contract)?(?:multiplier|size)unit"
)
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_MEANT = {
    plain(name): name
    for name in (
        *("quantity", "contracts", "leverage", "sentiment", "stop_loss", "take_profit", "sl_price", "tp_price"),
        *("order_type", "limit_price", "stop_price", "reduce_only", "market_position", "quantity_type"),
    )
}
_OPENS = (Event.ENTRY, Event.ADD, Event.REVERSE)
_TYPE_NAMES = re.compile(r".*(?:type|kind|style|method|mode|order|execution|exec|class)")


def parts_of(name: str) -> frozenset[str]:
    """The words of a name as it was sent, path included: stopLoss.sl_pct % is stop, loss, sl, pct, percent."""
    return frozenset(word.lower() for word in _WORDS.findall(name.replace("%", "_percent_").replace("$", "_usd_")))


def looks_protective(name: str) -> bool:
    """Whether the name is one of a stop loss, a take profit or a part of one."""
    return bool(parts_of(name) & _PROTECTION or _any(_STEMS, name))


def looks_like_size(name: str) -> bool:
    """Whether the name is one of a quantity or a part of one."""
    parts = parts_of(name)
    return bool(parts & _SIZE or _any(_SIZE_STEMS, name)) and not parts & _TOLD


def misspelt(name: str) -> str | None:
    """The field that this name nearly is: stop_lss is stop_loss; None for every other name."""
    key = plain(name.rsplit(".", 1)[-1])
    found = get_close_matches(key, _MEANT, n=1, cutoff=0.85) if 5 <= len(key) <= 20 else []
    return _MEANT[found[0]] if found and found[0] != key else None


def refuse_unread(fields: Fields, event: Event, side: Side | None, *, whole: bool, counted: bool) -> None:
    """Refuse an order of which a part would be left out. `whole`: it closes all that is held, so a size has no effect.
    `counted`: its quantity is in units, which no leverage changes.

    Raises SignalRefused: UNSUPPORTED, FIELD_MISSPELT, QUANTITY_KIND_UNKNOWN, AMBIGUOUS.
    """
    opens = event in _OPENS
    if not opens and (whole or event not in (Event.EXIT, Event.REDUCE, Event.MOVE_STOP)):
        return
    for key, name, value in _leaves(fields):
        if _says_nothing(name, value) or _HARMLESS.fullmatch(key) or _other_side(key, side):
            continue
        if opens and (meant := misspelt(name)) is not None:
            raise SignalRefused("FIELD_MISSPELT", f"{name[:60]} is not read; it must be written {meant}.", name[:60])
        if looks_protective(name):
            if opens or event is Event.MOVE_STOP:
                raise _unread(name, "a stop loss or take profit; send stop_loss, sl_ticks, take_profit or tp_ticks")
        elif event is not Event.MOVE_STOP and looks_like_size(name):
            raise SignalRefused(
                "QUANTITY_KIND_UNKNOWN",
                f"{name[:60]} is not read, and it may say how much; send quantity, with quantityType for money or percent.",
                name[:60],
            )
        elif opens:
            _refuse_order_part(key, name, value, counted=counted)


def refuse_look_alikes(name: str, value: Value, known: Mapping[str, str], *, opens: bool) -> None:
    """Refuse a field of a format that has other names for sizes and stops; `known` gives those names by plain ones.

    Raises SignalRefused: FIELD_MISSPELT, UNSUPPORTED. Where the alert does not open, only a size is refused.
    """
    for key, full, item in _inside(plain(name), name, value, None):
        protective, size = looks_protective(full), looks_like_size(full) or bool(parts_of(full) & _LEVERAGE)
        if _says_nothing(full, item) or _HARMLESS.fullmatch(key):
            continue
        meant = known.get(key) or misspelt(full)
        if meant is not None and (opens or (size and not protective)):
            raise SignalRefused("FIELD_MISSPELT", f"{full[:40]!r} must be written {meant}.", meant)
        if (protective and opens) or (size and not protective):
            raise _unread(full, "a size, a stop loss or a take profit")


def unread_note(names: list[str]) -> str:
    """The sentence that names what had no effect, at most ten names and no value."""
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return f"Not read: {', '.join(name[:60] for name in names[:MOST_NAMES])}{more}."


def unread_names(fields: Fields) -> list[str]:
    """The names of the fields that nobody asked for; of an object its own name only."""
    names: list[str] = []
    for _, field in fields.rest():
        inside = any(field.name.startswith(f"{name}.") for name in names)
        if not inside and odd_reason(field.value) is None:
            names.append(field.name)
    return names


def _refuse_order_part(key: str, name: str, value: Value, *, counted: bool) -> None:
    """A leverage, or the type or price of an order that would be sent at the market."""
    parts = parts_of(name)
    if parts & _LEVERAGE and not counted:
        raise _unread(name, "the order's size; send quantity in units")
    if ((parts | {key}) & _ORDER_PRICES and _holds_digits(value)) or (
        _TYPE_NAMES.fullmatch(key) and _is_pending(value)
    ):
        raise SignalRefused(
            "AMBIGUOUS",
            f"{name[:60]} is not read, and it may ask for another order than one at the market; send orderType with "
            "limitPrice or stopPrice.",
            name[:60],
        )


def _is_pending(value: Value) -> bool:
    word = plain(value).removesuffix("order") if isinstance(value, str) else ""
    return word in {plain(kind) for kind in OrderType} - {"market"} | {"lmt", "stp", "stplmt"}


def _holds_digits(value: Value) -> bool:
    return not isinstance(value, str) or any(character.isdigit() for character in value)


def _unread(name: str, what: str) -> SignalRefused:
    return SignalRefused(
        "UNSUPPORTED",
        f"{name[:60]} is not read in this form, and the order would go without it: it may be {what}.",
        name[:60],
    )


def _leaves(fields: Fields) -> Iterator[tuple[str, str, Value]]:
    """Plain name, name as sent and value of everything unread, also inside of lists; objects are seen through."""
    for key, field in fields.rest():
        if key.startswith(FREE) or f"{key}/" in FREE:
            continue
        yield from _inside(key.rsplit("/", 1)[-1], field.name, field.value, fields)


def _inside(key: str, name: str, value: Value, fields: Fields | None) -> Iterator[tuple[str, str, Value]]:
    if isinstance(value, Mapping):
        if fields is None:
            for inner, item in value.items():
                yield from _inside(plain(inner), f"{name}.{inner}", item, None)
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        if len(value) > 1 or fields is None:
            for item in value:
                yield from _inside(key, name, item, None)
    else:
        yield key, name, value


def _says_nothing(name: str, value: Value) -> bool:
    if isinstance(value, list):
        return not value
    factor = isinstance(value, Number | str) and bool(parts_of(name) & _FACTORS)
    return says_nothing(value) or (factor and _text(value) in ("1", "1x", "x1", "1.0"))


def _any(stems: re.Pattern[str], name: str) -> bool:
    return any(stems.fullmatch(plain(step)) for step in name.split("."))


def _text(value: Value) -> str:
    return (value.raw if isinstance(value, Number) else str(value)).strip().lower()


def _other_side(key: str, side: Side | None) -> bool:
    """long SL beside short SL: the other direction's level has no effect."""
    return (
        side is not None
        and re.fullmatch(r"(long|short)(?:sl|tp)", key) is not None
        and not key.startswith(side.lower())
    )
