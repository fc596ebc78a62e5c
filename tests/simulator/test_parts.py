"""The simulator's small parts: contracts and their months, hours, clock, prices that walk, rates, and the ledger's file."""

import csv
import json
import random
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from eventrouter.errors import EventrouterError
from eventrouter.simulator.clock import Clock
from eventrouter.simulator.contracts import FUTURES, Contract, listing
from eventrouter.simulator.hours import is_open
from eventrouter.simulator.ledger import Ledger
from eventrouter.simulator.sessions import RateLimit, Sessions
from eventrouter.simulator.walk import Walk
from tests.conftest import SHARED
from tests.simulator.client import MNQ

MONDAY = datetime(2026, 11, 23, 15, tzinfo=UTC)


# contracts


def test_the_table_agrees_with_the_facts() -> None:
    """Every future, tick, value, month and id of the fact sheet, and no other."""
    sheet = SHARED / "contracts.csv"
    if not sheet.is_file():
        pytest.skip("the fact sheet is not on this machine")
    with sheet.open(newline="") as file:
        facts = {row["root"]: row for row in csv.DictReader(file)}
    assert {each.root for each in FUTURES} == set(facts)
    for future in FUTURES:
        fact = facts[future.root]
        contract = next(each for each in listing(date(2026, 11, 23)).active() if each.root == future.root)
        assert (future.tick_size, future.tick_value) == (Decimal(fact["tick_size"]), Decimal(fact["tick_value"]))
        assert contract.point_value == Decimal(fact["point_value"])
        assert (future.months, contract.symbol_id) == (fact["months"], fact["projectx_symbolId"])
        assert contract.id.rpartition(".")[0] == fact["projectx_contractId_example"].rpartition(".")[0]
        assert contract.on_grid(future.start)


@pytest.mark.parametrize(
    ("day", "before", "active", "after"),
    [
        ("2026-11-22", "U26", "Z26", "H27"),
        ("2026-12-13", "U26", "Z26", "H27"),
        ("2026-12-14", "Z26", "H27", "M27"),
        ("2026-12-31", "Z26", "H27", "M27"),
        ("2027-01-01", "Z26", "H27", "M27"),
    ],
)
def test_the_index_rolls_on_the_monday_of_expiry_week(day: str, before: str, active: str, after: str) -> None:
    """One active month; the one that is over can be traded until its third Friday, and is listed a while longer."""
    today = listing(date.fromisoformat(day))
    months = [each for each in today.contracts.values() if each.root == "MNQ"]
    assert [each.id.rpartition(".")[2] for each in months] == [before, active, after]
    assert [today.is_active(each) for each in months] == [False, True, False]
    over = months[0]
    assert today.is_tradable(over) == (today.today <= over.last_day)


def test_energies_end_a_month_before_delivery() -> None:
    """In late November the active crude contract is January's."""
    assert "CON.F.US.CLE.F27" in {each.id for each in listing(date(2026, 11, 22)).active()}


def test_search_finds_parts_of_names_and_at_most_twenty() -> None:
    """NQ finds MNQ too, and months that are not active: the asker has to look."""
    today = listing(date(2026, 11, 22))
    assert [each.name for each in today.search("nq")] == ["MNQH7", "MNQU6", "MNQZ6", "NQH7", "NQU6", "NQZ6"]
    assert len(today.search("")) == 20
    assert today.find("MNQZ6") is today.contracts[MNQ]


# time


@pytest.mark.parametrize(
    ("at", "opened"),
    [
        ("2026-11-22T22:59:59Z", False),  # Sunday, before 17:00 in Chicago
        ("2026-11-22T23:00:00Z", True),
        ("2026-11-23T21:59:59Z", True),
        ("2026-11-23T22:00:00Z", False),  # Monday's break
        ("2026-11-23T23:00:00Z", True),
        ("2026-11-27T21:59:59Z", True),
        ("2026-11-27T23:30:00Z", False),  # Friday evening
        ("2026-11-28T18:00:00Z", False),
        ("2026-07-06T21:30:00Z", False),  # summer: 16:30 in Chicago
        ("2026-07-06T22:00:00Z", True),
    ],
)
def test_hours(at: str, *, opened: bool) -> None:
    """Open from Sunday 17:00 to Friday 16:00 in Chicago but for an hour a day, in summer and winter time."""
    assert is_open(datetime.fromisoformat(at)) is opened


