"""An alert that no account takes: the answer says so, and why."""

from tests.web.live_site import ENTRY, configuration, running


async def test_an_alert_that_nobody_trades_says_why(dsn: str) -> None:
    """One note for each code with its accounts; a repeat says only that it is one; an alert that is traded has no such note."""
    accounts = [{"name": "one"}, {"name": "two"}, {"name": "off", "enabled": False}]
    routes = [{"name": "r", "strategy": "orb", "accounts": ["one"]}]
    sections = {"accounts": accounts, "routes": routes, "strategies": [{"name": "orb"}, {"name": "other"}]}
    async with running(configuration(dsn, **sections)) as site:
        nobody, orb = await site.token("other"), await site.token("orb")
        status, answer = await site.alert(nobody, ENTRY)
        assert (status, answer["tasks"]) == (200, [])
        assert sorted(note.split(": no task.")[0] for note in answer["notes"]) == [
            "ACCOUNT_DISABLED: off",
            "NO_ROUTE: one, two",
        ]
        _, again = await site.alert(nobody, ENTRY)
        assert (again["duplicate"], again.get("notes")) == (True, None)
        _, traded = await site.alert(orb, {**ENTRY, "trade_id": "T-2"})
        assert len(traded["tasks"]) == 1
        assert "notes" not in traded
