"""Family 7: orders in words, between commas, pipes or spaces.

LICENCE,buy,SYMBOL,name=value,…          the licence is a secret
key|strategy|buy|SYMBOL                  the key is a secret
account SYMBOL buy 300$ x3               one order in words, in any sequence; `position -50` names the position wanted
password, and on the next line: long SYMBOL q=0.1 sl=1000

Every word must be understood, or the body is text for humans and refused. A number counts units when it follows buy or
sell; after a symbol it could be a price as well, and is refused. sl= and tp= between commas are pips, prices or percent
by a setting of the vendor's; they are read as prices only beside a price that shows it. In the password form they are
ticks, as its vendor documents.
"""

import re
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice

from eventrouter.domain.parsers.actions import Intent, intent_of, means_action, plain, together
from eventrouter.domain.parsers.amounts import Amount, amount_of
from eventrouter.domain.parsers.closing import forgiving
from eventrouter.domain.parsers.fields import Field, Fields
from eventrouter.domain.parsers.generic import amount, complete
from eventrouter.domain.parsers.levels import level_of, stop_loss_of, take_profit_of
from eventrouter.domain.parsers.orders import Draft
from eventrouter.domain.parsers.positions import Positions, positions_of
from eventrouter.domain.parsers.secret_fields import Findings, looks_secret, names_secret
from eventrouter.domain.parsers.symbols import check_symbol
from eventrouter.domain.parsers.values import (
    MOST_CHARACTERS,
    Value,
    decimal_of,
    is_placeholder,
    refuse_unsafe,
    word_set,
)
from eventrouter.domain.signals import Event, Level, LevelKind, OrderType, QuantityKind, Side, Signal
from eventrouter.errors import SignalRefused

MOST_WORDS = 30
MOST_LINES = 300
FIXED = QuantityKind.FIXED

_SYMBOL = re.compile(r"(?=[^A-Z]*[A-Z])[A-Z0-9][A-Z0-9_.:!/\-]{0,39}", re.ASCII)
_FIELD_SYMBOL = re.compile(r"(?=[^A-Z0-9]*[A-Z0-9])[A-Za-z0-9][A-Za-z0-9_.:!/#\-]{0,39}", re.ASCII)
_ORDINARY = re.compile(
    r"[A-Za-z]?[a-z]*[.!?:]?|[A-Z]+[.!?:]?", re.ASCII
)  # a word of a language, no account or password
_PAIR = re.compile(r"([A-Za-z_][A-Za-z0-9_]{0,39})[ \t]{0,8}=[ \t]{0,8}(\S.*)", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)", re.ASCII)
_AMOUNT = re.compile(r"[+-]?\d+(?:\.\d+)?[$%@]", re.ASCII)
_LEVERAGE = re.compile(r"x\d{1,3}|\d{1,3}x", re.IGNORECASE | re.ASCII)
_ACCOUNT = re.compile(r"[A-Za-z0-9_\-]{1,60}", re.ASCII)
_LIMIT = re.compile(r"limit:([^:\s]{1,60}):([\d.]{1,20})", re.ASCII)
_CANCEL = re.compile(r"cancel:([^:\s]{1,60})", re.ASCII)
_TARGETS = frozenset({"position", "pos"})
_LICENCE = re.compile(r"\d{8,40}", re.ASCII)
_LETTERS = re.compile(r"[A-Za-z_\-]+", re.ASCII)
_PLAIN_WORDS = word_set(
    "SIGNAL ALERT NOW ALL TRIGGERED ENTRY EXIT POSITION ORDER STOP TARGET TP SL AT THE MARKET PRICE TREND SETUP NEW FOR "
    "ON IN TO IS OF AND OR HERE TODAY ZONE CROSS CROSSED UP DOWN STRONG WEAK CONFIRMED"
)
_NEGATIONS = word_set(
    "no not dont do never without avoid skip ignore wait maybe perhaps possible potential possibly nicht kein"
)
_UNKNOWN = 'The alert is in no known format; send JSON such as {"action": "buy", "symbol": "MNQ1!", "quantity": 1}.'


@dataclass(slots=True)
class Phrase:
    """The words of one order. `style` is comma, pipe or words.

    `password`: a first line of its own was the password. `hidden`: a word was taken for a secret and left out.
    `negated`: a word takes the order back or doubts it.
    """

    words: list[tuple[str, int]]
    style: str
    password: bool = False
    hidden: bool = False
    negated: bool = False


