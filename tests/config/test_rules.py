"""What the configuration says in the domain's terms: the routing table, what is published, a strategy's quantity."""

import json
from decimal import Decimal

from eventrouter.config import Config, load_config
from eventrouter.config.rules import published_rows, rules_of, table_of
from eventrouter.domain.routing import Candidate, Route, RoutingTable
from tests.config.files import loaded, written
from tests.config.test_accounts import EVERYTHING

ROUTED = """
[[accounts]]
name = "one"
owner = "me"
[[accounts]]
name = "two"
[[accounts]]
name = "three"
enabled = false
[[groups]]
name = "both"
accounts = ["three", "one"]
[[strategies]]
name = "Orb"
quantity = 2.50
accounts = ["one", "three"]
max_age = 0
[[strategies]]
name = "other"
[[routes]]
name = "micros"
strategy = "orb"
instruments = ["m*", "CME_MINI:NQ1!"]
events = ["ENTRY", "ADD"]
accounts = ["one"]
groups = ["both"]
multiplier = 0.10
[[routes]]
name = "rest"
groups = ["both"]
accounts = ["two"]
"""


def test_the_routing_table_has_groups_resolved() -> None:
    """Each account once, in the order of the route: its accounts, then its groups."""
    assert table_of(loaded(ROUTED)) == RoutingTable(
        accounts=(Candidate("one", owner="me"), Candidate("two"), Candidate("three", enabled=False)),
        routes=(
            Route("micros", ("one", "three"), "orb", ("M*", "NQ"), ("ENTRY", "ADD"), Decimal("0.10")),
            Route("rest", ("two", "three", "one")),
        ),
        chosen={"orb": ("one", "three")},
        max_ages={"orb": None, "other": 60.0},
    )


def test_without_routes_the_table_has_only_accounts() -> None:
    """What runs without any file: one account, which gets everything."""
    assert table_of(Config()) == RoutingTable(accounts=(Candidate("paper"),))


def test_what_is_published_is_plain_json_with_exact_amounts() -> None:
    """The bodies survive JSON, amounts are the text of the file, and what follows from a connector is said."""
    rows = published_rows(loaded(EVERYTHING + ROUTED))
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows
    combine, one = rows["account"]["combine"], rows["account"]["one"]
    assert (combine["balance"], combine["daily_loss"], combine["sizing"]["value"]) == ("50000.10", "1000.05", "0.50")
    assert combine["instruments"] == ["MES", "MNQ", "NQ"]
    assert (one["automation"], one["no_opposite_side"], one["owner"]) == ("allowed", False, "me")
    assert (rows["strategy"]["Orb"]["quantity"], rows["strategy"]["other"]["quantity"]) == ("2.50", "1")
    assert rows["strategy"]["Orb"]["accounts"] == ["one", "three"]
    assert rows["routes"] == {
        "routes": {
            "routes": [
                {
                    "name": "micros",
                    "strategy": "orb",
                    "instruments": ["M*", "NQ"],
                    "events": ["ENTRY", "ADD"],
                    "accounts": ["one", "three"],
                    "multiplier": "0.10",
                },
                {
                    "name": "rest",
                    "strategy": "",
                    "instruments": [],
                    "events": [],
                    "accounts": ["two", "three", "one"],
                    "multiplier": "1",
                },
            ]
        }
    }


def test_nothing_that_is_published_is_a_secret() -> None:
    """The database's password stands in the same configuration and stays in it."""
    environ = {"DATABASE_URL": "postgresql://u:hunter2canary@h/d"}
    assert "hunter2canary" not in json.dumps(published_rows(load_config(written(EVERYTHING), environ=environ)))


def test_a_quantity_is_given_on_only_where_it_is_configured() -> None:
    """Else alerts stay as they came, and one without a quantity means 1."""
    config = loaded(ROUTED)
    assert rules_of(config, "ORB").quantity == Decimal("2.50")
    assert rules_of(config, "other").quantity is None
    assert rules_of(config, "unlisted").quantity is None
    assert rules_of(loaded("[[strategies]]\nname = 'a'\nmax_quantity = 1.10"), "a").limits.max_quantity == Decimal(
        "1.10"
    )
