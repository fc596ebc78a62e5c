"""Why an alert is refused, and why a task is not sent: every code, with what it means and what to do."""

from collections.abc import Mapping
from types import MappingProxyType

REFUSALS: Mapping[str, str] = MappingProxyType(
    {
        "BODY_EMPTY": "The alert has no body; put the order into the alert's message field.",
        "BODY_TOO_LARGE": "The body is larger than 64 KiB; send one order, without indicator data.",
        "BODY_NOT_UTF8": "The body is not UTF-8 text; set the sender's encoding to UTF-8.",
        "TEXT_WRONG": "The body holds control characters, a NUL or half a surrogate pair; remove them.",
        "BODY_NOT_JSON": "The body looks like JSON and is not; mend it at the line and column that the message names.",
        "BODY_NOT_OBJECT": "The body is JSON, but no object; send { … } with the order's fields.",
        "KEY_REPEATED": "A field stands twice in the body; keep one of the two.",
        "TOO_MANY_FIELDS": "The body holds more than 1,000 values; send the order's fields only.",
        "FORMAT_UNKNOWN": "The body is in no known format, or text for people; send JSON with action, symbol and quantity.",
        "NOT_AN_ORDER": "The alert asks for nothing that an account could do: a message, a query, a command to another "
        "vendor's bot; send it elsewhere, or send an order.",
        "MANY_ORDERS": "The alert holds several orders or a program of steps; send one alert per order.",
        "INJECTION": "A value holds further fields (…;command=…); send plain values, and find out who put them there.",
        "PLACEHOLDER": "A field arrived as a placeholder such as {{ticker}}; use one that the sender knows, in its spelling.",
        "FIELD_MISSING": "A field that this order needs is missing or empty; add it.",
        "FIELD_MISSPELT": "A field of this format is written in another way, such as stopLoss; write it as documented.",
        "FIELD_WRONG": "A field holds something else than its meaning allows; the message says what is expected.",
        "NUMBER_WRONG": "A number is NaN, no number, or has more than 15 digits; give the plot a value on every bar.",
        "PRICE_WRONG": "A price is negative, or zero where it cannot be; send a price greater than zero.",
        "QUANTITY_WRONG": "A quantity is zero, negative or more than 100 percent; send a quantity greater than zero.",
        "QUANTITY_KIND_UNKNOWN": "It is not said what the quantity counts; send quantity in units, or quantityType with it.",
        "TIME_WRONG": "A time cannot be read or has no zone; send {{timenow}}, or 2026-03-10T14:31:05Z.",
        "SYMBOL_WRONG": "The symbol has a form that no instrument has; send {{ticker}}.",
        "OPTIONS_UNSUPPORTED": "The alert is about an option; options are not traded here.",
        "SPREAD_UNSUPPORTED": "The alert is about a spread or has several legs; send one order per leg.",
        "DELAYED_DATA": "The chart shows delayed data (…_DL, …_DLY); subscribe to the exchange's data, then renew the alert.",
        "ACTION_UNKNOWN": "The action is no known word; send buy, sell, exit, add, reduce, reverse, cancel or flatten.",
        "SIDE_MISSING": "The alert does not say LONG or SHORT; add side, or send buy or sell as the action.",
        "ORDER_TYPE_UNKNOWN": "The order type is no known word; send market, limit, stop, stop_limit or trailing_stop.",
        "CONTRADICTION": "Two fields of the alert cannot both be true, such as buy with a stop above the price; the message "
        "names them.",
        "AMBIGUOUS": "The alert has more than one meaning, and none is guessed; the message says which field would decide.",
        "UNSUPPORTED": "The alert asks for something that cannot be done here and would change the order; leave the field "
        "out if the order is meant without it.",
        "KIND_UNKNOWN": "kind must be ENTRY or EXIT.",
        "TRADE_ID_WRONG": "trade_id must have 1 to 100 printable characters.",
        "DIRECTION_WRONG": "direction must be LONG or SHORT.",
        "EXIT_TYPE_WRONG": "exit_type must be a short word such as SL, BE or TP.",
        "STOP_ON_WRONG_SIDE": "The stop_loss must be below a LONG entry's price and above a SHORT one's.",
        "STRATEGY_MISMATCH": "The alert names another strategy than the one whose token it has; use that strategy's address.",
        "SYMBOL_NOT_ALLOWED": "The strategy may not open this symbol; add it to the strategy's symbols if it should.",
        "SIDE_NOT_ALLOWED": "The strategy may not open this side; add it to the strategy's sides if it should.",
        "QUANTITY_TOO_LARGE": "The quantity is above the strategy's max_quantity; send less, or raise it.",
        "QUANTITY_NOT_COUNTED": "The strategy has a max_quantity, and this quantity is money or percent, which it cannot limit; "
        "send units.",
        "TOO_MANY_ALERTS": "The strategy opened more often than its alerts_per_minute; what closes is never refused for that.",
        "NO_CHANGE": "The alert wants a position of the size that is open already; there is nothing to do.",
        "OVERTAKEN": "The entry fired before an exit that came first; it would open what that exit was to close.",
        "NOT_STORABLE": "The database refused a value of the alert; report it with the redacted body.",
        "READING_FAILED": "The body could not be read, by a fault of eventrouter; report it with the redacted body.",
    }
)

