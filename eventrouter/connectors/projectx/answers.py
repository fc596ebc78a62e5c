"""What an answer, or its absence, means: one table, and nothing else decides it.

A cause is a transport failure, an HTTP status, or an errorCode of an endpoint. What no row names is UNKNOWN, since the
broker may have executed it. Sources: [swagger] the published specification; [notes] its documents as collected in
September 2026; [client] the HTTP client's own source, which says when it raises an error.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import aiohttp

from eventrouter.connectors.projectx.json_values import Unreadable, parse_object, whole_number
from eventrouter.domain.orders import Accepted, Answer, NotSent, Outcome, Rejected, Unknown
from eventrouter.errors import BrokerRefused, BrokerUnavailable

LOGIN = "Auth/loginKey"
VALIDATE = "Auth/validate"
ACCOUNTS = "Account/search"
CONTRACT_SEARCH = "Contract/search"
CONTRACT_BY_ID = "Contract/searchById"
CONTRACTS_AVAILABLE = "Contract/available"
PLACE = "Order/place"
MODIFY = "Order/modify"
CANCEL = "Order/cancel"
ORDER_SEARCH = "Order/search"
ORDERS_OPEN = "Order/searchOpen"
ORDER_QUERY = "Order/v2/query"
POSITIONS = "Position/searchOpen"
CLOSE = "Position/closeContract"
PARTIAL_CLOSE = "Position/partialCloseContract"
TRADES = "Trade/search"
BARS = "History/retrieveBars"

ANY = "*"


class NotOpen(Exception):
    """The connector is not open, or not any more."""


class Means(Enum):
    """What a row says became of the request."""

    DONE = "done"  # executed, and nothing more will happen
    WORKING = "working"  # taken; what becomes of it is seen in orders, fills and positions
    NOTHING_HELD = "nothing held"  # a close without a position: what was wanted is so already
    REFUSED = "refused"  # not executed, for good
    SESSION_REFUSED = "session refused"  # not executed; with a new token it may be
    NOT_SENT = "not sent"  # no byte of the request left
    UNKNOWN = "unknown"  # it may have been executed


@dataclass(frozen=True, slots=True)
class Status:
    """An HTTP status."""

    number: int


@dataclass(frozen=True, slots=True)
class Code:
    """An errorCode in an answer with status 200; the numbers mean something else at every endpoint."""

    number: int


@dataclass(frozen=True, slots=True)
class Row:
    """At this endpoint (ANY: all of them) this cause means that."""

    endpoint: str
    cause: type[BaseException] | Status | Code
    means: Means
    name: str


TABLE: tuple[Row, ...] = (
    # Transport. The first row whose class fits decides, so the narrower class stands first.
    # ours: raised before the client is asked
    Row(ANY, NotOpen, Means.NOT_SENT, "the connector is not open"),
    # [client] the resolver raises it, before there is a socket
    Row(ANY, aiohttp.ClientConnectorDNSError, Means.NOT_SENT, "the host name could not be resolved"),
    # [client] raised while the connection is made: the handshake's certificate did not hold
    Row(ANY, aiohttp.ClientConnectorCertificateError, Means.NOT_SENT, "the certificate is not trusted"),
    # [client] the same, for any other failure of the handshake
    Row(ANY, aiohttp.ClientConnectorSSLError, Means.NOT_SENT, "the TLS handshake failed"),
    # [client] refused, unreachable or reset while connecting; the request is written only to a made connection
    Row(ANY, aiohttp.ClientConnectorError, Means.NOT_SENT, "no connection could be made"),
    # [client] raised only around the making of the connection
    Row(ANY, aiohttp.ConnectionTimeoutError, Means.NOT_SENT, "no connection could be made in time"),
    # [client] the answer stalled; the request was written
    Row(ANY, aiohttp.SocketTimeoutError, Means.UNKNOWN, "the answer stalled"),
    # [client] closed by the peer, perhaps after it executed
    Row(ANY, aiohttp.ServerDisconnectedError, Means.UNKNOWN, "the connection was closed before an answer came"),
    # [client] reset while writing or reading
    Row(ANY, aiohttp.ClientOSError, Means.UNKNOWN, "the connection broke"),
    # [client] the body is shorter than announced, or its encoding is broken
    Row(ANY, aiohttp.ClientPayloadError, Means.UNKNOWN, "the answer was cut off"),
    # [client] the total time-out; it does not say how far the request came
    Row(ANY, TimeoutError, Means.UNKNOWN, "no answer came in time"),
    # anything else between us and the broker
    Row(ANY, Exception, Means.UNKNOWN, "the request failed"),
    # HTTP statuses.
    # [notes] "401 token": refused before anything is executed
    Row(ANY, Status(401), Means.SESSION_REFUSED, "the token was refused"),
    # [notes] only a malformed login is answered so
    Row(LOGIN, Status(400), Means.REFUSED, "the login was malformed"),
    # [notes] and a malformed query
    Row(ORDER_QUERY, Status(400), Means.REFUSED, "the query was malformed"),
    # [swagger] the first published version has no such endpoint
    Row(ORDER_QUERY, Status(404), Means.REFUSED, "this gateway has no such query"),
    # [notes] nowhere documented for what changes something, so not taken for a refusal
    Row(ANY, Status(400), Means.UNKNOWN, "the request was called malformed"),
    # [notes] "429 rate"; nobody says whether the request is dropped before it is executed
    Row(ANY, Status(429), Means.UNKNOWN, "too many requests"),
    # no source: a server or a proxy failed, before or after executing
    Row(ANY, Status(500), Means.UNKNOWN, "the server failed"),
    Row(ANY, Status(502), Means.UNKNOWN, "a gateway failed"),
    Row(ANY, Status(503), Means.UNKNOWN, "the server is not available"),
    Row(ANY, Status(504), Means.UNKNOWN, "a gateway got no answer in time"),
    # Order/place, [swagger] PlaceOrderErrorCode
    Row(PLACE, Code(0), Means.WORKING, "Success"),
    Row(PLACE, Code(1), Means.REFUSED, "AccountNotFound"),
    # [notes] also for a customTag used before, bad trails, and brackets on an account without Auto OCO
    Row(PLACE, Code(2), Means.REFUSED, "OrderRejected"),
    Row(PLACE, Code(3), Means.REFUSED, "InsufficientFunds"),
    Row(PLACE, Code(4), Means.REFUSED, "AccountViolation"),
    Row(PLACE, Code(5), Means.REFUSED, "OutsideTradingHours"),
    # [notes] ambiguous: the order may stand
    Row(PLACE, Code(6), Means.UNKNOWN, "OrderPending"),
    # [notes] ambiguous
    Row(PLACE, Code(7), Means.UNKNOWN, "UnknownError"),
    Row(PLACE, Code(8), Means.REFUSED, "ContractNotFound"),
    Row(PLACE, Code(9), Means.REFUSED, "ContractNotActive"),
    Row(PLACE, Code(10), Means.REFUSED, "AccountRejected"),
    # Order/modify, [swagger] ModifyOrderErrorCode
    Row(MODIFY, Code(0), Means.DONE, "Success"),
    Row(MODIFY, Code(1), Means.REFUSED, "AccountNotFound"),
    Row(MODIFY, Code(2), Means.REFUSED, "OrderNotFound"),
    Row(MODIFY, Code(3), Means.REFUSED, "Rejected"),
    # [swagger] says no more than the name; by it, the change may still happen
    Row(MODIFY, Code(4), Means.UNKNOWN, "Pending"),
    # the same
    Row(MODIFY, Code(5), Means.UNKNOWN, "UnknownError"),
    Row(MODIFY, Code(6), Means.REFUSED, "AccountRejected"),
    Row(MODIFY, Code(7), Means.REFUSED, "ContractNotFound"),
    # Order/cancel, [swagger] CancelOrderErrorCode
    Row(CANCEL, Code(0), Means.DONE, "Success"),
    Row(CANCEL, Code(1), Means.REFUSED, "AccountNotFound"),
    Row(CANCEL, Code(2), Means.REFUSED, "OrderNotFound"),
    Row(CANCEL, Code(3), Means.REFUSED, "Rejected"),
    # [swagger] says no more than the name; by it, the cancel may still happen
    Row(CANCEL, Code(4), Means.UNKNOWN, "Pending"),
    # the same
    Row(CANCEL, Code(5), Means.UNKNOWN, "UnknownError"),
    # [notes] followers of a copied account, and accounts that are not simulated
    Row(CANCEL, Code(6), Means.REFUSED, "AccountRejected"),
    # Position/closeContract, [swagger] ClosePositionErrorCode
    # success does not say that the closing order has filled
    Row(CLOSE, Code(0), Means.WORKING, "Success"),
    Row(CLOSE, Code(1), Means.REFUSED, "AccountNotFound"),
    # [notes] "already flat"
    Row(CLOSE, Code(2), Means.NOTHING_HELD, "PositionNotFound"),
    Row(CLOSE, Code(3), Means.REFUSED, "ContractNotFound"),
    Row(CLOSE, Code(4), Means.REFUSED, "ContractNotActive"),
    Row(CLOSE, Code(5), Means.REFUSED, "OrderRejected"),
    # [notes] ambiguous
    Row(CLOSE, Code(6), Means.UNKNOWN, "OrderPending"),
    # [notes] ambiguous
    Row(CLOSE, Code(7), Means.UNKNOWN, "UnknownError"),
    Row(CLOSE, Code(8), Means.REFUSED, "AccountRejected"),
    # Position/partialCloseContract, [swagger] PartialClosePositionErrorCode: from 5 on shifted by one
    Row(PARTIAL_CLOSE, Code(0), Means.WORKING, "Success"),
    Row(PARTIAL_CLOSE, Code(1), Means.REFUSED, "AccountNotFound"),
    # [notes] "already flat"
    Row(PARTIAL_CLOSE, Code(2), Means.NOTHING_HELD, "PositionNotFound"),
    Row(PARTIAL_CLOSE, Code(3), Means.REFUSED, "ContractNotFound"),
    Row(PARTIAL_CLOSE, Code(4), Means.REFUSED, "ContractNotActive"),
    Row(PARTIAL_CLOSE, Code(5), Means.REFUSED, "InvalidCloseSize"),
    Row(PARTIAL_CLOSE, Code(6), Means.REFUSED, "OrderRejected"),
    # [notes] ambiguous
    Row(PARTIAL_CLOSE, Code(7), Means.UNKNOWN, "OrderPending"),
    # [notes] ambiguous
    Row(PARTIAL_CLOSE, Code(8), Means.UNKNOWN, "UnknownError"),
    Row(PARTIAL_CLOSE, Code(9), Means.REFUSED, "AccountRejected"),
    # Auth/loginKey, [swagger] LoginErrorCode
    Row(LOGIN, Code(0), Means.DONE, "Success"),
    Row(LOGIN, Code(1), Means.REFUSED, "UserNotFound"),
    Row(LOGIN, Code(2), Means.REFUSED, "PasswordVerificationFailed"),
    Row(LOGIN, Code(3), Means.REFUSED, "InvalidCredentials"),
    Row(LOGIN, Code(4), Means.REFUSED, "AppNotFound"),
    Row(LOGIN, Code(5), Means.REFUSED, "AppVerificationFailed"),
    Row(LOGIN, Code(6), Means.REFUSED, "InvalidDevice"),
    Row(LOGIN, Code(7), Means.REFUSED, "AgreementsNotSigned"),
    Row(LOGIN, Code(8), Means.UNKNOWN, "UnknownError"),
    Row(LOGIN, Code(9), Means.REFUSED, "ApiSubscriptionNotFound"),
    Row(LOGIN, Code(10), Means.REFUSED, "ApiKeyAuthenticationDisabled"),
    # Auth/validate, [swagger] ValidateErrorCode
    Row(VALIDATE, Code(0), Means.DONE, "Success"),
    Row(VALIDATE, Code(1), Means.SESSION_REFUSED, "InvalidSession"),
    Row(VALIDATE, Code(2), Means.SESSION_REFUSED, "SessionNotFound"),
    Row(VALIDATE, Code(3), Means.SESSION_REFUSED, "ExpiredToken"),
    Row(VALIDATE, Code(4), Means.UNKNOWN, "UnknownError"),
    # What only reads, [swagger] the endpoints' own enumerations
    Row(ACCOUNTS, Code(0), Means.DONE, "Success"),
    Row(CONTRACT_SEARCH, Code(0), Means.DONE, "Success"),
    Row(CONTRACTS_AVAILABLE, Code(0), Means.DONE, "Success"),
    Row(CONTRACT_BY_ID, Code(0), Means.DONE, "Success"),
    Row(CONTRACT_BY_ID, Code(1), Means.REFUSED, "ContractNotFound"),
    Row(ORDER_SEARCH, Code(0), Means.DONE, "Success"),
    Row(ORDER_SEARCH, Code(1), Means.REFUSED, "AccountNotFound"),
    Row(ORDERS_OPEN, Code(0), Means.DONE, "Success"),
    Row(ORDERS_OPEN, Code(1), Means.REFUSED, "AccountNotFound"),
    # [notes] has no enumeration of its own
    Row(ORDER_QUERY, Code(0), Means.DONE, "Success"),
    Row(POSITIONS, Code(0), Means.DONE, "Success"),
    Row(POSITIONS, Code(1), Means.REFUSED, "AccountNotFound"),
    Row(TRADES, Code(0), Means.DONE, "Success"),
    Row(TRADES, Code(1), Means.REFUSED, "AccountNotFound"),
    Row(BARS, Code(0), Means.DONE, "Success"),
    Row(BARS, Code(1), Means.REFUSED, "ContractNotFound"),
    Row(BARS, Code(2), Means.REFUSED, "UnitInvalid"),
    Row(BARS, Code(3), Means.REFUSED, "UnitNumberInvalid"),
    Row(BARS, Code(4), Means.REFUSED, "LimitInvalid"),
)

_BY_CAUSE = {(row.endpoint, row.cause): row for row in TABLE}
_FAILURES = tuple((row.cause, row) for row in TABLE if isinstance(row.cause, type))
_MOST_SAID = 300
REDACTED = "[redacted]"


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back with an HTTP status: the body as text. `whole`: it was not cut for its length.

    `secrets` are what the request held; a broker may echo them, so `shown` is all that may be kept or told.
    """

    status: int
    text: str = field(repr=False)
    retry_after_s: float | None = None
    whole: bool = True
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def shown(self, text: str) -> str:
        """A part of the answer without secrets."""
        for secret in filter(None, self.secrets):
            text = text.replace(secret, REDACTED)
        return text


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a reply means, in the table's words, and what the broker said. `body` is the answer, where it could be read."""

    means: Means
    message: str
    code: int | None = None
    name: str | None = None
    body: dict[str, Any] | None = field(default=None, repr=False)


