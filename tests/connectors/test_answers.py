"""The table of answers, row by row, against a second list that was written from the broker's documents."""

import json
from typing import Any

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from eventrouter.connectors.projectx import answers
from eventrouter.connectors.projectx.answers import (
    ANY,
    TABLE,
    Code,
    Means,
    NotOpen,
    Reply,
    Row,
    Status,
    outcome,
    verdict,
)
from eventrouter.domain.orders import Accepted, NotSent, Outcome, Rejected, Unknown
from eventrouter.errors import BrokerRefused, BrokerUnavailable
from tests.conftest import SHARED

REFUSED, UNKNOWN, NOT_SENT, WORKING, DONE = (
    Means.REFUSED,
    Means.UNKNOWN,
    Means.NOT_SENT,
    Means.WORKING,
    Means.DONE,
)
R, U = REFUSED, UNKNOWN
CODES: dict[str, tuple[Means, ...]] = {
    "Order/place": (WORKING, R, R, R, R, R, U, U, R, R, R),
    "Order/modify": (DONE, R, R, R, U, U, R, R),
    "Order/cancel": (DONE, R, R, R, U, U, R),
    "Position/closeContract": (WORKING, R, Means.NOTHING_HELD, R, R, R, U, U, R),
    "Position/partialCloseContract": (WORKING, R, Means.NOTHING_HELD, R, R, R, R, U, U, R),
    "Auth/loginKey": (DONE, R, R, R, R, R, R, R, U, R, R),
    "Auth/validate": (DONE, Means.SESSION_REFUSED, Means.SESSION_REFUSED, Means.SESSION_REFUSED, U),
    "Account/search": (DONE,),
    "Contract/search": (DONE,),
    "Contract/available": (DONE,),
    "Contract/searchById": (DONE, R),
    "Order/search": (DONE, R),
    "Order/searchOpen": (DONE, R),
    "Order/v2/query": (DONE,),
    "Position/searchOpen": (DONE, R),
    "Trade/search": (DONE, R),
    "History/retrieveBars": (DONE, R, R, R, R),
}
STATUSES: dict[tuple[str, int], Means] = {
    (ANY, 401): Means.SESSION_REFUSED,
    ("Auth/loginKey", 400): R,
    ("Order/v2/query", 400): R,
    ("Order/v2/query", 404): R,
    **{(ANY, number): U for number in (400, 429, 500, 502, 503, 504)},
}
FAILURES: dict[type[BaseException], Means] = {
    NotOpen: NOT_SENT,
    aiohttp.ClientConnectorDNSError: NOT_SENT,
    aiohttp.ClientConnectorCertificateError: NOT_SENT,
    aiohttp.ClientConnectorSSLError: NOT_SENT,
    aiohttp.ClientConnectorError: NOT_SENT,
    aiohttp.ConnectionTimeoutError: NOT_SENT,
    aiohttp.SocketTimeoutError: U,
    aiohttp.ServerDisconnectedError: U,
    aiohttp.ClientOSError: U,
    aiohttp.ClientPayloadError: U,
    TimeoutError: U,
    Exception: U,
}
CHANGES = ("Order/place", "Order/modify", "Order/cancel", "Position/closeContract", "Position/partialCloseContract")
OUTCOMES: dict[Means, type[Outcome]] = {
    DONE: Accepted,
    WORKING: Accepted,
    Means.NOTHING_HELD: Accepted,
    R: Rejected,
    Means.SESSION_REFUSED: Rejected,
    U: Unknown,
}


def said(code: int, **more: Any) -> Reply:
    """An answer with this errorCode."""
    body = {"success": code == 0, "errorCode": code, "errorMessage": "So it is.", "orderId": 7, **more}
    return Reply(200, json.dumps(body))


def an_error(kind: type[BaseException]) -> BaseException:
    """One such error, as the client would raise it."""
    if issubclass(kind, aiohttp.ClientConnectorCertificateError):
        return kind(_KEY, ValueError("not trusted"))
    if issubclass(kind, aiohttp.ClientConnectorError):
        return kind(_KEY, OSError(111, "Connection refused"))
    return kind()


_KEY = ConnectionKey("api.example", 443, is_ssl=True, ssl=True, proxy=None, proxy_auth=None, proxy_headers_hash=None)


def test_the_table_has_these_rows_and_no_others() -> None:
    """Every row is in one of the lists below, every entry of theirs is a row, and no cause stands twice."""
    rows = {(row.endpoint, row.cause): row.means for row in TABLE}
    assert len(rows) == len(TABLE)
    assert {(ANY, cause): means for cause, means in FAILURES.items()} == {
        key: means for key, means in rows.items() if isinstance(key[1], type)
    }
    assert {(where, Status(number)): means for (where, number), means in STATUSES.items()} == {
        key: means for key, means in rows.items() if isinstance(key[1], Status)
    }
    codes = {(where, Code(number)): means for where, all_ in CODES.items() for number, means in enumerate(all_)}
    assert codes == {key: means for key, means in rows.items() if isinstance(key[1], Code)}


