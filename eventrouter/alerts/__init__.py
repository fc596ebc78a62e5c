"""Tells people what happened: notices made of what is committed, sent through apprise, in nobody's way."""

from eventrouter.alerts.desk import Alerts
from eventrouter.alerts.receivers import Answer, Receiver, receivers_of

__all__ = ["Alerts", "Answer", "Receiver", "receivers_of"]
