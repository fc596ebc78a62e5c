"""ProjectX Gateway, the API of Topstep. The way of an order:

connector   the protocol's verbs; directory names accounts and contracts, placing writes the order's body
  gateway     login (the token), budget (the broker's rate limit), then
    rest        one POST on a fresh connection
  answers     the table that says what came of it
history     orders, fills and positions, for look-ups and reconciliation
hub         SignalR over a WebSocket (signalr cuts its records); events turns what it reports into ours
"""

from eventrouter.connectors.projectx.connector import ProjectXConnector, Timing
from eventrouter.connectors.projectx.credentials import FIELDS, Credentials
from eventrouter.connectors.projectx.placing import BracketSigns

__all__ = ["FIELDS", "BracketSigns", "Credentials", "ProjectXConnector", "Timing"]
