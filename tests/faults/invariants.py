"""What must hold once everything has come to rest."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.faults.world import Row, World

TASKS = """
SELECT t.id, t.trade_id, t.account, t.event_type, t.opening, t.status, t.client_order_id, l.reason
FROM execution_tasks t
JOIN LATERAL (SELECT reason FROM execution_logs WHERE task_id = t.id AND status IS DISTINCT FROM prev_status ORDER BY seq DESC LIMIT 1) l ON TRUE
WHERE t.trade_id = ANY (%s) AND t.event_type <> 'PROTECT'
"""
SENT_AGAIN = "SELECT task_id FROM execution_logs WHERE prev_status = 'UNKNOWN' AND status = 'PENDING' AND detail -> 'proven' IS DISTINCT FROM 'true'"
"""A look-up in vain proves nothing where the broker takes an id twice: such a task belongs in REVIEW."""
NET = "SELECT account, sum({}) AS net FROM {} WHERE mode = 'live' GROUP BY account"


@dataclass
class Findings:
    """Sentences, each about one task or trade; `reviewed` are no faults: nobody could know, and a person is asked."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    reviewed: int = 0

    @property
    def faults(self) -> list[str]:
        """All that must not be."""
        return [*self.lost, *self.doubled, *self.wrong]


def examine(world: World, trades: Iterable[str]) -> Findings:
    """Looks at these trades' tasks, at the broker's ledger, and at the whole history."""
    found = Findings()
    tasks = world.rows(TASKS, list(trades))
    executions = world.executions()
    _one_task_an_alert(world, tasks, found, set(trades))
    for task in tasks:
        _task(world, task, executions.get((world.numbers[task["account"]], task["client_order_id"])), found)
    for (number, tag), execution in executions.items():
        if execution["executed"] > 1:
            found.doubled.append(f"{tag} was executed {execution['executed']} times on {number}")
    if not world.unique:
        found.wrong += [
            f"task {row['task_id']} was sent again though nothing proved that it may be"
            for row in world.rows(SENT_AGAIN)
        ]
    _positions(world, found)
    status, said = world.say("verify", "--json", "--ledger", world.broker)
    if status != 0:
        found.wrong.append(f"verify: {json.loads(said)['violations'] if said.startswith('{') else said}")
    return found


def _one_task_an_alert(world: World, tasks: list[Row], found: Findings, trades: set[str]) -> None:
    made = Counter((task["trade_id"], task["account"], task["opening"]) for task in tasks)
    for alert in world.taken:
        if alert["trade_id"] not in trades:
            continue
        for account in world.numbers:
            number = made[alert["trade_id"], account, alert["action"] != "exit"]
            where = f"{alert['action']} of {alert['trade_id']} on {account}"
            if number == 0:
                found.lost.append(f"{where}: it was answered with 200 and has no task")
            elif number > 1:
                found.doubled.append(f"{where}: {number} tasks")


def _task(world: World, task: Row, execution: Row | None, found: Findings) -> None:
    filled = execution["filled"] if execution else 0
    where = f"task {task['id']} ({task['event_type']} of {task['trade_id']} on {task['account']}) is {task['status']} {task['reason']}"
    if filled > 1:
        found.doubled.append(f"{where}: {filled} contracts filled instead of 1")
    done = task["status"] == "SUCCESS"
    if done and filled < 1:
        found.lost.append(f"{where}, and the broker did not execute it")
    if task["id"] in world.reviewed:  # discarded, or sent again by the operator and done
        found.reviewed += 1
        if world.reviewed[task["id"]] or (filled and not done):
            found.wrong.append(f"{where}, and was in REVIEW though {world.reviewed[task['id']] or execution}")
    elif done:
        return
    elif filled:
        found.wrong.append(f"{where}, and the broker executed it")
    elif task["reason"] == "ENTRY_UNPROVEN":
        if not _reviewed_before(world, task):
            found.wrong.append(f"{where}, and no entry of its trade was in REVIEW")
    elif task["reason"] != "NOTHING_TO_CLOSE":
        found.lost.append(where)


def _reviewed_before(world: World, task: Row) -> bool:
    entries = "SELECT id FROM execution_tasks WHERE trade_id = %s AND account = %s AND opening"
    return any(row["id"] in world.reviewed for row in world.rows(entries, task["trade_id"], task["account"]))


def _positions(world: World, found: Findings) -> None:
    """The broker's positions, and ours by fills and by holdings, are the same; so are the ledger's."""
    names = {number: name for name, number in world.numbers.items()}
    held = {names[row["id"]]: sum(_signed(p) for p in row["positions"]) for row in world.control("accounts")}
    sides = {"broker": held}
    for table, column in (
        ("fills", "CASE side WHEN 'BUY' THEN quantity ELSE -quantity END"),
        ("holdings", "quantity"),
    ):
        sums = {row["account"]: int(row["net"]) for row in world.rows(NET.format(column, table))}
        sides[table] = {name: sums.get(name, 0) for name in world.numbers}
    if len({tuple(sorted(side.items())) for side in sides.values()}) > 1:
        found.wrong.append(f"positions differ: {sides}")


def _signed(position: Row) -> int:
    return int(position["size"]) * (1 if position["type"] == 1 else -1)
