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

OF_THE_TRADE: Mapping[str, str] = MappingProxyType(
    {
        "TOO_OLD": "EXPIRED: it would have opened something later than max_age after it fired or came, or after it could be approved.",
        "ENTRY_UNPROVEN": "DENIED: nothing is held, and the broker may have the trade's entry after all; what fills of it is closed at once.",
        "NOTHING_TO_CLOSE": "DENIED: no entry of its trade was executed on the account, or its trade is closed already.",
        "NOTHING_OPEN": "DENIED: there is no open trade to add to, or whose stop could be moved.",
        "NOTHING_TO_CANCEL": "DENIED: no order of its trade was waiting or working.",
        "NO_STOP": "DENIED: no stop of its trade works at the broker, so none can be moved; set one by hand.",
        "NO_TARGET": "DENIED: no target of its trade works at the broker, so none can be moved.",
        "NO_LEVEL": "DENIED: it is to move a stop or a target and names neither.",
        "LEVEL_UNCLEAR": "DENIED: the new stop or target is no price that a working order could be given; send a price.",
        "TRADE_CLOSED": "DENIED: an entry for a trade that had its exit already; a new trade needs a new trade_id.",
        "NOT_FLAT": "DENIED: the opening half of a reversal, since the trade before it could not be closed.",
        "BAD_PAYLOAD": "DENIED: no order can be made of what was enqueued by SQL or Python.",
        "UNKNOWN_EVENT": "DENIED: the event enqueued by SQL or Python is none that can be executed.",
        "NO_ROUTE": "DENIED: no account takes this strategy's signals.",
        "NOT_ROUTABLE": "DENIED: the database refused to give it accounts.",
        "NOT_APPROVED": "EXPIRED: nobody approved it within approve_within.",
        "EXIT_OVERTOOK": "CANCELLED: the exit of its trade came before it was sent.",
        "CANCELLED_BY_ALERT": "CANCELLED: a cancel for its trade came before it was sent.",
        "MODE_CHANGED": "CANCELLED: it was enqueued in dry mode and the router is live, or the other way round. A live exit waits instead.",
        "OPERATOR_REFUSE": "CANCELLED: a person refused the entry that waited for approval.",
        "OPERATOR_DISCARD": "CANCELLED: a person discarded it.",
        "OPERATOR_REPLACE": "CANCELLED: a person changed it and sent it as another task, which names this one in retry_of.",
    }
)
"""Reasons in a task's log why no order is sent for it: what became of its trade, its age, its accounts."""

OF_THE_SIZE: Mapping[str, str] = MappingProxyType(
    {
        "SIZE_ZERO": "Less than one whole contract comes out; the row's detail holds the calculation.",
        "NO_SYMBOL": "Neither the alert nor its strategy names a symbol; set the strategy's symbol.",
        "SYMBOL_WRONG": "The symbol cannot be read; send {{ticker}}.",
        "SIDE_WRONG": "The direction is neither LONG nor SHORT.",
        "MONTH_NOT_LISTED": "The symbol names a month in which the product has no contract.",
        "INSTRUMENT_UNKNOWN": "Tick and point value of the symbol are not known here, so that nothing can be sized.",
        "CONTRACT_EXPIRED": "The contract that the alert names is not traded any more.",
        "CONTRACT_UNRESOLVED": "The symbol names no month, and which contract is active cannot be told; name the contract.",
        "CONTRACT_UNKNOWN": "The broker has no such contract, or the account may not trade it.",
        "CONTRACT_MISMATCH": "The broker's contract differs in month, tick size or tick value from what is expected here.",
        "NOT_CONVERTIBLE": "The account takes minis or micros, and the product has no such relative.",
        "CURRENCY_MISMATCH": "The contract is in another currency than the account, and its rule counts money.",
        "STOP_MISSING": "The rule sizes by risk, and the alert has no stop loss.",
        "STOP_NOT_A_DISTANCE": "The rule sizes by risk, and the stop loss is an amount of money; send a price or a distance.",
        "STOP_ON_WRONG_SIDE": "The stop loss is not below a LONG entry's price, or above a SHORT one's.",
        "TARGET_ON_WRONG_SIDE": "The take profit is not above a LONG entry's price, or below a SHORT one's.",
        "ENTRY_PRICE_MISSING": "A stop or target can be placed only with the entry's price; send it.",
        "LEVEL_TOO_CLOSE": "A stop or target is less than one tick away from the entry.",
        "NUMBER_MISSING": "A figure that the rule needs is not known, such as the equity; the message names it.",
        "NUMBER_WRONG": "A figure is no number, or out of bounds; the message names it.",
    }
)
"""Reasons why an entry is DENIED before any limit is asked: it comes to no order."""

