"""The body of an order: sides, types, brackets in ticks, and what is refused before anything is sent."""

from decimal import Decimal
from typing import Any

import pytest

from eventrouter.connectors.projectx.contracts import choose, wanted
from eventrouter.connectors.projectx.placing import BracketSigns, Unplaceable, place_body
from eventrouter.domain.broker import Contract
from eventrouter.domain.orders import Order

MNQ = Contract("CON.F.US.MNQ.Z26", "MNQZ6", Decimal("0.25"), Decimal("0.5"), active=True)
BUY, SELL = 0, 1


def order(**more: Any) -> Order:
    """One contract, long, at the market, seen at 24000."""
    said = {"action": "OPEN", "symbol": "MNQZ6", "direction": "LONG", "quantity": "1", "price": "24000", **more}
    return Order(client_order_id="tag", account="one", trade_id="T1", **said)


def body(signs: BracketSigns = BracketSigns.SIGNED, **more: Any) -> dict[str, Any]:
    """The request for such an order."""
    return place_body(order(**more), MNQ, 101, signs)


@pytest.mark.parametrize(
    ("action", "direction", "side"),
    [
        ("OPEN", "LONG", BUY),
        ("OPEN", "SHORT", SELL),
        ("CLOSE", "LONG", SELL),
        ("CLOSE", "SHORT", BUY),
        ("REDUCE", "LONG", SELL),
        ("REDUCE", "SHORT", BUY),
    ],
)
def test_sides(action: str, direction: str, side: int) -> None:
    """The direction is the position's: closing a long one sells."""
    assert body(action=action, direction=direction)["side"] == side


@pytest.mark.parametrize(
    ("said", "wanted_"),
    [
        ({}, {"type": 2}),
        ({"order_type": "market"}, {"type": 2}),
        ({"order_type": "limit", "limit_price": "23990.25"}, {"type": 1, "limitPrice": 23990.25}),
        ({"order_type": "stop", "stop_price": "24010.5"}, {"type": 4, "stopPrice": 24010.5}),
        ({"order_type": "trailing_stop", "trail": "20 ticks"}, {"type": 5, "trailPrice": 24005.0}),
        ({"order_type": "trailing_stop", "trail": "24007.75"}, {"type": 5, "trailPrice": 24007.75}),
        (
            {"order_type": "trailing_stop", "trail": "5 offset", "direction": "SHORT"},
            {"type": 5, "trailPrice": 23995.0},
        ),
    ],
)
def test_types_and_their_prices(said: dict[str, Any], wanted_: dict[str, Any]) -> None:
    """Each type has its own price, and no other."""
    found = body(**said)
    assert {name: found[name] for name in found if name == "type" or name.endswith("Price")} == wanted_


@pytest.mark.parametrize(
    ("said", "stop", "target"),
    [
        ({"stop_loss": "23980"}, -80, None),
        ({"take_profit": "24040"}, None, 160),
        ({"stop_loss": "24020", "take_profit": "23960", "direction": "SHORT"}, 80, -160),
        ({"stop_loss": "20 ticks", "take_profit": "10 offset"}, -20, 40),
        ({"stop_loss": "23980.1"}, -79, None),  # 79.6 ticks: rounded towards the entry
        ({"stop_loss": "19.9 ticks"}, -19, None),
        ({"stop_loss": "0.1 percent"}, -96, None),
        ({"stop_loss": "100 cash", "quantity": "2"}, -100, None),
        ({"stop_loss": "23980", "order_type": "limit", "limit_price": "23990"}, -40, None),
        ({"take_profit": "24040", "order_type": "stop", "stop_price": "24010"}, None, 120),
    ],
)
def test_brackets_in_ticks(said: dict[str, Any], stop: int | None, target: int | None) -> None:
    """From the price where the entry is expected to fill; with the other convention the same without signs."""
    for signs in BracketSigns:
        found = body(signs, **said)
        ticks = [found.get(name, {}).get("ticks") for name in ("stopLossBracket", "takeProfitBracket")]
        asked = [stop, target] if signs is BracketSigns.SIGNED else [abs(n) if n else None for n in (stop, target)]
        assert ticks == asked


