"""Who looks: the person or script behind a request to the operator's listener, and which handlers ask for less than that."""

from dataclasses import dataclass
from typing import TypeVar

from aiohttp import web
from aiohttp.typedefs import Handler

H = TypeVar("H", bound=Handler)
BASE: web.AppKey[str] = web.AppKey("desk_base", str)
"""The prefix that the operator's application is mounted at: "" or, in somebody's own application, "/eventrouter"."""

_UNSEEN: set[Handler] = set()
_OPEN: set[Handler] = set()
_READING: set[Handler] = set()


@dataclass(frozen=True, slots=True)
class Viewer:
    """`role`: view or operate. `csrf`: what a form must send back; empty for a script, which no other site's page can speak for.

    `how` they proved it: local (this machine, nobody can sign in yet), session, key (an API key), proxy (single sign-on) or
    nobody (not at all).
    """

    name: str
    role: str
    csrf: str = ""
    how: str = "local"

    @property
    def may_operate(self) -> bool:
        """Whether they may change something."""
        return self.role == "operate"

    @property
    def is_known(self) -> bool:
        """Whether they may look."""
        return self.how != "nobody"

    def actor(self, said: str) -> str:
        """Who the log says did it: who signed in; where nobody can, who they said."""
        return said if self.how == "local" else self.name


_KEY = web.RequestKey("viewer", Viewer)
NOBODY = Viewer("nobody", "view", how="nobody")


def viewer_of(request: web.Request) -> Viewer:
    """Who looks. A request that nobody has identified may change nothing."""
    return request.get(_KEY) or NOBODY


def set_viewer(request: web.Request, viewer: Viewer) -> None:
    """Says who looks, for all that follows."""
    request[_KEY] = viewer


def for_everybody(handler: H) -> H:
    """Marks a handler that answers everybody the same, also while the database is away: nobody is asked who they are."""
    _UNSEEN.add(handler)
    return handler


def without_login(handler: H) -> H:
    """Marks a handler that answers also who has not signed in, as itself sees fit. What it changes still needs the CSRF token."""
    _OPEN.add(handler)
    return handler


def changes_nothing(handler: H) -> H:
    """Marks a POST that only reads, or that concerns only who sends it: the role view is enough for it."""
    _READING.add(handler)
    return handler


def is_for_everybody(handler: Handler) -> bool:
    """Whether the handler is marked so."""
    return handler in _UNSEEN


def needs_login(handler: Handler) -> bool:
    """Whether only somebody who is known may call it."""
    return handler not in _OPEN and handler not in _UNSEEN


def needs_operate(handler: Handler) -> bool:
    """Whether changing something with it needs the role operate."""
    return handler not in _READING
