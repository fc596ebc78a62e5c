"""Passwords at the door: Argon2id beside the event loop, and how often somebody may guess."""

import asyncio
import ipaddress
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST, LONGEST = 10, 256
_WINDOW_S = 900.0
_BY_BOTH, _BY_SOURCE, _BY_NAME = 5, 20, 50
_MOST_KEYS = 10_000
_AT_ONCE = 2  # each takes 64 MiB and a core while it lasts


@cache
def _hasher() -> PasswordHasher:
    return PasswordHasher()


@cache
def _nobodys() -> str:
    """A hash that no password is compared with in earnest: an unknown name takes as long as a known one."""
    return _hasher().hash("nobody's")


def hashed(password: str) -> str:
    """Argon2id with its parameters and salt. Takes some tens of milliseconds and 64 MiB."""
    return _hasher().hash(password)


def password_fault(password: str) -> str | None:
    """Why this is no password to choose, or None."""
    if not SHORTEST <= len(password) <= LONGEST:
        return f"A password has {SHORTEST} to {LONGEST} characters; a sentence is a good one."
    if len(set(password)) < 4:
        return "This password is too easily guessed: use more than three different characters."
    return None


class Passwords:
    """Compares passwords in threads, two at a time; who comes then waits."""

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore(_AT_ONCE)

    async def matches(self, stored: str | None, password: str) -> bool:
        """Whether this is the password of this hash; None takes as long, and never matches."""
        async with self._turn:
            return await asyncio.to_thread(_matches, stored, password)

    async def renewed(self, stored: str, password: str) -> str | None:
        """The hash with today's parameters where they are others, else None."""
        if not _hasher().check_needs_rehash(stored):
            return None
        async with self._turn:
            return await asyncio.to_thread(hashed, password)


def _matches(stored: str | None, password: str) -> bool:
    try:
        return _hasher().verify(stored or _nobodys(), password[: LONGEST + 1]) and stored is not None
    except (VerificationError, InvalidHashError, UnicodeError):
        return False


class Guesses:
    """How often somebody may try a password within a quarter of an hour: 5 times for a name from one source, 20 times from one
    source, 50 times for a name. Remembers the latest 10,000 of them; a process of its own counts for itself.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tries: OrderedDict[tuple[str, ...], deque[float]] = OrderedDict()

    def wait_s(self, source: str, name: str) -> float:
        """Counts a try, and returns 0; or how many seconds it is until there may be another one."""
        now = self._clock()
        wait = 0.0
        for key, most in self._keys(source, name):
            tries = self._tries.get(key, deque())
            while tries and tries[0] <= now - _WINDOW_S:
                tries.popleft()
            if len(tries) >= most:
                wait = max(wait, tries[0] + _WINDOW_S - now)
        if not wait:
            for key, _ in self._keys(source, name):
                self._tries.setdefault(key, deque()).append(now)
                self._tries.move_to_end(key)
            while len(self._tries) > _MOST_KEYS:
                self._tries.popitem(last=False)
        return wait

    def forgive(self, source: str, name: str) -> None:
        """Takes the last try back: it was right."""
        for key, _ in self._keys(source, name):
            if tries := self._tries.get(key):
                tries.pop()
            if not tries:
                self._tries.pop(key, None)
        self._tries.pop(("both", _network_of(source), name.casefold()[:64]), None)

    @staticmethod
    def _keys(source: str, name: str) -> Iterator[tuple[tuple[str, ...], int]]:
        where, who = _network_of(source), name.casefold()[:64]
        yield ("both", where, who), _BY_BOTH
        yield ("source", where), _BY_SOURCE
        yield ("name", who), _BY_NAME


def _network_of(source: str) -> str:
    """An IPv6 sender has a whole /64 to itself."""
    try:
        address = ipaddress.ip_address(source)
    except ValueError:
        return source[:64]
    return str(ipaddress.ip_network((address, 64), strict=False)) if address.version == 6 else source
