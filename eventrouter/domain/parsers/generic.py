"""Orders as many bots take them: symbol or ticker, action or side or direction, quantity or contracts, in any nesting.

`price` is the sender's reference price; for a limit order without a limit price of its own it is the limit. A time
called `time` is when the alert fired, unless another field says that; then it is the bar's. `volume` is a quantity only
in MetaApi's form: elsewhere it may be the bar's volume. On what leaves a position at the market, an unreadable
reference price has no effect and is noted; everywhere else it refuses the alert.
"""

from eventrouter.domain.parsers.actions import Intent, intent_of, is_noise, means_action, read_intent, together
from eventrouter.domain.parsers.amounts import Amount, amount_of, kind_of
from eventrouter.domain.parsers.exits import leaving
from eventrouter.domain.parsers.fields import Fields
from eventrouter.domain.parsers.levels import stop_loss_of, take_profit_of
from eventrouter.domain.parsers.order_prices import own_prices, read_order_type, read_prices
from eventrouter.domain.parsers.orders import Draft, event_of, is_order_type, refuse_order_id, settled
from eventrouter.domain.parsers.positions import FLAT, Positions, positions_of
from eventrouter.domain.parsers.symbols import exchange_of, symbol_of
from eventrouter.domain.parsers.values import Number, check_trade_id, odd_reason, text_of
from eventrouter.domain.signals import Event, QuantityKind, Side, Signal
from eventrouter.errors import SignalRefused

ACTIONS = (
    *("action", "orderaction", "tradeaction", "side", "orderside", "tradeside", "direction", "positiondirection"),
    *("operation", "transactiontype", "command", "cmd", "event"),
)
_SOFT_ACTIONS = ("signal", "signaltype", "type", "order", "mode", "message", "position", "kind")
_REFINING = frozenset({"mode", "message", "position", "kind"})  # alone they ask for nothing
_SIDES = frozenset({"side", "orderside", "tradeside", "direction", "positiondirection"})
SYMBOLS = ("symbol", "ticker", "instrument", "tvinstrument", "tradingsymbol", "pair", "contract", "instid")
_UNITS = (
    *("quantity", "qty", "contracts", "ordercontracts", "orderquantity", "orderqty", "size", "ordersize", "sz"),
    *("lots", "lot", "lotsize", "units", "shares"),
)
_OTHER_AMOUNTS = {
    QuantityKind.RISK_PERCENT: ("riskpercent", "riskpercentage", "riskpct", "percentrisk"),
    QuantityKind.RISK_AMOUNT: ("riskamount", "riskdollars", "riskusd", "riskdollaramount"),
    QuantityKind.CASH: (
        *("usd", "cash", "dollars", "dollaramount", "amountusd", "usdamount", "quoteqty", "notional", "sizeusd"),
        *("qtyusd", "quantityusd", "ordersizeusd", "notionalusd"),
    ),
    QuantityKind.PERCENT_OF_EQUITY: ("percentofequity", "equitypercent", "equitypct"),
    QuantityKind.PERCENT_OF_POSITION: (
        *("percentofposition", "closepercent", "positionpercent", "closepct", "closepercentage", "exitpercent"),
        *("exitpct", "positionpct"),
    ),
}
_PERCENTS = (
    *("qtypercent", "quantitypercent", "quantitypercentage", "qtypct", "quantitypct", "sizepercent", "sizepct"),
    "orderpercent",
)
_BARE_PERCENTS = ("percent", "pct", "percentage", "volpercent", "volpct")
_KIND_WORDS = ("quantitytype", "qtytype", "sizetype", "quantitykind", "amounttype", "currencytype", "volumetype")
_UNCLEAR = ("amount", "risk", "volume")
_REFERENCES = (
    *("price", "orderprice", "signalprice", "entryprice", "marketprice", "currentprice", "fillprice", "lastprice"),
    "close",
)
_FIRED = ("firetime", "timenow", "timestamp", "alerttime", "signaltime", "firedat", "metadata/timestamp")
_ORDERISH = frozenset(
    {*_UNITS, "stoploss", "sl", "tp", "takeprofit", "ordertype", "limitprice", "stopprice", "reduceonly"}
)


def read_generic(fields: Fields) -> Signal:
    """The signal of an order in no vendor's own form. Raises SignalRefused."""
    positions = positions_of(fields)
    draft = Draft(family="generic", intent=intent(fields, positions), positions=positions, amount=amount(fields))
    return complete(draft, fields)


