"""The token among several callers: one logs in for all, and nobody waits for a renewal."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import SecretStr

from eventrouter.connectors.projectx.answers import Reply
from eventrouter.connectors.projectx.credentials import Credentials
from eventrouter.connectors.projectx.login import Login
from eventrouter.errors import BrokerUnavailable
from tests.connectors.conftest import Clock


class Gateway:
    """Answers logins when the test lets it, with a new token each time."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.urgent: list[bool] = []
        self.came = asyncio.Semaphore(0)
        self.open = asyncio.Event()
        self.fails = False

    async def post(self, endpoint: str, _body: Mapping[str, Any] | None, _token: str | None, urgent: bool) -> Reply:
        """One request."""
        self.asked.append(endpoint)
        self.urgent.append(urgent)
        self.came.release()
        await self.open.wait()
        if self.fails:
            raise BrokerUnavailable("down")
        name = "token" if endpoint == "Auth/loginKey" else "newToken"
        return Reply(200, f'{{"success": true, "errorCode": 0, "{name}": "t{len(self.asked)}"}}')


@pytest.fixture
def gateway() -> Gateway:
    """One that answers at once, unless `open` is cleared."""
    gateway = Gateway()
    gateway.open.set()
    return gateway


@pytest.fixture
def login(gateway: Gateway, clock: Clock) -> Login:
    """A login whose tokens live 100 seconds."""
    return Login(gateway.post, Credentials("trader", SecretStr("key")), clock, lifetime_s=100.0)


async def test_one_logs_in_for_all(gateway: Gateway, login: Login) -> None:
    """Five at the same time, one request, one token."""
    gateway.open.clear()
    waiting = [asyncio.create_task(login.token()) for _ in range(5)]
    await gateway.came.acquire()
    gateway.open.set()
    assert await asyncio.gather(*waiting) == ["t1"] * 5
    assert gateway.asked == ["Auth/loginKey"]


async def test_nobody_waits_for_a_renewal(gateway: Gateway, login: Login, clock: Clock) -> None:
    """While one caller renews it the old token serves the others; it is good until it ends."""
    await login.token()
    await gateway.came.acquire()
    clock.now += 95
    gateway.open.clear()
    renewing = asyncio.create_task(login.token())
    await gateway.came.acquire()
    assert await login.token(urgent=True) == "t1"
    gateway.open.set()
    assert await renewing == "t2"
    assert gateway.asked == ["Auth/loginKey", "Auth/validate"]


async def test_what_is_urgent_stays_so(gateway: Gateway, login: Login) -> None:
    """An exit that has to log in may use the share of the budget that is kept for it."""
    await login.token(urgent=True)
    assert gateway.urgent == [True]


async def test_a_late_refusal_does_not_end_a_new_token(gateway: Gateway, login: Login) -> None:
    """Two readers met the old token's end; the second one to say so finds a new one."""
    old = await login.token()
    login.forget(old)
    new = await login.token()
    login.forget(old)
    assert await login.token() == new
    assert len(gateway.asked) == 2


async def test_a_login_that_fails_leaves_nothing_behind(gateway: Gateway, login: Login) -> None:
    """The next caller tries again at once: the broker was away, and said nothing of the key."""
    gateway.fails = True
    with pytest.raises(BrokerUnavailable):
        await login.token()
    gateway.fails = False
    assert await login.token() == "t2"
