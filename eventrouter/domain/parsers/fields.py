"""A body's fields by name, however the sender wrote the name, with a record of which ones were understood.

Names are compared without case, spaces and signs: stopLoss, stop_loss and "Stop Loss" are one; % and $ in a name are
percent and usd. What stands inside of
order, signal, trade, alert, data, instrument or strategy_info counts as if it stood outside; what stands inside of
strategy and position keeps that name in front (strategy.name is strategyname), except for TradingView's own names.
What the position is, and whether the order leaves it, counts wherever it stands but in extras and metadata.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from eventrouter.domain.parsers.actions import plain
from eventrouter.domain.parsers.moments import moment_of
from eventrouter.domain.parsers.values import (
    Number,
    Value,
    decimal_of,
    given,
    odd_reason,
    text_of,
    word_set,
)
from eventrouter.errors import SignalRefused

MOST_EXTRAS = 40
FREE = ("extras/", "metadata/", "meta/")  # what the sender keeps there is not meant for the router

_TRANSPARENT = word_set(
    "order orders signal signals trade trades alert alerts data instrument strategyinfo request params"
)
_PREFIXED = frozenset({"strategy", "position"})
_OWN = ("order", "market", "prev", "position")  # how TradingView's names inside of strategy begin
_FREE = ("extras/", "metadata/", "meta/")  # what the sender keeps there is not meant for the router
ANYWHERE = word_set(
    "marketposition marketpositionsize prevmarketposition prevmarketpositionsize previousmarketposition "
    "previousmarketpositionsize positionsize positionafter sentiment reduceonly closeposition closeonly exitonly isexit "
    "isclose isclosing isreduceonly positioneffect positionside posside holdside positionidx"
)
"""What the position is and whether the order leaves it means the same at any depth, and with strategy in front."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its name as the sender wrote it (order.amount) and its value."""

    name: str
    value: Value


class Fields:
    """The fields of one order. Whoever asks for a field marks it as understood."""

    def __init__(self, tree: Mapping[str, Value]) -> None:
        self._fields: dict[str, Field] = {}
        self._used: set[str] = set()
        for path, field in _flat(tree, "", ""):
            key = self._anywhere(path)
            earlier = self._fields.get(key)
            if earlier is not None and given(earlier.value) and given(field.value) and earlier.value != field.value:
                raise SignalRefused(
                    "KEY_REPEATED",
                    f"The alert names {earlier.name[:40]} and {field.name[:40]} with different values; which one counts "
                    "cannot be known.",
                    field.name[:60],
                )
            if earlier is None or not given(earlier.value):
                self._fields[key] = field

    def has(self, *names: str) -> bool:
        """Whether any of these fields says something."""
        return any(given(self._fields[name].value) for name in names if name in self._fields)

    def sent(self, name: str) -> bool:
        """Whether the alert has this field, even if it says nothing."""
        return name in self._fields

    def names(self) -> set[str]:
        """The plain names of all fields."""
        return set(self._fields)

    def peek(self, name: str) -> Value:
        """A field's value, not marked as understood; None if it is not there."""
        field = self._fields.get(name)
        return None if field is None else field.value

    def take(self, *names: str) -> Field | None:
        """The first of these fields that says something; all of them are understood."""
        self._used.update(names)
        for name in names:
            field = self._fields.get(name)
            if field is not None and given(field.value):
                return field
        return None

    def drop(self, *names: str) -> None:
        """Mark fields as understood without reading them."""
        self._used.update(names)

    def one(self, *names: str) -> Field | None:
        """Like take, of numbers, and refused when two of the fields say different ones."""
        fields = [self._fields[name] for name in names if self.has(name)]
        self._used.update(names)
        for other in fields[1:]:
            if decimal_of(other.name, _bare(other)) != decimal_of(fields[0].name, _bare(fields[0])):
                raise SignalRefused(
                    "CONTRADICTION",
                    f"{fields[0].name} and {other.name} say different things; send one of them.",
                    other.name,
                )
        return fields[0] if fields else None

    def pop(self, name: str) -> Field | None:
        """Take a field out, so that no other reader sees it; None if it says nothing."""
        field = self._fields.pop(name, None)
        return field if field is not None and given(field.value) else None

    def text(self, *names: str) -> str | None:
        """The text of the first of these fields. Raises SignalRefused."""
        field = self.take(*names)
        return None if field is None else text_of(field.name, field.value) or None

    def number(self, *names: str) -> Decimal | None:
        """The number in the first of these fields. Raises SignalRefused."""
        field = self.take(*names)
        return None if field is None else decimal_of(field.name, field.value)

    def price(self, *names: str) -> Decimal | None:
        """The price in the first of these fields; zero is a placeholder for none. Raises SignalRefused PRICE_WRONG."""
        field = self.take(*names)
        if field is None:
            return None
        value = decimal_of(field.name, field.value)
        if value < 0:
            raise SignalRefused("PRICE_WRONG", f"{field.name} must be greater than zero.", field.name)
        return value or None

    def moment(self, *names: str) -> datetime | None:
        """The time in the first of these fields, UTC. Raises SignalRefused TIME_WRONG."""
        field = self.take(*names)
        return None if field is None else moment_of(field.name, text_of(field.name, field.value))

    def flag(self, *names: str) -> bool | None:
        """The yes or no in the first of these fields. Raises SignalRefused."""
        field = self.take(*names)
        if field is None or isinstance(field.value, bool):
            return None if field is None else bool(field.value)
        word = text_of(field.name, field.value).lower()
        if word in ("true", "1", "yes", "on"):
            return True
        if word in ("false", "0", "no", "off"):
            return False
        raise SignalRefused("FIELD_WRONG", f"{field.name} is {word[:40]!r}; it must be true or false.", field.name)

    def name_of(self, *names: str) -> str:
        """How the sender wrote the name of the first of these fields that says something."""
        return next((self._fields[name].name for name in names if self.has(name)), names[0])

    def rest(self) -> Iterator[tuple[str, Field]]:
        """The fields that nobody asked for and that say something: plain name and field."""
        for key, field in self._fields.items():
            if key not in self._used and given(field.value):
                yield key, field

    def all(self) -> Iterator[tuple[str, Field]]:
        """Every field that says something, understood or not."""
        return ((key, field) for key, field in self._fields.items() if given(field.value))

    @staticmethod
    def is_free(key: str) -> bool:
        """Whether the field stands where senders keep what is not meant for the router."""
        return key.startswith(_FREE)

    def _anywhere(self, path: str) -> str:
        last = path.rsplit("/", 1)[-1].removeprefix("strategy").removeprefix("position/")
        short = last if last in ANYWHERE else last.removeprefix("position")
        return short if short in ANYWHERE and not self.is_free(path) else path

    def extras(self) -> tuple[dict[str, Any], list[str]]:
        """What nobody asked for: plain values to keep, and a sentence for each NaN or placeholder among them."""
        kept: dict[str, Any] = {}
        notes: list[str] = []
        for _, field in self.rest():
            reason = odd_reason(field.value)
            if reason is not None:
                notes.append(f"{field.name[:60]} is {reason} and has no effect here.")
            elif len(kept) < MOST_EXTRAS and isinstance(field.value, str | bool | Number):
                kept[field.name[:60]] = _kept(field.value)
        return kept, notes[:MOST_EXTRAS]


