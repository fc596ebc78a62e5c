"""A service on a database of the test's own, and the owner's view of that database."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import psycopg
import pytest

from tests.web.live_site import Site, configuration, running


@pytest.fixture
async def site(dsn: str) -> AsyncIterator[Site]:
    """A service without a router: what arrives stays PENDING."""
    async with running(configuration(dsn), with_router=False) as opened:
        yield opened


@pytest.fixture
async def token(site: Site) -> str:
    """A webhook token of the strategy orb."""
    return await site.token()


@pytest.fixture
async def routed(dsn: str) -> AsyncIterator[Site]:
    """A whole service."""
    async with running(configuration(dsn)) as opened:
        yield opened


@pytest.fixture
def sql(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """The owner's connection to the service's database, in autocommit; it waits for nobody's lock for ever."""
    with psycopg.connect(dsn, autocommit=True, options="-c lock_timeout=10s") as conn:
        yield conn