@dataclass(slots=True)
class Parts:
    """What the words are, each understood as one thing."""

    intents: list[tuple[str, Intent]] = field(default_factory=list)
    pairs: dict[str, Value] = field(default_factory=dict)
    symbol: str | None = None
    amount: Amount | None = None
    target: Decimal | None = None
    limit: Decimal | None = None
    order_id: str | None = None
    leverage: str | None = None
    account: str | None = None
    strategy: str | None = None


def read_phrase(text: str, findings: Findings) -> Phrase:
    """The words, without the secret ones. Raises SignalRefused: FORMAT_UNKNOWN, MANY_ORDERS."""
    lines = [
        match for match in re.finditer(r"[^\r\n]+", text) if match[0].strip() and not match[0].lstrip().startswith("//")
    ]
    password = len(lines) == 2 and _is_password(lines[0][0].strip(), lines[1][0])
    if password:
        start = lines[0].start() + len(lines[0][0]) - len(lines[0][0].lstrip())
        findings.secret(start, start + len(lines[0][0].strip()), lines[0][0].strip())
        lines = lines[1:]
    phrases = [_phrase(line[0], line.start(), findings, password=password) for line in lines[:MOST_LINES]]
    if len(phrases) > 1 and all(any(means_action(word) for word, _ in phrase.words) for phrase in phrases):
        raise SignalRefused("MANY_ORDERS", "The alert holds several lines with orders; send one alert per order.", None)
    if len(phrases) != 1 or not _is_readable(phrases[0]):
        raise SignalRefused("FORMAT_UNKNOWN", _UNKNOWN, None)
    return phrases[0]


def read_words(phrase: Phrase) -> Signal:
    """The signal. Raises SignalRefused."""
    if phrase.negated:
        raise SignalRefused("FORMAT_UNKNOWN", _UNKNOWN, None)
    for word, _ in phrase.words:
        refuse_unsafe("The alert", word)
        if is_placeholder(word):
            raise SignalRefused("PLACEHOLDER", f"{word[:60]} is a placeholder, which the sender did not fill in.", None)
    return _signal(_positional(phrase) if phrase.style != "words" else _spoken(phrase), phrase)


def _phrase(line: str, start: int, findings: Findings, *, password: bool) -> Phrase:
    style, separator = ("pipe", r"[^|]+") if "|" in line else ("comma", r"[^,]+") if "," in line else ("words", r"\S+")
    found = [(match[0], start + match.start()) for match in islice(re.finditer(separator, line), MOST_WORDS + 1)]
    words = [(word.strip(), at + len(word) - len(word.lstrip())) for word, at in found]
    phrase = Phrase(words, style, password, negated=any(_negates(word) for word, _ in words))
    _hide(phrase, findings)
    return phrase


def _negates(word: str) -> bool:
    """Whether the word takes the order back; what is written in other letters or signs may."""
    return plain(word) in _NEGATIONS or not (word.isascii() or _PAIR.fullmatch(word))


def _is_readable(phrase: Phrase) -> bool:
    return len(phrase.words) <= MOST_WORDS and all(len(word) <= 2 * MOST_CHARACTERS for word, _ in phrase.words)


def _hide(phrase: Phrase, findings: Findings) -> None:
    """Report the words that are secrets and take them out: the licence before the command, token=…, a password-like word."""
    commands = (index for index, (word, _) in enumerate(phrase.words) if means_action(word) or is_placeholder(word))
    action = next(commands, None)
    kept: list[tuple[str, int]] = []
    for index, (word, start) in enumerate(phrase.words):
        pair = _PAIR.fullmatch(word)
        if pair is not None and names_secret(pair[1]):
            findings.secret(start + pair.start(2), start + pair.end(2), pair[2])
        elif pair is None and _is_secret(phrase, index, action):
            findings.secret(start, start + len(word), word)
            phrase.hidden = True
            if phrase.style != "words":
                kept.append(("", start))  # the places of the others count
        else:
            kept.append((word, start))
    phrase.words = kept


def _is_secret(phrase: Phrase, index: int, action: int | None) -> bool:
    """The first field before the command; the first or last of spoken words that looks like a password."""
    word = phrase.words[index][0]
    if phrase.style != "words":
        if index > 0 or re.search(r"[!:/]", word):
            return False
        return _LICENCE.fullmatch(word) is not None or looks_secret(word) if action is None else action > 0
    if _known(word) or index not in (0, len(phrase.words) - 1):
        return False
    return looks_secret(word) or (index == 0 and action == 1 and not _ORDINARY.fullmatch(word))


