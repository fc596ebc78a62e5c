"""The operator's desk: pages that are rendered here and kept live by small scripts. Everything is served from this package."""

from aiohttp import web

from eventrouter.desk import access, approvals, controls, dead, explain, now, signals, tasks
from eventrouter.desk.access import as_page
from eventrouter.desk.render import static
from eventrouter.web.viewer import BASE

__all__ = ["add_desk", "as_page"]


def add_desk(app: web.Application, base: str = "") -> None:
    """Adds the desk's pages and files to the operator's application, which is mounted at `base`."""
    app[BASE] = base
    app.router.add_get("/static/{name}", static)
    pages = (access, now, signals, tasks, dead, approvals, controls, explain)
    app.add_routes([route for each in pages for route in each.routes])