def failure(error: BaseException) -> Row:
    """The row for a transport failure."""
    return next(row for cause, row in _FAILURES if isinstance(error, cause))


def outcome_of_failure(error: BaseException) -> Outcome:
    """What a transport failure means for something that changes something."""
    row = failure(error)
    message = f"{_sentence(row.name)} ({_reason(error)})."
    return NotSent(message) if row.means is Means.NOT_SENT else Unknown(Answer(), message)


def unavailable(error: BaseException) -> BrokerUnavailable:
    """What a transport failure means for something that only reads."""
    return BrokerUnavailable(f"The broker could not be asked: {failure(error).name} ({_reason(error)}).")


def verdict(endpoint: str, reply: Reply) -> Verdict:
    """What a reply means. An answer that cannot be read, lacks what it must have, or contradicts itself is UNKNOWN."""
    if reply.status != 200:
        row = _BY_CAUSE.get((endpoint, Status(reply.status))) or _BY_CAUSE.get((ANY, Status(reply.status)))
        name = row.name if row else "an answer that is not documented"
        return Verdict(row.means if row else Means.UNKNOWN, f"HTTP {reply.status}: {name}.")
    try:
        body = parse_object(reply.text if reply.whole else "")
        code = whole_number(body, "errorCode")
        if not isinstance(body.get("success"), bool) or body["success"] != (code == 0):
            raise Unreadable("success and errorCode do not agree")  # noqa: TRY301 - one place says what unreadable means
    except Unreadable as error:
        return Verdict(Means.UNKNOWN, f"The answer cannot be read: {error}.")
    row = _BY_CAUSE.get((endpoint, Code(code)))
    name = row.name if row else f"code {code}, which is not documented"
    said = body.get("errorMessage")
    message = f"{name}: {reply.shown(said)[:_MOST_SAID]}" if isinstance(said, str) and said.strip() else f"{name}."
    return Verdict(row.means if row else Means.UNKNOWN, message, code, row.name if row else None, body)