def _known(word: str) -> bool:
    known = (_SYMBOL, _NUMBER, _AMOUNT, _LEVERAGE, _LIMIT, _CANCEL, _PAIR)
    return means_action(word) or is_placeholder(word) or any(pattern.fullmatch(word) for pattern in known)


def _is_password(first: str, second: str) -> bool:
    words = second.split(None, 1)
    if re.search(r"[\s,;=|]", first) or means_action(first) or not words or not means_action(words[0]):
        return False
    return "=" in second or not _ORDINARY.fullmatch(first)


def _positional(phrase: Phrase) -> Parts:
    """Fields between commas or pipes: [licence or key], [strategy], command, symbol, pairs."""
    parts = Parts()
    words = [word for word, _ in phrase.words]
    index = next((index for index, word in enumerate(words) if means_action(word)), None)
    if index is None or index > (2 if phrase.style == "pipe" else 1):
        raise SignalRefused("FORMAT_UNKNOWN", _UNKNOWN, None)
    before, after = words[:index], words[index + 1 :]
    if index == 2:
        parts.strategy = before[1] or None
    if before and before[0]:
        parts.symbol = before[0]
    parts.intents.append(("action", intent_of(words[index]) or Intent()))
    for word in after:
        pair = _PAIR.fullmatch(word)
        if pair is not None:
            _add_pair(parts, pair[1], pair[2].strip())
        elif parts.symbol is None and _FIELD_SYMBOL.fullmatch(word) and not means_action(word):
            parts.symbol = word
        elif _NUMBER.fullmatch(word):
            raise _unclear(word)
        elif word:
            raise SignalRefused(
                "FORMAT_UNKNOWN", "A field after the command is neither a symbol nor name=value; name it.", None
            )
    return parts


def _spoken(phrase: Phrase) -> Parts:
    """Words in any sequence."""
    parts = Parts()
    words = [word for word, _ in phrase.words]
    if not any(means_action(word) or plain(word) in _TARGETS or _CANCEL.fullmatch(word) for word in words):
        raise SignalRefused("FORMAT_UNKNOWN", _UNKNOWN, None)
    previous = ""
    for index, word in enumerate(words):
        _speak(parts, word, previous, ends=index in (0, len(words) - 1))
        previous = word
    if (not parts.intents and parts.target is None) or (parts.symbol is None and (phrase.hidden or parts.account)):
        raise SignalRefused("FORMAT_UNKNOWN", _UNKNOWN, None)
    return parts


def _speak(parts: Parts, word: str, previous: str, *, ends: bool) -> None:
    """Understand one word as one thing."""
    if pair := _PAIR.fullmatch(word):
        _add_pair(parts, pair[1], pair[2])
    elif limit := _LIMIT.fullmatch(word):
        parts.order_id, parts.limit = limit[1], decimal_of("limit", limit[2])
    elif cancel := _CANCEL.fullmatch(word):
        parts.intents.append(("cancel", Intent(Event.CANCEL)))
        parts.order_id = None if cancel[1].lower() == "all" else cancel[1]
    elif _LETTERS.fullmatch(word) and (intent := intent_of(word)):
        parts.intents.append((word[:40], intent))
    elif _LEVERAGE.fullmatch(word) and parts.leverage is None:
        parts.leverage = word
    elif _NUMBER.fullmatch(word) or _AMOUNT.fullmatch(word):
        _add_number(parts, word, previous)
    elif plain(word) in _TARGETS:
        return
    elif _SYMBOL.fullmatch(word) and word not in _PLAIN_WORDS and parts.symbol is None:
        parts.symbol = word
    elif ends and parts.account is None and _ACCOUNT.fullmatch(word) and not _ORDINARY.fullmatch(word):
        parts.account = word
    else:
        raise SignalRefused("FORMAT_UNKNOWN", _UNKNOWN, None)


def _add_number(parts: Parts, word: str, previous: str) -> None:
    if parts.amount is not None or parts.target is not None:
        raise _unclear(word)
    if plain(previous) in _TARGETS:
        sign = "-" if word.startswith("-") else ""
        parts.amount = amount_of(Field("position", word.lstrip("+-")), zero=True)
        parts.target = Decimal(f"{sign}1") if parts.amount is not None else Decimal(0)
    elif means_action(previous) and _NUMBER.fullmatch(word) and Decimal(word) == 0:
        _add_pair(parts, "quantity", word)  # refused as any zero is, but where it closes
    elif means_action(previous) or word[-1] in "$%@":
        parts.amount = amount_of(Field("quantity", word))
    else:
        raise _unclear(word)