@pytest.mark.parametrize("row", [row for row in TABLE if isinstance(row.cause, Code)], ids=str)
def test_every_code(row: Row) -> None:
    """An errorCode means what its row says, in the outcome and for a reader."""
    assert isinstance(row.cause, Code)
    reply = said(row.cause.number)
    found = verdict(row.endpoint, reply)
    assert (found.means, found.code, found.name) == (row.means, row.cause.number, row.name)
    if row.endpoint in CHANGES:
        became = outcome(row.endpoint, reply)
        assert type(became) is OUTCOMES[row.means]
        assert not isinstance(became, Accepted) or became.done == (row.means is not WORKING)
    elif row.means is DONE:
        assert answers.body_of(row.endpoint, reply)["orderId"] == 7
    else:
        with pytest.raises(BrokerUnavailable if row.means is UNKNOWN else BrokerRefused):
            answers.body_of(row.endpoint, reply)


@pytest.mark.parametrize("row", [row for row in TABLE if isinstance(row.cause, Status)], ids=str)
@pytest.mark.parametrize("text", ["", '{"success": true, "errorCode": 0, "orderId": 7}'])
def test_every_status(row: Row, text: str) -> None:
    """An HTTP status means what its row says, whatever the body claims."""
    assert isinstance(row.cause, Status)
    endpoints = CHANGES if row.endpoint == ANY else (row.endpoint,)
    for endpoint in endpoints:
        became = outcome(endpoint, Reply(row.cause.number, text))
        assert type(became) is OUTCOMES[row.means]
        assert not isinstance(became, Rejected) or became.repeatable == (row.means is Means.SESSION_REFUSED)


@pytest.mark.parametrize("row", [row for row in TABLE if isinstance(row.cause, type)], ids=str)
def test_every_failure(row: Row) -> None:
    """A transport failure means what its row says; only what certainly never left is NotSent."""
    assert isinstance(row.cause, type)
    error = an_error(row.cause)
    assert answers.failure(error) is row
    became = answers.outcome_of_failure(error)
    assert type(became) is (NotSent if row.means is NOT_SENT else Unknown)
    assert isinstance(answers.unavailable(error), BrokerUnavailable)


@pytest.mark.parametrize(
    "error", [ConnectionResetError(), aiohttp.ClientConnectionResetError(), ValueError(), OSError()]
)
def test_a_failure_without_a_row_of_its_own(error: Exception) -> None:
    """Unknown."""
    assert isinstance(answers.outcome_of_failure(error), Unknown)


@pytest.mark.parametrize(
    "number", [100, 201, 202, 204, 301, 307, 402, 403, 404, 405, 408, 409, 413, 418, 422, 501, 599]
)
def test_a_status_without_a_row(number: int) -> None:
    """Unknown, whatever the body claims."""
    assert isinstance(outcome("Order/place", Reply(number, said(0).text)), Unknown)


@pytest.mark.parametrize("endpoint", CHANGES)
def test_a_code_without_a_row(endpoint: str) -> None:
    """Unknown."""
    for code in (-1, 11, 99, 2**40):
        assert isinstance(outcome(endpoint, said(code)), Unknown)


@pytest.mark.parametrize("order_id", [None, 0, -1, "7", True, 7.5, [7]])
def test_an_order_taken_without_an_id(order_id: object) -> None:
    """Nobody can say which order that is: Unknown."""
    assert isinstance(outcome("Order/place", said(0, orderId=order_id)), Unknown)


def test_an_answer_that_was_cut_for_its_length() -> None:
    """Unknown, even when what was read makes sense."""
    assert isinstance(outcome("Order/place", Reply(200, said(0).text, whole=False)), Unknown)


@pytest.mark.parametrize("row", [row for row in TABLE if row.endpoint == "Order/place"], ids=str)
def test_no_refusal_of_a_repeat_proves_anything(row: Row) -> None:
    """An earlier attempt may have been executed, so only acceptance counts."""
    assert isinstance(row.cause, Code)
    became = outcome("Order/place", said(row.cause.number), repeated=True)
    assert type(became) is (Accepted if row.means is WORKING else Unknown)
    assert isinstance(outcome("Order/place", Reply(401, ""), repeated=True), Unknown)


def test_the_codes_are_those_of_the_specification() -> None:
    """Number by number and name by name, as published."""
    spec = SHARED / "specs" / "projectx" / "swagger-topstepx-v1.json"
    if not spec.is_file():
        pytest.skip("the specification is not there")
    known = json.loads(spec.read_text())
    for endpoint in CODES:
        operation = known["paths"].get(f"/api/{endpoint}")
        if operation is None:
            continue
        answer = _resolve(known, operation["post"]["responses"]["200"]["schema"])
        names = _resolve(known, answer["properties"]["errorCode"])["x-enumNames"]
        rows = [row for row in TABLE if row.endpoint == endpoint and isinstance(row.cause, Code)]
        assert [row.name for row in rows] == names, endpoint


def _resolve(spec: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = spec
    for part in schema["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return found
