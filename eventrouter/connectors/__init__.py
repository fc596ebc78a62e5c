"""One file per broker, one line here."""

from eventrouter.connectors.base import Connector
from eventrouter.connectors.dryrun import DryRunConnector
from eventrouter.connectors.projectx import ProjectXConnector

REGISTRY: dict[str, type[Connector]] = {
    "dryrun": DryRunConnector,
    "projectx": ProjectXConnector,
}
"""Name in the configuration → connector."""