NOT_SENT: Mapping[str, str] = MappingProxyType(
    {
        "TOO_OLD": "EXPIRED: it would have opened something later than max_age after it fired or came.",
        "NOTHING_TO_CLOSE": "DENIED: no entry of its trade was executed on the account, or its trade is closed already.",
        "NOTHING_OPEN": "DENIED: there is no open trade to add to, or whose stop could be moved.",
        "NOTHING_TO_CANCEL": "DENIED: no order of its trade was waiting.",
        "TRADE_CLOSED": "DENIED: an entry for a trade that had its exit already; a new trade needs a new trade_id.",
        "NOT_FLAT": "DENIED: the opening half of a reversal, since the trade before it could not be closed.",
        "BAD_PAYLOAD": "DENIED: no order can be made of what was enqueued by SQL or Python.",
        "UNKNOWN_EVENT": "DENIED: the event enqueued by SQL or Python is none that can be executed.",
        "NO_ROUTE": "DENIED: no account takes this strategy's signals.",
        "NOT_ROUTABLE": "DENIED: the database refused to give it accounts.",
        "EXIT_OVERTOOK": "CANCELLED: the exit of its trade came before it was sent.",
        "CANCELLED_BY_ALERT": "CANCELLED: a cancel for its trade came before it was sent.",
        "MODE_CHANGED": "CANCELLED: it was enqueued in dry mode and the router is live, or the other way round.",
        "TRADE_UNDECIDED": "Still PENDING: another order of its trade is being sent or looked up.",
        "WAITS_FOR_ENTRY": "Still PENDING: it reduces or protects a trade whose entry is not sent yet.",
        "WAITS_FOR_EXIT": "Still PENDING: the opening half of a reversal waits until the trade before it is closed.",
        "NO_ROUTER": "Still PENDING: no running router knows its account.",
    }
)
"""Reasons in a task's log why no order was sent for it, or not yet."""

NOT_PLANNED: Mapping[str, str] = MappingProxyType(
    {
        "ACCOUNT_DISABLED": "The account is not enabled; exits of what it holds still go there.",
        "NOT_IN_STRATEGY": "The strategy names the accounts that trade it, and this is none of them.",
        "NO_ROUTE": "There are routes, and none brings signals of this strategy to the account.",
        "INSTRUMENT_NOT_ROUTED": "The account's routes for this strategy take other instruments.",
        "EVENT_NOT_ROUTED": "The account's routes for this strategy and instrument take other events.",
    }
)
"""Why an account gets no task for a signal: plan.py."""