OF_THE_RISK: Mapping[str, str] = MappingProxyType(
    {
        "HALTED": "The account, the strategy or everything is halted; resume it.",
        "REDUCING": "What is held is only closed: a flattening, or a limit that was reached; resume it.",
        "NOT_LIVE": "A live order for an account without live = true.",
        "NO_SUCH_ACCOUNT": "The broker's login has no account of this name; the message lists those that it has.",
        "ACCOUNT_AMBIGUOUS": "The broker's login has several accounts of this name; set broker_account to an id.",
        "CANNOT_TRADE": "The broker does not let the account trade now.",
        "AUTOMATION_PROHIBITED": "The firm prohibits orders by programs (automation).",
        "APPROVAL_NEEDED": "HELD: the firm wants a person to approve each entry; approve or refuse it.",
        "INSTRUMENT_NOT_ALLOWED": "The account's instruments do not include it.",
        "OUTSIDE_WINDOW": "None of the account's windows is open.",
        "PAST_FLAT_BY": "After flat_by nothing is opened until the next trading day.",
        "CLOCK_WRONG": "The alert came later than now; set the clocks of the machine and of the database.",
        "MAX_CONTRACTS": "Held, working and this together are more than max_contracts.",
        "ORDERS_PER_MINUTE": "More entries within a minute than max_orders_per_minute.",
        "DAILY_LOSS": "The day's loss has reached daily_loss less its buffer.",
        "DRAWDOWN": "The equity has reached the floor of drawdown plus its buffer.",
        "OTHER_DAY": "The account's figures are of another trading day; they have to be read first.",
        "OPPOSITE_SIDE": "An account of the same owner holds the other side of the product family, or works an order for it.",
        "PRICE_STALE": "The last known price is older than max_price_age.",
        "PRICE_OFF": "The entry's price is further off the last known one than max_price_off.",
        "OUT_OF_SYNC": "What the account holds here and at the broker differs; look at both, then at eventrouter accounts.",
        "STATE_UNKNOWN": "A limit needs a fact that nobody knows, such as balances; without it nothing is opened.",
        "CHECK_FAILED": "A check broke, by a fault of eventrouter, and counts as failed; report it with the message.",
    }
)
"""Reasons why an entry that could be sized is DENIED, or HELD: the account's limits."""

WAITING: Mapping[str, str] = MappingProxyType(
    {
        "TRADE_UNDECIDED": "Another order of its trade is being sent or looked up, or not all of its fills are known.",
        "OTHERS_CLOSING": "Exits of other trades on their way may close all that the account holds of the contract; it waits for them.",
        "WAITS_FOR_ENTRY": "It reduces or protects a trade whose entry is not sent or not filled yet.",
        "WAITS_FOR_EXIT": "The opening half of a reversal waits until the trade before it is closed.",
        "WAITS_FOR_SENDING": "A router is sending something of its account and product; the row says which task, and until when at the latest.",
        "WAITS_FOR_UNKNOWN": "Whether the broker has another entry of its account is not known; the row says which. Exits do not wait.",
        "CIRCUIT_OPEN": "Its broker does not answer; entries wait without being sent until it does, or until they are too old.",
        "WAY_CLEARED": "The broker's orders or fills that it waited for have come; it is looked at again at once.",
        "CLEARING": "Working orders of its trade are withdrawn or made smaller first.",
        "STILL_CLEARING": "The same, for ten seconds already, or the broker refused it, as the row says; it is asked again.",
        "FLATTENING": "Everything on its account is being closed at the broker; it waits for that.",
        "CONTRACT_WAITS": "The broker could not say which contract is meant; it is asked again.",
        "NO_ROUTER": "No running router knows its account.",
        "NOT_SENT": "Nothing left this machine; it is sent again, or FAILED or EXPIRED once that is too late.",
        "SESSION_REFUSED": "The broker refused the login and not the order; it is sent again after a new login.",
        "ABSENT": "The broker does not have it, so it is sent again under the same id.",
        "REPEATABLE": "A cancel or a moved stop whose answer was lost is not seen at the broker; it is done again.",
        "OPERATOR_HOLD": "HELD: a person stopped it until it is approved.",
        "OPERATOR_APPROVE": "A person approved it; the limits are asked once more.",
        "OPERATOR_RETRY": "A person has it sent again, under a new client order id.",
    }
)
"""Reasons why a task is still PENDING, or again."""