def test_types_of_brackets() -> None:
    """A stop, a trailing stop, a limit."""
    found = body(stop_loss="20 ticks", take_profit="20 ticks")
    assert (found["stopLossBracket"]["type"], found["takeProfitBracket"]["type"]) == (4, 1)
    assert body(stop_loss="20 ticks trailing")["stopLossBracket"]["type"] == 5


def test_what_closes_has_no_brackets() -> None:
    """They would open something."""
    found = body(action="CLOSE", stop_loss="20 ticks", take_profit="24040")
    assert "stopLossBracket" not in found
    assert "takeProfitBracket" not in found


@pytest.mark.parametrize(
    "said",
    [
        {"action": "CANCEL"},
        {"action": "MOVE_STOP"},
        {"direction": None},
        {"quantity": None},
        {"quantity": "0"},
        {"quantity": "-1"},
        {"quantity": "1.5"},
        {"quantity": "NaN"},
        {"quantity": "many"},
        {"quantity": "3000000000"},
        {"quantity_kind": "risk_percent"},
        {"order_type": "stop_limit", "limit_price": "24000", "stop_price": "24000"},
        {"order_type": "limit"},
        {"order_type": "limit", "limit_price": "24000.10"},
        {"order_type": "limit", "limit_price": "-5"},
        {"order_type": "stop", "limit_price": "24000"},
        {"order_type": "trailing_stop"},
        {"order_type": "trailing_stop", "trail": "20 ticks", "price": None},
        {"order_type": "trailing_stop", "trail": "1001 ticks"},
        {"order_type": "trailing_stop", "trail": "23995"},
        {"stop_loss": "24020"},
        {"stop_loss": "24000"},
        {"stop_loss": "23980", "price": None},
        {"stop_loss": "0.5 ticks"},
        {"stop_loss": "20 elephants"},
        {"stop_loss": "20 ticks trailing twice"},
        {"stop_loss": ""},
        {"stop_loss": "1e99"},
        {"take_profit": "23990"},
        {"take_profit": "20 ticks trailing"},
        {"stop_loss": "23980", "direction": "SHORT"},
    ],
    ids=str,
)
def test_what_cannot_be_asked(said: dict[str, Any]) -> None:
    """Refused with a sentence, before anything is sent."""
    with pytest.raises(Unplaceable, match=r"\.$"):
        body(**said)


ESZ6 = Contract("CON.F.US.EP.Z26", "ESZ6", Decimal("0.25"), Decimal("12.5"), active=True)
ESH7 = Contract("CON.F.US.EP.H27", "ESH7", Decimal("0.25"), Decimal("12.5"), active=False)
MESZ6 = Contract("CON.F.US.MES.Z26", "MESZ6", Decimal("0.25"), Decimal("1.25"), active=True)
EURO = Contract("CON.F.US.EU6.Z26", "6EZ6", Decimal("0.00005"), Decimal("6.25"), active=True)


@pytest.mark.parametrize(
    ("symbol", "contract"),
    [
        ("ES", ESZ6),
        ("ES1!", ESZ6),
        ("CME_MINI:ES1!", ESZ6),
        ("esz6", ESZ6),
        ("ESZ2026", ESZ6),
        ("ESZ26", ESZ6),
        ("ES 12-26", ESZ6),
        ("ESH7", ESH7),
        ("ES 03-27", ESH7),
        ("CON.F.US.EP.H27", ESH7),
        ("6E1!", EURO),
        ("6EZ6", EURO),
        ("MES1!", MESZ6),
        ("ESZ2036", None),
        ("ESZ16", None),
        ("ESM6", None),
        ("ES2!", None),
        ("ES 13-26", None),
        ("S", None),
        ("EP", None),
        ("CON.F.US.EP", None),
        ("", None),
        ("AAPL US EQUITY", None),
    ],
)
def test_which_contract_a_symbol_means(symbol: str, contract: Contract | None) -> None:
    """By the broker's name and its flag; never one that only looks like it."""
    want = wanted(symbol)
    assert (choose([ESH7, ESZ6, MESZ6, EURO], want) if want else None) == contract


def test_two_current_contracts_are_none() -> None:
    """Nobody guesses between them."""
    want = wanted("ES")
    assert want is not None
    other = Contract(ESH7.id, ESH7.name, ESH7.tick_size, ESH7.tick_value, active=True)
    assert choose([ESZ6, other], want) is None
    assert choose([ESZ6, ESZ6], want) == ESZ6
