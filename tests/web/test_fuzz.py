"""Generated alerts against the real endpoint: documented answers, one row each, sound tasks, nothing in the log.

The same engine runs for as long as one likes: python -m tests.fuzz --minutes 20 --seed 1.
"""

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any
from unittest.mock import AsyncMock
from uuid import uuid4

import psycopg
import pytest
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventrouter import ingest
from eventrouter.connectors.dryrun import DryRunConnector
from eventrouter.domain import parsers
from eventrouter.domain.orders import Answer, Rejected
from eventrouter.domain.parsers import Reading, read_alert
from eventrouter.domain.understand import ask_of
from eventrouter.errors import SignalRefused
from eventrouter.store import planned
from eventrouter.web import guard, webhook
from tests.fuzz.bodies import body_of
from tests.fuzz.posts import odd_requests, post_of
from tests.fuzz.prober import Faults, Finding, Prober, payload_faults
from tests.fuzz.strategies import STRATEGIES, fuzzed_configuration, published_bodies
from tests.web.live_site import running

PUBLISHED = published_bodies()


@dataclass
class Fuzzed(Prober):
    """A prober with tokens and a number for the next post."""

    tokens: dict[str, str] = field(default_factory=dict)
    number: int = 0

    async def some(self, random: Random, count: int, *, published: bool = False) -> list[Finding]:
        """Posts so many generated alerts at once; what was found."""
        self.number += count
        bodies = [body_of(random, PUBLISHED if published else ()) for _ in range(count)]
        return await self.probe(
            [post_of(random, body, self.tokens, self.number + at) for at, body in enumerate(bodies)]
        )


@pytest.fixture
async def fuzzed(dsn: str, sql: psycopg.Connection[Any]) -> AsyncIterator[Fuzzed]:
    """A whole service with a router in dry run, three strategies and two accounts."""
    with Faults().watching() as faults:
        async with running(fuzzed_configuration(dsn)) as site:
            tokens = {strategy["name"]: await site.token(strategy["name"]) for strategy in STRATEGIES}
            yield Fuzzed(site, sql, faults, tokens=tokens)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(random=st.randoms(use_true_random=False), count=st.integers(1, 4))
async def test_whatever_is_posted(fuzzed: Fuzzed, random: Random, count: int) -> None:
    """Well formed, mutated or meaningless, one or several at once: every property holds of each."""
    assert await fuzzed.some(random, count) == []


@pytest.mark.parametrize("seed", [1, 2])
async def test_every_task_comes_to_a_sound_end(fuzzed: Fuzzed, seed: int) -> None:
    """Several hundred alerts, published ones among them: the router takes each task, and the history is whole."""
    random = Random(seed)
    for _ in range(25):
        await fuzzed.some(random, 12, published=True)
    await fuzzed.settle()
    assert fuzzed.findings == []
    statuses = {status for _, status in fuzzed.figures}
    assert {200, 401, 422} <= statuses
    assert fuzzed.codes["accepted"] > 30


async def test_requests_that_are_hardly_http(fuzzed: Fuzzed) -> None:
    """The answer blames the sender, and the service goes on."""
    for request in odd_requests(fuzzed.tokens["plain"]):
        await fuzzed.odd(request)
    await fuzzed.some(Random(3), 8)
    assert fuzzed.findings == []


# the fuzzer sees what is broken


def _raising(fault: Exception) -> Callable[..., Any]:
    def broken(*_arguments: Any, **_named: Any) -> Any:
        raise fault

    return broken


def _unredacted(raw: bytes, **_named: Any) -> Reading:
    return replace(read_alert(raw), redacted=raw)


def _asking(**wrong: Any) -> Callable[..., Any]:
    """Like ask_of, with wrong values in the payload."""

    def broken(*arguments: Any) -> Any:
        ask = ask_of(*arguments)
        return replace(ask, payload={**ask.payload, **wrong})

    return broken


_accept = ingest.SignalIngest.accept


async def _twice(self: ingest.SignalIngest, alert: ingest.Alert) -> Any:
    await _accept(self, replace(alert, uid=uuid4()))
    return await _accept(self, alert)


REJECTED = AsyncMock(return_value=Rejected(Answer(), "no"))
UNSTORABLE = SignalRefused("FIELD_WRONG", "a\0b")
BREAKAGES: dict[str, tuple[Any, str, Any]] = {
    "status 503": (webhook, "_candidates", _raising(RuntimeError("x"))),
    "handler_fault": (ingest, "ask_of", _raising(RuntimeError("x"))),
    "the code READING_FAILED": (parsers, "read_body", _raising(RuntimeError("x"))),
    "the code NOT_STORABLE": (ingest, "understand", _raising(UNSTORABLE)),
    "the code UNHEARD_OF": (ingest, "understand", _raising(SignalRefused("UNHEARD_OF", "x"))),
    "0 rows for an answer of 422": (ingest.SignalIngest, "_store_refused", AsyncMock()),
    "2 rows for an answer of 200": (ingest.SignalIngest, "accept", _twice),
    "the token is in the row": (ingest, "read_alert", _unredacted),
    "the row has other bytes": (
        ingest,
        "read_alert",
        lambda raw, **named: replace(read_alert(raw, **named), redacted=b"x"),
    ),
    "a refusal without code or message": (
        guard,
        "error",
        lambda status, code, *_, **__: web.json_response({}, status=status),
    ),
    "an accepted alert without a task": (planned, "plan", lambda *_, **__: ()),
    "quantity of a payload is 0": (ingest, "ask_of", _asking(quantity=0)),
    "limit_price of a payload is '5'": (ingest, "ask_of", _asking(limit_price="5")),
    "BAD_PAYLOAD": (ingest, "ask_of", _asking(direction="UP")),
    "REJECTED": (DryRunConnector, "send", REJECTED),
    "an alert of a known sender was answered 401": (webhook, "TOKEN_FORM", re.compile(b"x^")),
}


@pytest.mark.parametrize("finding", BREAKAGES)
async def test_the_fuzzer_sees(fuzzed: Fuzzed, monkeypatch: pytest.MonkeyPatch, finding: str) -> None:
    """What is broken on purpose becomes a finding that says it."""
    place, name, broken = BREAKAGES[finding]
    monkeypatch.setattr(place, name, broken)
    for seed in range(6):
        await fuzzed.some(Random(seed), 16)
    await fuzzed.settle()
    assert [found for found in fuzzed.findings if finding in found.what]


async def test_the_fuzzer_sees_changed_history(fuzzed: Fuzzed, sql: psycopg.Connection[Any]) -> None:
    """A task that is not what its log adds up to."""
    await fuzzed.some(Random(1), 16)
    await fuzzed.settle()
    sql.execute("SET session_replication_role = replica")
    sql.execute("UPDATE execution_tasks SET status = 'FAILED'")
    await fuzzed.settle()
    assert any(found.what.startswith("verify") for found in fuzzed.findings)


@pytest.mark.parametrize(
    "payload", ['{"quantity": NaN}', '{"stop_loss": {"value": -1}}', '{"entry_price": null}', '{"quantity": true}']
)
def test_a_payload_is_looked_at(payload: str) -> None:
    """No NaN, nothing below zero, nothing that is no number."""
    assert list(payload_faults(payload))
    assert not list(payload_faults('{"quantity": 1, "stop_loss": {"value": 0.5, "kind": "ticks"}}'))
