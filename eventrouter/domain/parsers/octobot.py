"""Family 6, OctoBot: EXCHANGE, SYMBOL, SIGNAL=buy|sell|cancel and upper-case details, one a line or separated by `;`.

PRICE is the limit of a limit order, and else only the price that the sender saw. STOP_PRICE and TAKE_PROFIT_PRICE may be
prices, signed distances (`10d`) or signed percents. VOLUME is in units; `2%` is of the portfolio, or of
the position that REDUCE_ONLY makes smaller; the other percents
(`2a%`, `2s%`, `2t%`) count holdings that this router does not know. REDUCE_ONLY makes an order an exit.
"""

import re

from eventrouter.domain.parsers.actions import Intent, read_intent
from eventrouter.domain.parsers.amounts import Amount, amount_of
from eventrouter.domain.parsers.fields import Field, Fields
from eventrouter.domain.parsers.generic import complete
from eventrouter.domain.parsers.levels import directed_level
from eventrouter.domain.parsers.orders import Draft
from eventrouter.domain.parsers.positions import positions_of
from eventrouter.domain.parsers.values import text_of, word_set
from eventrouter.domain.signals import Level, LevelKind, Side, Signal
from eventrouter.errors import SignalRefused

_NAMES = word_set(
    "EXCHANGE SYMBOL SIGNAL VOLUME PRICE ORDER_TYPE STOP_PRICE TAKE_PROFIT_PRICE REDUCE_ONLY TAG LEVERAGE PARAM_SIDE "
    "EXCHANGE_ORDER_IDS ALLOW_HOLDINGS_ADAPTATION"
)
_HOLDINGS = re.compile(r"[\d.]+[a-zA-Z]{1,2}%?", re.ASCII)
_MORE_TARGETS = re.compile(r"takeprofit(?:price|volumeratio)\d+")


def is_octobot(names: set[str]) -> bool:
    """Whether these names, as sent, are OctoBot's."""
    return all(name.isupper() for name in names) and bool(names & _NAMES) and not names & {"ACTION", "SIDE", "COMMAND"}


def read_octobot(fields: Fields) -> Signal:
    """The signal. Raises SignalRefused."""
    word = fields.take("signal")
    if word is None:
        raise SignalRefused("FIELD_MISSING", "The alert has no SIGNAL; send SIGNAL=buy, sell or cancel.", "SIGNAL")
    intent = read_intent(word.name, text_of(word.name, word.value))
    _refuse_parts(fields, intent)
    draft = Draft(
        family="octobot",
        intent=intent,
        positions=positions_of(fields),
        amount=_amount(fields),
    )
    draft.order_id = fields.text("tag")
    draft.names = ("STOP_PRICE", "TAKE_PROFIT_PRICE")
    stop, target = fields.pop("stopprice"), fields.pop("takeprofitprice")
    draft.protection = lambda side, price: (_level(stop, side, stop=True), _level(target, side, stop=False))
    return complete(draft, fields)


def _refuse_parts(fields: Fields, intent: Intent) -> None:
    if str(fields.peek("ordertype")).strip().lower() == "stop":
        raise SignalRefused(
            "UNSUPPORTED", "ORDER_TYPE=STOP protects what OctoBot holds; send STOP_PRICE with the entry.", "ORDER_TYPE"
        )
    more = [field.name for key, field in fields.rest() if _MORE_TARGETS.fullmatch(key)]
    if more and intent.event is None:
        raise SignalRefused(
            "UNSUPPORTED", f"{more[0]} is one of several take profits; send one TAKE_PROFIT_PRICE.", more[0]
        )


def _amount(fields: Fields) -> Amount | None:
    field = fields.take("volume")
    if field is None:
        return None
    if _HOLDINGS.fullmatch(text_of(field.name, field.value)):
        raise SignalRefused(
            "QUANTITY_KIND_UNKNOWN",
            "VOLUME is a part of OctoBot's holdings; send units, or 2% of the portfolio.",
            field.name,
        )
    return amount_of(field, zero=True)  # a percent is of the position where the order leaves one


def _level(field: Field | None, side: Side | None, *, stop: bool) -> Level | None:
    if field is None:
        return None
    text = text_of(field.name, field.value)
    if not text.endswith(("d", "%")):
        return directed_level(field, side, stop=stop)
    signed = text if text[0] in "+-" else f"+{text}"
    if signed.endswith("%"):
        return directed_level(Field(field.name, signed), side, stop=stop)
    level = directed_level(Field(field.name, f"{signed[:-1]} ticks"), side, stop=stop)
    return None if level is None else Level(LevelKind.OFFSET, level.value)