def test_the_clock_runs_stands_and_jumps() -> None:
    """Whatever it is told, it goes on from where it is."""
    passed = 0.0
    clock = Clock(MONDAY, elapsed=lambda: passed)
    passed = 5.0
    assert (clock.now(), clock.frozen) == (MONDAY + timedelta(seconds=5), False)
    clock.freeze(frozen=True)
    passed = 50.0
    clock.advance(1)
    assert (clock.now(), clock.frozen) == (MONDAY + timedelta(seconds=6), True)
    clock.freeze(frozen=False)
    passed = 52.0
    assert clock.now() == MONDAY + timedelta(seconds=8)
    clock.set(MONDAY)
    assert clock.now() == MONDAY


def test_prices_walk_the_same_way_for_the_same_seed() -> None:
    """Each contract by itself, on its grid and above zero."""
    nq, es = (listing(date(2026, 11, 23)).find(name) for name in ("MNQZ6", "ESZ6"))
    assert nq is not None
    assert es is not None
    paths = []
    for seed, contracts in ((7, [nq, es]), (7, [es, nq]), (7, [nq]), (8, [nq])):
        walk, last = Walk(seed), {nq.id: nq.tick_size, es.id: es.start}

        def price(contract: Contract, last: Mapping[str, Decimal] = last) -> Decimal:
            return last[contract.id]

        path: list[Decimal] = []
        for _ in range(50):
            last.update({contract.id: moved for contract, moved in walk.step(contracts, price)})
            path.append(last[nq.id])
        paths.append(path)
    assert paths[0] == paths[1] == paths[2] != paths[3]
    assert all(each > 0 and nq.on_grid(each) for each in paths[0])
    assert len(set(paths[0])) > 3
    walk = Walk(7)
    steps = [
        {each.id: moved - each.start for each, moved in walk.step([nq, es], lambda each: each.start)} for _ in range(9)
    ]
    assert any(step[nq.id] != step[es.id] for step in steps)


# who may ask


def test_tokens_expire_and_older_ones_stay() -> None:
    """A new login leaves the old token valid; each ends by its own time, by logout or all at once."""
    now = MONDAY
    sessions = Sessions(lambda: now, 60, random.Random(1))
    first, second, third = (sessions.open("a") for _ in range(3))
    assert len({first, second, third}) == 3
    sessions.end(second)
    assert [sessions.user_of(each) for each in (first, second, "")] == ["a", None, None]
    now += timedelta(seconds=60)
    assert sessions.user_of(first) is None
    fourth = sessions.open("b")
    assert sessions.user_of(fourth) == "b"
    sessions.expire_all()
    assert sessions.user_of(fourth) is None


def test_the_rate_is_over_any_sixty_seconds_of_one_user() -> None:
    """Refused ones do not count; others are not held up."""
    now = MONDAY
    limit = RateLimit(lambda: now, 2)
    assert [limit.allows("a") for _ in range(3)] == [True, True, False]
    assert limit.allows("b")
    now += timedelta(seconds=60)
    assert [limit.allows("a") for _ in range(3)] == [True, True, False]


# the ledger


def test_the_ledger_reads_its_file_again(tmp_path: Path) -> None:
    """Order ids and tags go on from there; a last line that a kill has cut off is dropped."""
    file = tmp_path / "ledger.jsonl"
    row = {"what": "accepted", "account": 101, "tag": "a", "order": 1007, "size": 2}
    file.write_text(json.dumps(row) + "\n" + json.dumps({**row, "what": "filled"}) + '\n{"what": "acc')
    ledger = Ledger(file)
    assert (ledger.next_order(), ledger.tags()) == (1008, {(101, "a")})
    assert ledger.executions()[0]["executed"] == 1
    assert ledger.executions()[0]["filled"] == 2
    ledger.close()
    assert len(file.read_text().splitlines()) == 2
    assert file.read_text().endswith("\n")


def test_a_ledger_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """One sentence with its path."""
    with pytest.raises(EventrouterError, match="nowhere"):
        Ledger(tmp_path / "nowhere" / "ledger.jsonl")
