"""Stop loss and take profit: a price, or a distance in points, ticks, percent or money; and which side they may stand on."""

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal

from eventrouter.domain.parsers.actions import plain
from eventrouter.domain.parsers.fields import Field, Fields
from eventrouter.domain.parsers.values import decimal_of, text_of
from eventrouter.domain.signals import Level, LevelKind, Side
from eventrouter.errors import SignalRefused

_CLOSE_ENOUGH = Decimal("0.0005")  # of the price: two spellings of one level differ by a tick's rounding at most
_TICKS = re.compile(r"([+-]?[\d.]+)\s?ticks?", re.IGNORECASE | re.ASCII)
_STOPS = ("stoploss", "sl", "slprice", "stoplossprice", "protectivestop", "stop")
_TARGETS = ("takeprofit", "tp", "tpprice", "takeprofitprice", "profittarget", "target", "targetprice", "tp1", "target1")
_STOP_STEMS, _TARGET_STEMS = ("sl", "stoploss", "stop"), ("tp", "takeprofit", "target", "profittarget")
_PRICE_ANYWAY = 10_000  # no distance is that large, so a bare number is a price without one to compare it with
_UNITS = {
    LevelKind.PERCENT: "percent pct percentage perc",
    LevelKind.TICKS: "ticks tick inticks",
    LevelKind.OFFSET: "points point offset distance inpoints",
    LevelKind.CASH: "usd dollar dollars",
    LevelKind.PRICE: "price absolute",
}
_UNIT_OF = {word: kind for kind, words in _UNITS.items() for word in words.split()}
_KINDS = {word: kind for word, kind in _UNIT_OF.items() if kind is not LevelKind.PRICE}
_UNIT_NAMES = ("type", "unit", "units", "mode", "kind")
_ORDER_WORDS = frozenset({"stop", "market", "limit", "stopmarket", "stoplimit", "trailingstop", "trailing", "trail"})
_INSIDE: dict[str, tuple[LevelKind, bool]] = {
    **{word: (kind, False) for word, kind in _KINDS.items()},
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
    levels = [
        *_plain(fields, _STOPS, price),
        *_spelled(fields, _STOP_STEMS),
        *_sided(fields, side, "sl", price),
        *_structured(fields, _STOPS, price),
    ]
    return _agreed(levels, side, price, stop=True)


def take_profit_of(fields: Fields, side: Side | None, price: Decimal | None) -> Level | None:
    """The alert's take profit, however it is written. Raises SignalRefused."""
    levels = [
        *_plain(fields, _TARGETS, price),
        *_spelled(fields, _TARGET_STEMS),
        *_sided(fields, side, "tp", price),
        *_structured(fields, _TARGETS, price),
    ]
    return _agreed(levels, side, price, stop=False)


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


def _plain(fields: Fields, names: tuple[str, ...], price: Decimal | None) -> Iterable[tuple[str, Level]]:
    for name in names:
        if not fields.has(name) or isinstance(fields.peek(name), Mapping):
            continue
        field = fields.take(name)
        unit = fields.take(*(f"{name}{word}" for word in _UNIT_NAMES))
        if unit is not None and "trail" in plain(str(unit.value)):
            raise SignalRefused(
                "UNSUPPORTED", f"{unit.name} is trailing; send stopLoss with type and trailAmount.", unit.name
            )
        if field is not None and (level := _united(field, unit, name, price, fields)):
            yield field.name, level


def _united(field: Field, unit: Field | None, name: str, price: Decimal | None, fields: Fields) -> Level | None:
    """A level whose unit may stand in a field of its own; without one it must look like a price."""
    kind = None if unit is None else _unit(unit)
    level = level_of(field, kind or LevelKind.PRICE)
    if level is None:
        return None
    if kind is not None and level.kind is not kind:
        raise SignalRefused("CONTRADICTION", f"{field.name} is written in another unit than its type says.", field.name)
    says_price = kind is not None or name.endswith("price") or "_TYPE_" in str(fields.peek("type")).upper()  # MetaApi
    if level.kind is LevelKind.PRICE and not says_price:
        _refuse_unlike_price(field.name, level.value, price)
    return level


def _unit(field: Field) -> LevelKind | None:
    """The unit that a word names; None for words that name an order's type instead. Raises SignalRefused AMBIGUOUS."""
    word = plain(text_of(field.name, field.value).replace("%", "percent").replace("$", "usd"))
    if word in _UNIT_OF or word in _ORDER_WORDS:
        return _UNIT_OF.get(word)
    raise SignalRefused(
        "AMBIGUOUS", f"{field.name} is {word[:40]!r}; price, ticks, points, percent and usd are understood.", field.name
    )


def _refuse_unlike_price(name: str, value: Decimal, price: Decimal | None) -> None:
    """A bare number is taken for a price only beside one that is near it: it could be a distance as well."""
    if value >= _PRICE_ANYWAY if price is None else price / 2 < value < price * 2:
        return
    raise SignalRefused(
        "AMBIGUOUS",
        f"{name} is {value}, which may be a price, ticks, points or percent; send "
        + ("the price beside it, or " if price is None else "")
        + "sl_price, sl_ticks, sl_points or sl_pct (tp_price, … for a take profit).",
        name,
    )


def _spelled(fields: Fields, stems: tuple[str, ...]) -> Iterable[tuple[str, Level]]:
    for stem in stems:
        for word, kind in _KINDS.items():
            for name in (f"{stem}{word}", f"{word}{stem}"):
                field = fields.take(name)
                if field is not None and (level := level_of(field, kind)):
                    yield field.name, level


def _sided(fields: Fields, side: Side | None, stem: str, price: Decimal | None) -> Iterable[tuple[str, Level]]:
    """Levels that the alert names for both directions (long SL, short SL); the other direction's has no effect."""
    if side is not None:
        yield from _plain(fields, (f"{side.lower()}{stem}",), price)


def _structured(fields: Fields, names: tuple[str, ...], price: Decimal | None) -> Iterable[tuple[str, Level]]:
    """Objects: TradersPost's stopLoss {type, stopPrice, …}, and {type or unit, value}, {price}, {ticks}, {percentage}."""
    for name in names:
        if isinstance(fields.peek(name), Mapping) and (field := fields.take(name)) is not None:
            found = [*_parts(fields, name, price)]
            if not found:
                raise SignalRefused(
                    "FIELD_MISSING",
                    f"{field.name} names no level; send a price, ticks, percent or amount, or leave it out.",
                    field.name,
                )
            yield from found


def _parts(fields: Fields, name: str, price: Decimal | None) -> Iterable[tuple[str, Level]]:
    unit = fields.take(*(f"{name}/{word}" for word in _UNIT_NAMES))
    trails = unit is not None and "trail" in plain(str(unit.value))
    kind = None if unit is None else _unit(unit)
    value = fields.take(f"{name}/value")
    if value is not None and (level := _united(value, unit if kind else None, name, price, fields)) is not None:
        yield value.name, level
    for key, (meant, trailing) in _INSIDE.items():
        if key == "limitprice" and name in _STOPS and fields.has(f"{name}/stopprice"):
            fields.drop(f"{name}/{key}")
            continue  # the worst price of a stop limit; said in a note by whoever reads the order
        part = fields.take(f"{name}/{key}")
        if part is None:
            continue
        if trails is not trailing:
            what = "is" if trails else "is not"
            raise SignalRefused("CONTRADICTION", f"{part.name} does not fit: the type {what} trailing_stop.", part.name)
        if kind is not None and kind is not meant and key != "amount":
            raise SignalRefused("AMBIGUOUS", f"{part.name} does not fit the type; send one of them.", part.name)
        if (level := level_of(part, kind or meant, trailing=trailing)) is not None:
            yield part.name, level


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
