"""Routing tables of tests that publish nothing."""

from eventrouter.domain.routing import Candidate, RoutingTable
from eventrouter.store.settings import TableCache


def trading(*accounts: str) -> TableCache:
    """These accounts get every signal, as long as nothing is published."""
    return TableCache(RoutingTable(tuple(Candidate(account) for account in accounts)))
