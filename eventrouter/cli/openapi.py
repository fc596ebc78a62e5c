"""`openapi`: the document of the API, for generators of clients."""

from eventrouter.app import Service, operator_app
from eventrouter.cli.options import ConfigOption, configured, show_json
from eventrouter.web.openapi import document


def openapi(*, config: ConfigOption = None) -> None:
    """Print the OpenAPI document of the operator's API and of the webhook; a running service serves it at /openapi.json."""
    loaded = configured(config)
    server = loaded.server
    app = operator_app(Service(loaded))
    show_json(document(app, operator_url=f"http://{server.operator}", public_url=f"http://{server.public}"))