def complete(draft: Draft, fields: Fields, *, references: tuple[str, ...] = _REFERENCES, own: bool = True) -> Signal:
    """The signal from a draft that has its words, positions and amount, and the fields of the rest. Raises SignalRefused.

    `references` are the fields with the reference price; `own`: a limit order without a limit price has its in `price`.
    """
    draft.symbol = draft.symbol or _symbol(fields)
    draft.exchange = exchange_of(fields, "exchange", "tvexchange")
    draft.strategy = draft.strategy or fields.text("strategy", "strategyname", "strategyid", "metadata/strategy")
    trade_id = fields.text("tradeid", "positionid")
    draft.trade_id = None if trade_id is None else check_trade_id(trade_id, fields.name_of("tradeid", "positionid"))
    draft.order_id = draft.order_id or fields.text("orderid", "clientorderid", "orderref")
    draft.source_id = fields.text("signalid", "eventid", "messageid", "idempotencykey", "requestid")
    draft.max_age_s = fields.number("maxlag", "maxage", "maxages")
    draft.intent = leaving(draft.intent, fields)
    event, side = event_of(draft)
    refuse_order_id(draft, event, fields)
    _times(draft, fields)
    read_order_type(draft, fields)
    read_prices(draft, fields, references, leaves=event in (Event.EXIT, Event.FLATTEN, Event.CANCEL))
    if own:
        own_prices(draft, fields)
    if draft.protection is None:
        draft.names = _names(fields, side)
        draft.protection = lambda towards, price: (
            stop_loss_of(fields, towards, price),
            take_profit_of(fields, towards, price),
        )
    return settled(draft, fields)


def intent(fields: Fields, positions: Positions) -> Intent:
    """What the alert's words want together, or its positions where it has no word. Raises SignalRefused."""
    said: list[tuple[str, Intent]] = []
    beside: list[tuple[str, Intent]] = []
    for key in ACTIONS:
        field = fields.take(key)
        if field is None:
            continue
        word = text_of(field.name, field.value)
        if key == "event" and is_noise(word):
            continue
        target = beside if key in _SIDES else said
        target.append((field.name, read_intent(field.name, word)))
    softly = list(_soft(fields, alone=not said and not beside))
    if not (said or beside or softly):
        return _from_positions(fields, positions)
    if any(
        one.event in (Event.EXIT, Event.REDUCE) for _, one in [*said, *softly, *beside]
    ):  # a side of buy or sell beside "close" may name the order or the position
        beside = [(name, one) for name, one in beside if one.order is None or one.event is not None]
    found = together([*said, *beside, *softly])
    if (
        fields.flag("flattenfirst", "closeopposite", "closefirst")
        and found.event in (None, Event.ENTRY)
        and found.direction is not None
        and (positions.before, positions.after) == (None, None)
    ):
        return Intent(Event.REVERSE, found.order, found.side, found.order_type)
    return found


def amount(fields: Fields) -> Amount | None:
    """The alert's one quantity, of whatever kind. Raises SignalRefused."""
    word = fields.text(*_KIND_WORDS)
    kind = None if word is None else kind_of(fields.name_of(*_KIND_WORDS), word)
    if kind is None and fields.sent("stub"):
        _refuse_mode(fields)
        kind = None if str(fields.peek("size")).strip().endswith("%") else QuantityKind.CASH  # its sizes are dollars
    found: list[Amount] = []
    field = fields.one(*_UNITS)
    if field is not None and (units := amount_of(field, kind)):
        found.append(units)
    for other, names in _OTHER_AMOUNTS.items():
        field = fields.one(*names)
        if field is not None and (value := amount_of(field, other, zero=True)):
            found.append(value)
    for bare, names in ((False, _PERCENTS), (True, _BARE_PERCENTS)):
        field = fields.one(*names)
        if field is not None and (part := amount_of(field, QuantityKind.PERCENT_OF_POSITION, zero=True)):
            found.append(Amount(part.name, part.value, percent=True, bare=bare))
    if not found:
        found += _unclear(fields, kind)
    if len(found) > 1:
        raise SignalRefused(
            "CONTRADICTION", f"{found[0].name} and {found[1].name} are two quantities; send one.", found[1].name
        )
    return found[0] if found else None


