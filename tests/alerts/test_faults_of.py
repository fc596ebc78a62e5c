"""What is told of connections: a login that is down, and an account that a login cannot use."""

from datetime import UTC, datetime

from eventrouter.alerts.conditions import Conditions
from eventrouter.domain.links import OPEN, Link, down
from eventrouter.domain.notices import Kind
from eventrouter.watch import faults_of, told

_MISSING = down("NO_SUCH_ACCOUNT", "The login has no account 'SIM-099'.")
_DEAD = down("BROKER_UNREACHABLE", "No connection could be made.")


def _faults(**links: Link) -> dict[str, str | None]:
    return faults_of({"projectx/one": told(links)})


def test_an_account_that_the_login_lacks_is_told_by_its_name() -> None:
    """The connection works for the others."""
    assert _faults(one=OPEN, ghost=_MISSING) == {
        "projectx/one": None,
        "projectx/one for one": None,
        "projectx/one for ghost": "NO_SUCH_ACCOUNT: The login has no account 'SIM-099'.",
    }


def test_a_connection_that_is_down_is_told_once_for_all_its_accounts() -> None:
    """Its accounts are neither up nor told one by one."""
    assert _faults(one=_DEAD, ghost=_DEAD) == {"projectx/one": "BROKER_UNREACHABLE: No connection could be made."}
    assert _faults(one=_MISSING) == {"projectx/one": "NO_SUCH_ACCOUNT: The login has no account 'SIM-099'."}
    assert _faults(one=_DEAD, ghost=_MISSING) == {
        "projectx/one": "one: BROKER_UNREACHABLE: No connection could be made."
        " ghost: NO_SUCH_ACCOUNT: The login has no account 'SIM-099'."
    }
    assert _faults(one=OPEN) == {"projectx/one": None}


def test_an_account_that_is_down_for_long_hides_no_outage() -> None:
    """What was wrong with one account before does not keep the outage of all from being told."""
    conditions = Conditions(10.0, "here")
    titles = []
    for second in range(0, 100, 5):
        faults = _faults(one=_DEAD, ghost=_DEAD) if 40 <= second < 70 else _faults(one=OPEN, ghost=_MISSING)
        found = conditions.look(Kind.CONNECTOR, faults, float(second), datetime(2026, 11, 22, tzinfo=UTC))
        titles += [(second, notice.title) for notice in found]
    assert titles == [
        (10, "Connection projectx/one for ghost is down"),
        (50, "Connection projectx/one is down"),
        (70, "Connection projectx/one is open again"),
    ]