def _bare(field: Field) -> Value:
    """A quantity's number without its unit, for comparison."""
    return field.value.strip().strip("$%@ ") if isinstance(field.value, str) else field.value


def _kept(value: Value) -> str | bool:
    if isinstance(value, bool):
        return value
    return value.raw[:40] if isinstance(value, Number) else str(value).strip()[:200]


def _flat(tree: Mapping[str, Value], path: str, prefix: str) -> Iterator[tuple[str, Field]]:
    for name, value in tree.items():
        key, full = plain(name.replace("%", "percent").replace("$", "usd")) or name, f"{path}{name}"
        if isinstance(value, Mapping):
            yield from _inside(key, full, prefix, value)
        elif isinstance(value, list) and len(value) == 1 and isinstance(value[0], Mapping):
            yield from _inside(key, full, prefix, value[0])
        else:
            yield _placed(prefix, key), Field(full, value)


def _inside(key: str, full: str, prefix: str, value: Mapping[str, Value]) -> Iterator[tuple[str, Field]]:
    if prefix == "" and key in _TRANSPARENT:
        yield from _flat(value, f"{full}.", "order." if key in ("order", "orders") else "")
    elif prefix == "" and key in _PREFIXED:
        yield from _flat(value, f"{full}.", f"{key}.")
    elif prefix == "strategy." and key == "order":
        yield from _flat(value, f"{full}.", "order.")
    else:
        yield _placed(prefix, key), Field(full, value)
        yield from _flat(value, f"{full}.", f"{prefix}{key}/")


def _placed(prefix: str, key: str) -> str:
    """The name under which a field is found: order.id is orderid, strategy.order_id is orderid, position.size positionsize."""
    if prefix == "order.":
        return f"order{key}" if key in ("id", "type") else key
    if prefix == "strategy.":
        return key if key.startswith(_OWN) else f"strategy{key}"
    if prefix == "position.":
        return f"position{key}"
    return f"{prefix}{key}"
