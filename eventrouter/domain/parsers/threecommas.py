"""Family 5, 3Commas signal bots: tv_instrument, action enter_long … exit_short or buy and sell, order{amount, currency_type}.

base counts units, quote money, margin_percent a part of the account, position_percent a part of the position.
trigger_price is the reference price; max_lag, in seconds, is the alert's own age limit. Messages that start, stop or feed a
bot (enable, disable, message_type bot) are not orders.
"""

from eventrouter.domain.parsers.amounts import Amount, amount_of, kind_of
from eventrouter.domain.parsers.fields import Fields
from eventrouter.domain.parsers.generic import complete, intent
from eventrouter.domain.parsers.orders import Draft
from eventrouter.domain.parsers.positions import positions_of
from eventrouter.domain.signals import Signal
from eventrouter.errors import SignalRefused

_EXACT = {"base": "units", "quote": "quote", "marginpercent": "percentofequity", "positionpercent": "percentofposition"}


def is_threecommas(fields: Fields) -> bool:
    """Whether the alert has 3Commas' form."""
    return bool(fields.names() & {"botuuid", "botid", "messagetype"}) or {"tvinstrument", "action"} <= fields.names()


def read_threecommas(fields: Fields) -> Signal:
    """The signal. Raises SignalRefused."""
    if fields.has("messagetype", "botid"):
        raise SignalRefused(
            "NOT_AN_ORDER", "The alert directs a bot of 3Commas; send an order instead.", "message_type"
        )
    positions = positions_of(fields)
    draft = Draft(family="3commas", intent=intent(fields, positions), positions=positions, amount=_amount(fields))
    return complete(draft, fields, references=("triggerprice", "price"))


def _amount(fields: Fields) -> Amount | None:
    field = fields.take("amount")
    if field is None:
        return None
    word = fields.text("currencytype")
    if word is None:
        raise SignalRefused(
            "QUANTITY_KIND_UNKNOWN", "order.amount has no currency_type; say base, quote or a percent.", field.name
        )
    kind = kind_of(fields.name_of("currencytype"), _EXACT.get(word.lower().replace("_", ""), word))
    return amount_of(field, kind)