def _add_pair(parts: Parts, name: str, value: str) -> None:
    if name.lower() in {known.lower() for known in parts.pairs}:
        raise SignalRefused(
            "KEY_REPEATED", f"The alert names {name[:40]!r} twice; which one counts cannot be known.", name
        )
    parts.pairs[name] = value


def _signal(parts: Parts, phrase: Phrase) -> Signal:
    aliases = {"q": "lots", "vol": "lots", "vollots": "lots", "slp": "slprice", "tpp": "tpprice", "qt": "quantitytype"}
    pairs = {aliases.get(plain(name), name): value for name, value in parts.pairs.items()}
    if Fields(pairs).has("symbol", "action", "side") and parts.symbol is not None:
        raise SignalRefused(
            "AMBIGUOUS", "The alert names its order both in words and as name=value; use one.", "symbol"
        )
    if parts.symbol is not None:
        check_symbol(parts.symbol, "symbol", delayed=True)
        pairs["symbol"] = parts.symbol
    return forgiving(pairs, lambda fields: _drafted(parts, phrase, Fields(fields)))


def _drafted(parts: Parts, phrase: Phrase, fields: Fields) -> Signal:
    draft = Draft(family=phrase.style, intent=_intent(parts), amount=parts.amount or amount(fields))
    draft.positions = _wanted(parts, fields)
    if (
        parts.leverage is not None
        and draft.amount is not None
        and (draft.amount.percent or draft.amount.kind is not FIXED)
    ):
        raise SignalRefused(
            "AMBIGUOUS",
            f"{draft.amount.value} at {parts.leverage[:5]} may be the order's value or its margin; send units instead.",
            None,
        )
    draft.strategy, draft.order_id = parts.strategy, parts.order_id
    if parts.target:
        draft.target = True
        draft.notes.append("The quantity is the position wanted, not an addition to one that is held.")
    if parts.limit is not None:
        draft.order_type, draft.limit_price = OrderType.LIMIT, parts.limit
    for name, value in (("account", parts.account), ("leverage", parts.leverage)):
        if value is not None:
            draft.notes.append(f"The {name} {value[:40]} has no effect here.")
    _distances(draft, fields, phrase)
    return complete(draft, fields)


def _intent(parts: Parts) -> Intent:
    if parts.target is None:
        return together(parts.intents)
    if parts.intents:
        raise SignalRefused("AMBIGUOUS", "The alert names an order and a position to reach; send one of them.", None)
    if parts.target == 0:
        return Intent(Event.EXIT)
    return Intent(side=Side.LONG if parts.target > 0 else Side.SHORT)


def _wanted(parts: Parts, fields: Fields) -> Positions:
    positions = positions_of(fields)
    if parts.target is None:
        return positions
    if positions != Positions():
        raise SignalRefused("AMBIGUOUS", "The alert names a position to reach and another position; send one.", None)
    if parts.target == 0:
        return positions
    return Positions(after="LONG" if parts.target > 0 else "SHORT")


def _distances(draft: Draft, fields: Fields, phrase: Phrase) -> None:
    """sl= and tp= are ticks in the password form; elsewhere a setting of the vendor's decides their unit."""
    stop, target = fields.pop("sl"), fields.pop("tp")
    reference = fields.peek("price")

    def protection(side: Side | None, price: Decimal | None) -> tuple[Level | None, Level | None]:
        return (
            _distance(stop, reference, ticks=phrase.password) or stop_loss_of(fields, side, price),
            _distance(target, reference, ticks=phrase.password) or take_profit_of(fields, side, price),
        )

    draft.protection, draft.names = protection, ("sl", "tp")


def _distance(field: Field | None, reference: Value, *, ticks: bool) -> Level | None:
    if field is None:
        return None
    value = field.value
    if not ticks and isinstance(value, str) and _NUMBER.fullmatch(value) and not _near(value, reference):
        raise SignalRefused(
            "AMBIGUOUS",
            f"{field.name}={value[:20]} may be pips, a price or percent; send {field.name}_price, {field.name}_ticks or "
            f"{field.name}_pct.",
            field.name,
        )
    return level_of(field, LevelKind.TICKS if ticks else LevelKind.PRICE)


def _near(value: str, price: Value) -> bool:
    if not isinstance(price, str) or not _NUMBER.fullmatch(price):
        return Decimal(value) == 0
    return Decimal(value) == 0 or Decimal(price) / 2 < Decimal(value) < Decimal(price) * 2


def _unclear(word: str) -> SignalRefused:
    return SignalRefused(
        "AMBIGUOUS", f"{word[:40]} may be a price or a quantity; write qty={word[:20]} or price={word[:20]}.", None
    )
