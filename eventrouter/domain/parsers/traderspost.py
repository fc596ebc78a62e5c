"""Family 2, TradersPost: ticker and action, with sentiment, quantityType, stopLoss and takeProfit objects.

`sentiment` is the position after the order: flat makes buy or sell an exit of everything; a sell that leaves it bullish
(or a buy that leaves it bearish) reduces the position by the quantity. `price` is signalPrice, never a limit. Amounts of
stopLoss and takeProfit are points of price. Time in force, trading windows and cancelling before an order
have no effect; they are kept and noted.
"""

from dataclasses import replace

from eventrouter.domain.parsers.fields import Fields
from eventrouter.domain.parsers.generic import amount, complete, intent
from eventrouter.domain.parsers.orders import Draft
from eventrouter.domain.parsers.positions import positions_of
from eventrouter.domain.parsers.values import word_set
from eventrouter.domain.signals import Signal

_FIELDS = word_set(
    "ticker action sentiment quantity quantitytype signalprice price ordertype limitprice stopprice stoploss takeprofit "
    "trailamount trailpercent time interval delay cancel cancelordertype ignoretradingwindows extras timeinforce "
    "extendedhours optiontype expiration intrinsicvalue strikecount strikesaway strikeprice"
)
_OWN = frozenset({"sentiment", "quantitytype", "signalprice", "ignoretradingwindows", "cancelordertype"})
_SETTINGS = ("timeinforce", "extendedhours", "ignoretradingwindows", "cancel")


def is_traderspost(fields: Fields) -> bool:
    """Whether the alert has TradersPost's form."""
    keys = {key.split("/", 1)[0] for key in fields.names()}
    return {"ticker", "action"} <= keys and (keys <= _FIELDS or bool(keys & _OWN))


def read_traderspost(fields: Fields) -> Signal:
    """The signal. Raises SignalRefused."""
    positions = positions_of(fields)
    positions = replace(positions, partial_by_word=fields.has("sentiment"))
    draft = Draft(family="traderspost", intent=intent(fields, positions), positions=positions, amount=amount(fields))
    draft.notes += [f"{fields.name_of(key)} has no effect." for key in _SETTINGS if fields.has(key)]
    if fields.has("stoploss/stopprice") and fields.has("stoploss/limitprice"):
        draft.notes.append("stopLoss.limitPrice has no effect: a stop loss that is reached is closed at the market.")
    return complete(draft, fields, references=("signalprice", "price"), own=False)
