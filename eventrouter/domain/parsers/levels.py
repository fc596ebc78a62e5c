"""Stop loss and take profit: a price, or a distance in points, ticks, percent or money; and which side they may stand on."""

import re
from collections.abc import Iterable
from decimal import Decimal

from eventrouter.domain.parsers.fields import Field, Fields
from eventrouter.domain.parsers.values import decimal_of, given, text_of
from eventrouter.domain.signals import Level, LevelKind, Side
from eventrouter.errors import SignalRefused

_CLOSE_ENOUGH = Decimal("0.0005")  # of the price: two spellings of one level differ by a tick's rounding at most
_TICKS = re.compile(r"([+-]?[\d.]+)\s?ticks?", re.IGNORECASE | re.ASCII)
_STOPS = ("stoploss", "sl", "slprice", "stoplossprice", "protectivestop", "stop")
_TARGETS = ("takeprofit", "tp", "tpprice", "takeprofitprice", "profittarget", "target", "targetprice", "tp1", "target1")
_KINDS = {
    "percent": LevelKind.PERCENT,
    "pct": LevelKind.PERCENT,
    "percentage": LevelKind.PERCENT,
    "ticks": LevelKind.TICKS,
    "points": LevelKind.OFFSET,
    "offset": LevelKind.OFFSET,
    "distance": LevelKind.OFFSET,
    "usd": LevelKind.CASH,
    "dollar": LevelKind.CASH,
    "dollars": LevelKind.CASH,
}
_INSIDE: dict[str, tuple[LevelKind, bool]] = {
    "percent": (LevelKind.PERCENT, False),
    "amount": (LevelKind.OFFSET, False),
    "stopprice": (LevelKind.PRICE, False),
    "limitprice": (LevelKind.PRICE, False),
    "price": (LevelKind.PRICE, False),
    "trailamount": (LevelKind.OFFSET, True),
    "trailprice": (LevelKind.OFFSET, True),
    "trailpercent": (LevelKind.PERCENT, True),
}


def stop_loss_of(fields: Fields, side: Side | None, price: Decimal | None) -> Level | None:
    """The alert's stop loss, however it is written. Raises SignalRefused."""
    levels = [*_plain(fields, _STOPS), *_spelled(fields, ("sl", "stoploss", "stop")), *_sided(fields, side, "sl")]
    inside = _structured(fields, "stoploss", side)
    return _agreed([*levels, *inside], side, price, stop=True)


def take_profit_of(fields: Fields, side: Side | None, price: Decimal | None) -> Level | None:
    """The alert's take profit, however it is written. Raises SignalRefused."""
    levels = [*_plain(fields, _TARGETS), *_spelled(fields, ("tp", "takeprofit", "target")), *_sided(fields, side, "tp")]
    inside = _structured(fields, "takeprofit", side)
    return _agreed([*levels, *inside], side, price, stop=False)


def level_of(field: Field, kind: LevelKind = LevelKind.PRICE, *, trailing: bool = False) -> Level | None:
    """The level in a field: 18400, "2%", "25 ticks"; None for the zero that means no level. Raises SignalRefused."""
    text = text_of(field.name, field.value)
    if text.endswith("%"):
        text, kind = text[:-1].strip(), LevelKind.PERCENT
    elif ticks := _TICKS.fullmatch(text):
        text, kind = ticks[1], LevelKind.TICKS
    value = decimal_of(field.name, text)
    if value < 0:
        raise SignalRefused("PRICE_WRONG", f"{field.name} must be greater than zero.", field.name)
    if kind is LevelKind.PERCENT and value >= 100:
        raise SignalRefused(
            "NUMBER_WRONG", f"{field.name} is {value} percent; a level is nearer than that.", field.name
        )
    return Level(kind, value, trailing) if value else None


def directed_level(field: Field, side: Side | None, *, stop: bool) -> Level | None:
    """Like level_of, for formats whose distances may carry a sign (-2%, +25 ticks) that must point the right way."""
    text = text_of(field.name, field.value)
    if text[:1] not in ("+", "-"):
        return level_of(field)
    level = level_of(Field(field.name, text[1:]))
    if level is None or level.kind is LevelKind.PRICE or side is None:
        raise SignalRefused("NUMBER_WRONG", f"{field.name} is {text[:40]!r}; a price has no sign.", field.name)
    if (text[0] == "-") is not ((side is Side.LONG) is stop):
        raise SignalRefused(
            "CONTRADICTION", f"{field.name} is {text[:40]!r}, which is the wrong way for a {side} position.", field.name
        )
    return level