NOT_SENT: Mapping[str, str] = MappingProxyType({**OF_THE_TRADE, **OF_THE_SIZE, **OF_THE_RISK, **WAITING})
"""Reasons in a task's log why no order was sent for it, or not yet."""

SENT: Mapping[str, str] = MappingProxyType(
    {
        "ENQUEUED": "The first row of every log.",
        "ROUTED": "A task that named no account was given its own.",
        "INTENT": "SENDING: everything about the order is recorded, and it may leave from here on.",
        "ACCEPTED": "The broker has the order, and it works.",
        "DONE": "SUCCESS: the broker did it, or it was simulated.",
        "REJECTED": "FAILED: the broker refused it; its answer is in the row.",
        "UNKNOWN_OUTCOME": "No certain answer: the order is looked up by its client order id, never sent again blindly.",
        "LEASE_ENDED": "The router that was sending it is gone, so its outcome is looked up.",
        "FOUND": "The look-up found it.",
        "FOUND_REJECTED": "FAILED: the look-up found that the broker had refused it.",
        "LOOK_UP_FAILED": "The broker could not be asked what became of it; it is asked again, after growing pauses.",
        "NOT_FOUND": "The look-up found nothing yet; it looks again.",
        "NOT_PROVEN": "REVIEW: it was not found, and that does not prove that the broker lacks it; look there, then retry or discard.",
        "NOT_OURS": "REVIEW: an order with its id differs from what was sent; look at the broker.",
        "FILL": "An execution of the order.",
        "PARTIALLY_FILLED": "Part of it is filled, the rest works.",
        "FILLED": "SUCCESS: all of it is filled.",
        "PARTIAL": "SUCCESS: the order ended with part of it filled.",
        "STOP_FILLED": "The entry's stop filled.",
        "TARGET_FILLED": "The entry's target filled.",
        "CANCELLED": "CANCELLED: the order was cancelled as asked, without a fill.",
        "REJECTED_LATE": "FAILED: the broker rejected it after it had accepted it.",
        "EXPIRED_AT_BROKER": "FAILED: the order expired without a fill.",
        "CANCELLED_AT_BROKER": "FAILED: the broker cancelled it unasked, without a fill.",
        "NO_LONGER_KNOWN": "UNKNOWN: the broker lists the order no more; it is looked up.",
        "CANCEL_REQUESTED": "The broker is asked to withdraw the order.",
        "CANCEL_ANSWERED": "What the broker said to that.",
        "RESIZE_REQUESTED": "The broker is asked to make the order smaller.",
        "RESIZE_ANSWERED": "What the broker said to that.",
        "LATE_ACCEPTANCE": "The broker's yes came after the task had moved on, and counts.",
        "LATE_ANSWER": "Another answer came after the task had moved on, and is kept as evidence.",
        "OPERATOR_RESOLVE": "SUCCESS: a person found that it is done.",
        "EARLIER_ORDER": "An order of before a retry turned up beside the one sent after it: what works of it is withdrawn; where it filled "
        "the account is out of sync.",
        "LATE_FILL": "The order of a task that had ended filled: the account is out of sync; look at the broker.",
    }
)
"""Reasons in a task's log from its intent on, evidence included."""

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
