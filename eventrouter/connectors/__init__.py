"""One file or package per broker, one line here."""

from eventrouter.connectors.base import Connector
from eventrouter.connectors.dryrun import DryRunConnector

REGISTRY: dict[str, type[Connector]] = {
    "dryrun": DryRunConnector,
}
"""Name in the configuration → connector. A broker's is listed once sizing, risk and recovery stand before it."""