def outcome(endpoint: str, reply: Reply, *, repeated: bool = False) -> Outcome:
    """What a reply means for something that changes something.

    `repeated`: an earlier attempt may have been executed. A refusal of this one proves nothing about that one, least of all
    "this tag was used": it is Unknown.
    """
    found = verdict(endpoint, reply)
    detail: dict[str, Any] = {}
    if found.code is not None:
        detail = {"error_code": found.code, "error": found.name}
    order_id = _order_id(found.body)
    if order_id is not None:
        detail["order_id"] = order_id
    answer = Answer(reply.status, reply.shown(reply.text), detail or None)
    match found.means:
        case Means.WORKING if endpoint == PLACE and order_id is None:
            return Unknown(answer, "The answer cannot be read: success without an orderId.")
        case Means.WORKING:
            return Accepted(answer, done=False, order_id=order_id)
        case Means.DONE | Means.NOTHING_HELD:
            return Accepted(answer, done=True)
        case Means.REFUSED | Means.SESSION_REFUSED if repeated:
            return Unknown(answer, f"{found.message} An earlier attempt may have been executed all the same.")
        case Means.REFUSED | Means.SESSION_REFUSED:
            return Rejected(answer, found.message, repeatable=found.means is Means.SESSION_REFUSED)
        case _:
            return Unknown(answer, found.message)


def body_of(endpoint: str, reply: Reply) -> dict[str, Any]:
    """The answer to something that only reads. Raises BrokerRefused, BrokerUnavailable."""
    found = verdict(endpoint, reply)
    if found.means is Means.DONE and found.body is not None:
        return found.body
    message = f"{endpoint}: {found.message}"
    if found.means in (Means.REFUSED, Means.SESSION_REFUSED):
        raise BrokerRefused(message, reply.status)
    raise BrokerUnavailable(message, reply.retry_after_s)


def _order_id(body: dict[str, Any] | None) -> str | None:
    """The broker's id of the order; a refused one may have an id too."""
    number = (body or {}).get("orderId")
    return str(number) if isinstance(number, int) and not isinstance(number, bool) and number > 0 else None


def _reason(error: BaseException) -> str:
    """The error's class and, of the operating system, its words: never its own text, which may hold an address with a token."""
    cause = getattr(error, "os_error", error)
    words = getattr(cause, "strerror", None)
    name = type(error).__name__
    return f"{name}: {words}" if isinstance(words, str) and words else name


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
