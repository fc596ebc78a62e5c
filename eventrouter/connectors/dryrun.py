"""The dry-run connector: every order succeeds at once and nothing leaves this machine."""

import json
from dataclasses import asdict

from eventrouter.connectors.base import Capabilities
from eventrouter.domain.orders import Absent, Accepted, Answer, LookUp, Order, Outcome


class DryRunConnector:
    """Simulates a broker that takes and fills every order."""

    capabilities = Capabilities(lane_in_one_claim=True, most_in_flight=None)

    async def send(self, order: Order) -> Outcome:
        """Accepted and done; the answer repeats the order that a broker would have got."""
        request = {name: value for name, value in asdict(order).items() if value is not None}
        return Accepted(Answer(code=200, body=json.dumps({"simulated": True, "order": request})), done=True)

    async def look_up(self, account: str, client_order_id: str) -> LookUp:
        """Absent, with certainty: nothing has ever left."""
        return Absent(proven=True, message="Simulated, so nothing can have left; it is safe to simulate it again.")
