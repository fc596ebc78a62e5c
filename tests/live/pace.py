"""The pace of live tests, in this process and in those they start. Look-ups end not before the broker's longest delay has passed."""

LOOK_AGAIN = "eventrouter.domain.lookups.LOOK_AGAIN_S"
LOOK_AGAIN_S = (0.1, 0.2, 0.4, 0.8)
BUDGET = "eventrouter.connectors.projectx.connector.Budget"
MOST_REQUESTS = 100_000