def refuse_wrong_side(
    side: Side | None, price: Decimal | None, stop: Level | None, target: Level | None, *, names: tuple[str, str]
) -> None:
    """Refuse a stop loss or take profit on the wrong side of the price, or of each other. Raises CONTRADICTION."""
    if side is None:
        return
    long = side is Side.LONG
    stop_at, target_at = _price_of(stop), _price_of(target)
    for name, level, other, other_level, below in (
        (names[0], stop_at, "price", price, long),
        (names[1], target_at, "price", price, not long),
        (names[0], stop_at, "take profit", target_at, long),
    ):
        if level is None or other_level is None:
            continue
        if level == other_level or (level < other_level) is not below:
            raise SignalRefused(
                "CONTRADICTION",
                f"{name} is {level}; for a {side} position it must be {'below' if below else 'above'} the {other}, "
                f"{other_level}.",
                name,
            )


def _price_of(level: Level | None) -> Decimal | None:
    return level.value if level is not None and level.kind is LevelKind.PRICE else None


def _plain(fields: Fields, names: tuple[str, ...]) -> Iterable[tuple[str, Level]]:
    for name in names:
        if fields.has(name) and not isinstance(fields.peek(name), dict):
            field = fields.take(name)
            if field is not None and (level := level_of(field)):
                yield field.name, level


def _spelled(fields: Fields, stems: tuple[str, ...]) -> Iterable[tuple[str, Level]]:
    for stem in stems:
        for word, kind in _KINDS.items():
            for name in (f"{stem}{word}", f"{word}{stem}"):
                field = fields.take(name)
                if field is not None and (level := level_of(field, kind)):
                    yield field.name, level


def _sided(fields: Fields, side: Side | None, stem: str) -> Iterable[tuple[str, Level]]:
    """Levels that the alert names for both directions (long SL, short SL); the other direction's has no effect."""
    if side is not None:
        yield from _plain(fields, (f"{side.lower()}{stem}",))


def _structured(fields: Fields, name: str, side: Side | None) -> Iterable[tuple[str, Level]]:
    """TradersPost's stopLoss and takeProfit objects."""
    value = fields.peek(name)
    if not isinstance(value, dict):
        return
    field = fields.take(name)
    kind_name = fields.text(f"{name}/type")
    trails = kind_name is not None and "trail" in kind_name.lower()
    for key, (kind, trailing) in _INSIDE.items():
        inner = f"{name}/{key}"
        if key == "limitprice" and name == "stoploss" and fields.has(f"{name}/stopprice"):
            continue  # the worst price of a stop limit; said in a note by whoever reads the order
        part = fields.take(inner)
        if part is None:
            continue
        if trails is not trailing:
            what = "is" if trails else "is not"
            raise SignalRefused("CONTRADICTION", f"{part.name} does not fit: the type {what} trailing_stop.", part.name)
        if (level := level_of(part, kind, trailing=trailing)) is not None:
            yield part.name, level
    if field is not None and given(value) and trails and not fields.has(*(f"{name}/{key}" for key in _INSIDE)):
        raise SignalRefused(
            "FIELD_MISSING", f"{field.name} is trailing, but has no trailAmount or trailPercent.", field.name
        )


def _agreed(levels: list[tuple[str, Level]], side: Side | None, price: Decimal | None, *, stop: bool) -> Level | None:
    """The one level that several fields spell; the absolute price where they agree."""
    if not levels:
        return None
    best = next((level for _, level in levels if level.kind is LevelKind.PRICE), levels[0][1])
    for name, level in levels:
        if level == best:
            continue
        here, there = _absolute(level, side, price, stop=stop), _absolute(best, side, price, stop=stop)
        if here is None or there is None or price is None or abs(here - there) > price * _CLOSE_ENOUGH:
            what = "stop loss" if stop else "take profit"
            raise SignalRefused(
                "CONTRADICTION", f"{name} and another field name different levels for the {what}.", name
            )
    return best


def _absolute(level: Level, side: Side | None, price: Decimal | None, *, stop: bool) -> Decimal | None:
    if level.kind is LevelKind.PRICE:
        return level.value
    if side is None or price is None or level.trailing:
        return None
    down = (side is Side.LONG) is stop
    if level.kind is LevelKind.OFFSET:
        return price - level.value if down else price + level.value
    if level.kind is LevelKind.PERCENT:
        return price * (1 - level.value / 100) if down else price * (1 + level.value / 100)
    return None
