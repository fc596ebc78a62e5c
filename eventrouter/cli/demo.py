"""What `eventrouter demo` shows: real alerts over HTTP, and the log of each with its latencies."""

import asyncio
import secrets
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import typer
from aiohttp import ClientSession, ClientTimeout

from eventrouter.app import Listeners, Service
from eventrouter.cli.look import print_log
from eventrouter.domain.tasks import FINAL
from eventrouter.errors import EventrouterError
from eventrouter.store import reports
from eventrouter.store.tokens import add_token, revoke_tokens

_DONE_WITHIN_S = 30.0
_STRATEGY = "demo"


@dataclass(slots=True)
class Demo:
    """Plays a short trading day against a running service."""

    service: Service
    listeners: Listeners

    async def play(self, *, extra: int = 0) -> None:
        """Posts the alerts one after the other, prints each task's log, then `extra` more and their latencies."""
        assert self.service.opened is not None
        conn = await self.service.opened.database.connect("demo")
        async with conn, ClientSession(timeout=ClientTimeout(total=_DONE_WITHIN_S)) as session:
            await revoke_tokens(conn, _STRATEGY)
            token = await add_token(conn, _STRATEGY)
            url = f"http://{self.listeners.public}/webhook/{token}"
            day = secrets.token_hex(3)
            for title, alert in _alerts(day):
                typer.echo(f"\n{title}")
                answer = await self._post(session, url, alert)
                typer.echo(f"  answered {answer}")
                for task_id in answer.get("tasks", []):
                    task = await self._finished(conn, task_id)
                    print_log(task, await reports.task_log(conn, task_id))
            if extra:
                await self._measure(session, url, conn, extra)
        home = self.service.opened.server.home if self.service.opened.server else ""
        typer.echo(
            f"\nLook around while it runs: curl http://{self.listeners.operator}/api/tasks, or in another terminal"
        )
        typer.echo(f"  EVENTROUTER_DATABASE__DATA_DIR={home} eventrouter tasks")
        typer.echo("For your own alerts: eventrouter run, and eventrouter token new STRATEGY.")

    async def _post(self, session: ClientSession, url: str, alert: dict[str, Any]) -> dict[str, Any]:
        async with session.post(url, json=alert) as answer:
            body: dict[str, Any] = await answer.json()
            return body if answer.status == 200 else {"status": answer.status, **body}

    async def _finished(self, conn: Any, task_id: int) -> dict[str, Any]:
        async with asyncio.timeout(_DONE_WITHIN_S):
            while True:
                task = await reports.task(conn, task_id)
                if task is not None and task["status"] in FINAL:
                    return task
                await asyncio.sleep(0.002)

    async def _measure(self, session: ClientSession, url: str, conn: Any, count: int) -> None:
        to_sending: list[float] = []
        to_success: list[float] = []
        for number in range(count):
            alert = {
                "kind": "ENTRY",
                "trade_id": f"demo-{secrets.token_hex(6)}",
                "direction": "LONG",
                "entry_price": 4156.25 + number % 7,
            }
            answer = await self._post(session, url, alert)
            if "tasks" not in answer:
                raise EventrouterError(f"An alert was refused: {answer}")
            for task_id in answer["tasks"]:
                task = await self._finished(conn, task_id)
                at = {row["status"]: row["created_at"] for row in await reports.task_log(conn, task_id)}
                to_sending.append(_ms(at["PENDING"], at["SENDING"]))
                to_success.append(_ms(task["received_at"], at["SUCCESS"]))
        typer.echo(f"\n{count} alerts, one at a time:")
        typer.echo(f"  task stored to intent recorded (SENDING): {_percentiles(to_sending)}")
        typer.echo(f"  alert received to SUCCESS:                {_percentiles(to_success)}")


def _alerts(day: str) -> list[tuple[str, dict[str, Any]]]:
    entry = {
        "kind": "ENTRY",
        "trade_id": f"demo-{day}-1",
        "symbol": "MES1!",
        "direction": "LONG",
        "entry_price": 4156.25,
    }
    leave = {"kind": "EXIT", "trade_id": f"demo-{day}-1", "exit_type": "BE", "exit_price": 4156.25, "final_be_mfe": 1.5}
    return [
        ("1. An entry:", {**entry, "stop_loss": 4150.0, "session": "NY AM", "bias": "Bullish"}),
        ("2. Its exit, which finds account and product by the trade_id:", {**leave, "final_no_be_mfe": 2.3}),
        ("3. The same exit again: nothing is left to close.", {**leave, "exit_type": "SL"}),
        (
            "4. An alert that cannot be understood is refused, and says why:",
            {**entry, "direction": "{{strategy.order.action}}"},
        ),
    ]


def _ms(start: datetime, end: datetime) -> float:
    return (end - start).total_seconds() * 1000


def _percentiles(values: Sequence[float]) -> str:
    ordered = sorted(values)
    p99 = ordered[min(len(ordered) - 1, round(len(ordered) * 0.99))]
    return f"median {statistics.median(ordered):.1f} ms, p99 {p99:.1f} ms, worst {ordered[-1]:.1f} ms"
