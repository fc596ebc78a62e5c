"""Who gets a signal: the accounts, routes and strategies of a table, and the reason of everybody who gets nothing."""

from decimal import Decimal

import pytest

from eventrouter.domain.plan import Entered, Intent, follow_trade, plan, planned_as, symbol_of, tasks_of
from eventrouter.domain.routing import Candidate, Route, RoutingTable
from eventrouter.domain.trades import Leg

ACCOUNTS = (Candidate("a", version=3), Candidate("b", version=1), Candidate("off", enabled=False, version=2))
MICROS = Route("micros", ("a", "off"), strategy="ORB", instruments=("M*",), multiplier=Decimal("0.5"))
MINIS = Route("minis", ("a", "b"), strategy="orb", instruments=("NQ", "ES1!"), events=("ENTRY", "EXIT"))
REST = Route("rest", ("b",), strategy="", events=("add", "REDUCE"), multiplier=Decimal(2))
ROUTED = RoutingTable(ACCOUNTS, (MICROS, MINIS, REST), version=7)


def told(event: str, symbol: str | None, strategy: str, table: RoutingTable = ROUTED) -> dict[str, str]:
    """Account → the route that takes the signal to it (- where it needs none), or the code why not."""
    return {
        each.account: (each.intent.route or "-") if each.intent else f"{each.code}"
        for each in plan(event, symbol, strategy, table)
    }


@pytest.mark.parametrize(
    ("event", "symbol", "strategy", "expected"),
    [
        ("ENTRY", "MNQ1!", "orb", "micros EVENT_NOT_ROUTED"),
        ("ENTRY", "MNQ1!", "Orb", "micros EVENT_NOT_ROUTED"),
        ("ENTRY", "CME_MINI:MESZ2026", "orb", "micros EVENT_NOT_ROUTED"),
        ("ENTRY", "MNQ 12-26", "orb", "micros EVENT_NOT_ROUTED"),
        ("ADD", "MNQ1!", "orb", "micros rest"),
        ("ENTRY", "NQ1!", "orb", "minis minis"),
        ("REVERSE", "NQ1!", "orb", "minis minis"),
        ("ADD", "NQ1!", "orb", "EVENT_NOT_ROUTED rest"),
        ("ENTRY", "ESH6", "orb", "minis minis"),
        ("ENTRY", "CL1!", "orb", "INSTRUMENT_NOT_ROUTED EVENT_NOT_ROUTED"),
        ("ENTRY", "NQ1!", "other", "NO_ROUTE EVENT_NOT_ROUTED"),
        ("REDUCE", "CL1!", "other", "NO_ROUTE rest"),
        ("ENTRY", None, "orb", "INSTRUMENT_NOT_ROUTED EVENT_NOT_ROUTED"),
        ("ADD", None, "orb", "INSTRUMENT_NOT_ROUTED rest"),
        ("EXIT_SL", None, "orb", "micros minis"),
        ("EXIT_FLATTEN", None, "other", "NO_ROUTE EVENT_NOT_ROUTED"),
        ("EXIT_BE", "NQ1!", "orb", "minis minis"),
        ("MOVE_STOP", "NQ1!", "orb", "EVENT_NOT_ROUTED EVENT_NOT_ROUTED"),
    ],
)
def test_routes(event: str, symbol: str | None, strategy: str, expected: str) -> None:
    """The first route that takes strategy, instrument and event counts; else what comes nearest says why not."""
    a, b = expected.split()
    assert told(event, symbol, strategy) == {"a": a, "b": b, "off": "ACCOUNT_DISABLED"}


def test_no_routes_at_all() -> None:
    """Every enabled account gets every signal, and those that the strategy chose are the only ones of it."""
    table = RoutingTable(ACCOUNTS, chosen={"orb": ("b", "off")})
    assert told("ENTRY", None, "any", table=table) == {"a": "-", "b": "-", "off": "ACCOUNT_DISABLED"}
    assert told("ENTRY", "NQ", "ORB", table=table) == {"a": "NOT_IN_STRATEGY", "b": "-", "off": "ACCOUNT_DISABLED"}
    assert told("ENTRY", "NQ", "orb", table=RoutingTable(())) == {}


def test_chosen_accounts_narrow_routes() -> None:
    """An account that its strategy does not choose gets nothing by a route either."""
    table = RoutingTable(ACCOUNTS, ROUTED.routes, {"orb": ("b",)})
    assert told("ENTRY", "NQ1!", "orb", table=table)["a"] == "NOT_IN_STRATEGY"


