"""Family 3, PickMyTrade: `data` is buy, sell or close; every value may be a text, and zero stands for "not given".

risk_percentage goes before quantity, a level as a price before one in dollars before one in percent, as its vendor
documents. update_sl and update_tp move the stop or target of the open position. The accounts that the alert lists are
not looked at: which accounts trade is configured here.
"""

from eventrouter.domain.parsers.actions import Intent, means_action, read_intent
from eventrouter.domain.parsers.amounts import Amount, amount_of
from eventrouter.domain.parsers.fields import Fields
from eventrouter.domain.parsers.generic import complete
from eventrouter.domain.parsers.levels import level_of
from eventrouter.domain.parsers.orders import Draft
from eventrouter.domain.parsers.positions import positions_of
from eventrouter.domain.parsers.unsupported import says_nothing
from eventrouter.domain.parsers.values import text_of, word_set
from eventrouter.domain.signals import Event, Level, LevelKind, QuantityKind, Signal
from eventrouter.errors import SignalRefused

_OWN = word_set(
    "quantity date riskpercentage sl tp dollarsl dollartp percentagesl percentagetp trail updatesl updatetp pyramid "
    "multipleaccounts accountid platform insttype connectionname reverseorderclose duplicatepositionallow"
)
_KINDS = (("", LevelKind.PRICE), ("dollar", LevelKind.CASH), ("percentage", LevelKind.PERCENT))
_SETTINGS = {
    "multipleaccounts": ": routing decides which accounts trade",
    "duplicatepositionallow": "",
    "reverseorderclose": ": what an order against an open trade means is set for the strategy",
    "pyramid": "",
}


def is_pickmytrade(fields: Fields) -> bool:
    """Whether the alert has PickMyTrade's form."""
    if not fields.sent("data") or fields.sent("action"):
        return False
    return bool(fields.names() & _OWN) or means_action(str(fields.peek("data")))


def read_pickmytrade(fields: Fields) -> Signal:
    """The signal. Raises SignalRefused."""
    data = fields.take("data")
    if data is None:
        raise SignalRefused("FIELD_MISSING", "The alert has no data; send buy, sell or close.", "data")
    intent = read_intent(data.name, text_of(data.name, data.value))
    amount = _amount(fields)
    if fields.flag("updatesl", "updatestoploss") or fields.flag("updatetp"):
        if amount is not None:
            raise SignalRefused(
                "CONTRADICTION",
                "The alert asks for an order and for moving a stop; send quantity 0 to move it.",
                "quantity",
            )
        side = None if intent.event is Event.EXIT else intent.direction
        intent = Intent(Event.MOVE_STOP, side=side)
    fields.drop("updatesl", "updatetp")
    whole = intent.event is Event.EXIT and amount is not None
    draft = Draft(family="pickmytrade", intent=intent, positions=positions_of(fields), amount=None if whole else amount)
    if whole:
        draft.notes.append("quantity has no effect: close means the whole trade.")
    draft.fire_time = fields.moment("date")
    draft.protection = lambda side, price: _protection(fields, draft)
    draft.names = ("sl", "tp")
    draft.notes += [f"{fields.name_of(key)} has no effect{what}." for key, what in _SETTINGS.items() if fields.has(key)]
    fields.drop(*(key for key in fields.names() if key.startswith("multipleaccounts")))  # their sizes are theirs
    return complete(draft, fields)


def _amount(fields: Fields) -> Amount | None:
    risk = fields.take("riskpercentage")
    quantity = fields.one("quantity", "qty")
    by_risk = None if risk is None else amount_of(risk, QuantityKind.RISK_PERCENT, zero=True)
    by_number = None if quantity is None else amount_of(quantity, zero=True)
    return by_risk or by_number


def _protection(fields: Fields, draft: Draft) -> tuple[Level | None, Level | None]:
    stop, target = _first(fields, "sl", draft), _first(fields, "tp", draft)
    trail = fields.take("trail")
    if trail is None or says_nothing(trail.value):
        fields.drop("trailstop", "trailtrigger", "trailfreq")
        return stop, target
    distance = fields.take("trailstop")
    if stop is not None or distance is None or not says_nothing(fields.peek("trailtrigger")):
        raise SignalRefused(
            "UNSUPPORTED", "trail asks for a trailing stop beside a stop loss, or one that starts later.", trail.name
        )
    fields.drop("trailtrigger", "trailfreq")
    return level_of(distance, LevelKind.OFFSET, trailing=True), target


def _first(fields: Fields, stem: str, draft: Draft) -> Level | None:
    found: Level | None = None
    for prefix, kind in _KINDS:
        field = fields.take(f"{prefix}{stem}")
        level = None if field is None else level_of(field, kind)
        if found is not None and level is not None and field is not None:
            draft.notes.append(f"{field.name} has no effect beside the {stem} that goes before it.")
        found = found or level
    return found
