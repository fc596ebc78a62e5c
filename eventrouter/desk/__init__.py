"""The operator's desk: pages that are rendered here and kept live by small scripts. Everything is served from this package."""

from aiohttp import web

from eventrouter.desk import access, now, signals, tasks
from eventrouter.desk.access import as_page
from eventrouter.desk.render import static
from eventrouter.web.viewer import BASE

__all__ = ["add_desk", "as_page"]


def add_desk(app: web.Application, base: str = "") -> None:
    """Adds the desk's pages and files to the operator's application, which is mounted at `base`."""
    app[BASE] = base
    app.router.add_get("/static/{name}", static)
    app.add_routes([*access.routes, *now.routes, *signals.routes, *tasks.routes])