def test_an_intent_says_where_it_comes_from() -> None:
    """Route, multiplier and versions go with the task."""
    micros = plan("ENTRY", "MNQ1!", "orb", ROUTED, max_age_s=60.0)[0]
    assert micros.intent == Intent("a", 60.0, Decimal("0.5"), "micros", 3)
    assert micros.intent.record("orb", 7) == {
        "route": "micros",
        "multiplier": "0.5",
        "strategy": "orb",
        "account_version": 3,
        "routes_version": 7,
    }
    assert micros.record() == {
        "account": "a",
        "account_version": 3,
        "code": None,
        "message": None,
        "route": "micros",
        "multiplier": "0.5",
    }


def test_age_stops_only_what_opens() -> None:
    """What closes has no age limit."""
    assert {p.intent.max_age_s for p in plan("EXIT", "NQ", "orb", ROUTED, max_age_s=9.0) if p.intent} == {None}
    assert {p.intent.max_age_s for p in plan("REVERSE", "NQ", "orb", ROUTED, max_age_s=9.0) if p.intent} == {9.0}


@pytest.mark.parametrize(
    ("asked", "account", "sentence"),
    [
        (
            ("ENTRY", "CL1!", "orb"),
            "a",
            "Routes micros, minis to this account: only M*, NQ, ES1!. The signal is for CL.",
        ),
        (
            ("ENTRY", None, "orb"),
            "a",
            "Routes micros, minis to this account: only M*, NQ, ES1!. The signal names no instrument.",
        ),
        (("ADD", "NQ1!", "orb"), "a", "Route minis to this account: only ENTRY, EXIT. This is ADD."),
        (("ENTRY", "NQ1!", "x"), "a", "No route brings signals of strategy 'x' to this account."),
        (("ENTRY", "NQ1!", "x"), "off", "The account is not enabled."),
    ],
)
def test_sentences(asked: tuple[str, str | None, str], account: str, sentence: str) -> None:
    """A reason names the routes, what they take, and what came."""
    assert {each.account: each.message for each in plan(*asked, ROUTED)}[account] == sentence


def test_a_sentence_does_not_list_hundreds() -> None:
    """Of many names the first ten stand in a message."""
    table = RoutingTable((Candidate("z"),), chosen={"orb": tuple(f"n{n}" for n in range(500))})
    (planned,) = plan("ENTRY", "NQ", "orb", table)
    assert planned.message is not None
    assert planned.message.endswith("n9 and 490 more.")


def test_what_closes_follows_its_trade() -> None:
    """Accounts that hold the trade get it as their entry went, disabled, unrouted or published no more."""
    held = {
        "off": Entered("MNQ1!", Decimal("0.5"), "micros"),
        "gone": Entered("MNQ1!"),
        "b": Entered("MNQ1!", Decimal(4), "x"),
    }
    leg, planned = tasks_of(Leg("T", "EXIT_SL", {}), plan("EXIT_SL", "MNQ1!", "orb", ROUTED), held)
    assert leg.payload == {"symbol": "MNQ1!"}
    assert [each.intent for each in planned] == [
        Intent("a", None, Decimal("0.5"), "micros", 3),
        Intent("b", None, Decimal(4), "x", 1),
        Intent("off", None, Decimal("0.5"), "micros", 2),
        Intent("gone", None),
    ]
    assert follow_trade(plan("ADD", "MNQ1!", "orb", ROUTED), "ADD", held) == plan("ADD", "MNQ1!", "orb", ROUTED)


def test_the_symbol_of_a_leg() -> None:
    """Its own; what closes and names none has that of its trade; what opens never does."""
    held = {"a": Entered(None), "b": Entered("ES1!")}
    assert symbol_of(Leg("T", "EXIT", {}), held) == "ES1!"
    assert symbol_of(Leg("T", "EXIT", {"symbol": "CL"}), held) == "CL"
    assert symbol_of(Leg("T", "ENTRY", {}), held) is None
    assert symbol_of(Leg("T", "ENTRY", {"symbol": {"root": "ES"}}), held) is None


def test_the_opening_half_of_a_reversal_is_planned_as_one() -> None:
    """A route for REVERSE takes it, one for ENTRY as well; a plain entry goes by ENTRY alone."""
    turn = Leg("T2", "ENTRY", {"after": ["T1"]})
    assert (planned_as(turn), planned_as(Leg("T", "ENTRY", {}))) == ("REVERSE", "ENTRY")
    table = RoutingTable(
        ACCOUNTS, (Route("turns", ("a",), events=("REVERSE",)), Route("new", ("b",), events=("ENTRY",)))
    )
    assert told("REVERSE", "NQ", "s", table=table) == {"a": "turns", "b": "new", "off": "ACCOUNT_DISABLED"}
    assert told("ENTRY", "NQ", "s", table=table)["a"] == "EVENT_NOT_ROUTED"
    assert told("EXIT_REVERSE", "NQ", "s", table=table)["a"] == "turns"
