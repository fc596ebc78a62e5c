"""A simulated broker that speaks the ProjectX Gateway API: REST and the SignalR user hub, over a netting engine.

It shares no code with the connector that will talk to it, so that the two check each other. The way of an order:

    gateway    a request: count, token, rate limit, armed faults; executed; what goes wrong afterwards
      rest     one function per endpoint, and its own error codes (codes)
        broker   who may do what, tags, hours; its rules refuse
          engine   orders, fills, positions, money: pure, no clock, no socket
      ledger     counts what was executed for every client order id
    hub        pushes what changed to subscribers;  control arms faults, posts prices, sets the clock

What the real gateway's documents leave open is settled in `settings` and in the docstrings where it matters ("Assumed:").
"""

from eventrouter.simulator.clock import Clock
from eventrouter.simulator.server import Simulator
from eventrouter.simulator.settings import Settings

__all__ = ["Clock", "Settings", "Simulator"]
