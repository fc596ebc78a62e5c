"""Who looks: the person or script behind a request to the operator's listener."""

from dataclasses import dataclass

from aiohttp import web


@dataclass(frozen=True, slots=True)
class Viewer:
    """`role`: view or operate. `csrf`: what a form must send back; empty where no cookie proves who it is.

    `how` they proved it: local (this machine, nobody can sign in yet), session, key (an API key) or proxy (single sign-on).
    """

    name: str
    role: str
    csrf: str = ""
    how: str = "local"

    @property
    def may_operate(self) -> bool:
        """Whether they may change something."""
        return self.role == "operate"


_KEY = web.RequestKey("viewer", Viewer)


def viewer_of(request: web.Request) -> Viewer:
    """Who looks. A request that nobody has identified may change nothing."""
    found = request.get(_KEY)
    return Viewer("nobody", "view") if found is None else found


def set_viewer(request: web.Request, viewer: Viewer) -> None:
    """Says who looks, for all that follows."""
    request[_KEY] = viewer
