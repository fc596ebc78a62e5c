"""One file per broker, one line here."""

from eventrouter.connectors.base import Connector
from eventrouter.connectors.dryrun import DryRunConnector

REGISTRY: dict[str, type[Connector]] = {
    "dryrun": DryRunConnector,
}
"""Name in the configuration → connector."""