def _refuse_mode(fields: Fields) -> None:
    """The form with a stub knows one more mode than reverse, which closes only what is smaller than the order."""
    mode = fields.peek("mode")
    if isinstance(mode, str) and intent_of(mode) is None:
        raise SignalRefused(
            "UNSUPPORTED",
            f"mode is {mode[:40]!r}, which depends on the size that is held; send exit or reverse.",
            "mode",
        )


def _unclear(fields: Fields, kind: QuantityKind | None) -> list[Amount]:
    """Fields that may or may not be a quantity: clear by their kind, by their unit or by MetaApi's type."""
    metaapi = "_TYPE_" in str(fields.peek("type")).upper()
    for name in _UNCLEAR:
        if name == "volume" and not metaapi and kind is None and fields.has("open", "high", "low", "close"):
            continue
        field = fields.take(name)
        if field is None:
            continue
        value = amount_of(field, kind, zero=True)
        if value is None:
            continue
        if name == "risk" and kind is None and (value.percent or value.kind is QuantityKind.CASH):
            kind = QuantityKind.RISK_PERCENT if value.percent else QuantityKind.RISK_AMOUNT
            value = Amount(value.name, value.value, kind)
        if kind is None and not metaapi and not value.percent and value.kind is QuantityKind.FIXED:
            raise SignalRefused(
                "QUANTITY_KIND_UNKNOWN",
                f"{field.name} may be units, money or percent; send quantity, or quantityType with it.",
                field.name,
            )
        return [value]
    return []


def _soft(fields: Fields, *, alone: bool) -> list[tuple[str, Intent]]:
    """Fields that want something only if their word is one for it. `alone`: no other field says what is wanted."""
    found = []
    for key in _SOFT_ACTIONS:
        value = fields.peek(key)
        if alone and key in _REFINING:
            continue
        if key == "signal" and alone and isinstance(value, str | Number):
            field = fields.take(key)
            if field is not None:
                found.append((field.name, read_intent(field.name, text_of(field.name, field.value))))
        elif (
            isinstance(value, str)
            and (one := intent_of(value)) is not None
            and not (key == "type" and is_order_type(value))
        ):
            field = fields.take(key)
            found.append((key if field is None else field.name, one))
    return found


def _from_positions(fields: Fields, positions: Positions) -> Intent:
    before, after = positions.before, positions.after
    if after == FLAT:
        return Intent(Event.EXIT)
    if after is not None and before is not None:
        side = Side(after)
        if before != after:
            return Intent(side=side)
        if positions.before_size is not None and positions.after_size is not None:
            grows = positions.after_size > positions.before_size
            other = Side.SHORT if side is Side.LONG else Side.LONG
            return Intent(order=side if grows else other)
    if any(len(name) == 1 and means_action(str(fields.peek(name))) for name in fields.names()):
        raise SignalRefused(
            "FORMAT_UNKNOWN",
            "The alert names its fields by single letters; call them action, symbol and quantity.",
            None,
        )
    if fields.names() & _ORDERISH:
        raise SignalRefused("FIELD_MISSING", "The alert has no action; send buy, sell, exit or another.", "action")
    raise SignalRefused("NOT_AN_ORDER", "The alert names no action; it is kept, and nothing is traded.", None)


def _symbol(fields: Fields) -> str | None:
    symbol = symbol_of(fields, *SYMBOLS)
    other = fields.peek("ticker")
    if symbol is not None and isinstance(other, str) and other.strip() and odd_reason(other) is None:
        one, two = symbol.rsplit(":", 1)[-1].upper(), other.strip().rsplit(":", 1)[-1].upper()
        if one != two:
            raise SignalRefused(
                "CONTRADICTION", "symbol and ticker name different instruments; send one of them.", "ticker"
            )
    return symbol


def _times(draft: Draft, fields: Fields) -> None:
    draft.bar_time = fields.moment("bartime", "candletime", "bar/time")
    draft.fire_time = draft.fire_time or fields.moment(*_FIRED)
    if draft.fire_time is None:
        draft.fire_time = fields.moment("time")
    elif draft.bar_time is None:
        draft.bar_time = fields.moment("time")


def _names(fields: Fields, side: Side | None) -> tuple[str, str]:
    sided = "" if side is None else side.lower()
    stop = fields.name_of("stoploss", "sl", "slprice", "stoplossprice", f"{sided}sl", "stop")
    target = fields.name_of("takeprofit", "tp", "tpprice", "takeprofitprice", f"{sided}tp", "target")
    return stop, target
