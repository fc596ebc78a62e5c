"""What `eventrouter demo` shows: one alert on several accounts, its exit, and the log of each with its latencies."""

import asyncio
import secrets
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import typer
from aiohttp import ClientSession, ClientTimeout

from eventrouter.app import Listeners, Service
from eventrouter.cli.demo_desk import MEASURED, PRICE, STRATEGY, Desk
from eventrouter.cli.log_text import summary_lines
from eventrouter.cli.look import columns, print_log
from eventrouter.domain.tasks import FINAL
from eventrouter.errors import EventrouterError
from eventrouter.store import access, reports
from eventrouter.store.tokens import add_token, revoke_tokens

_DONE_WITHIN_S = 30.0
_GAIN = Decimal(10)
_USER = "demo"


@dataclass(slots=True)
class Demo:
    """Plays a short trading day against a running service."""

    service: Service
    listeners: Listeners
    desk: Desk

    async def play(self, *, extra: int = 0, stays: bool = True) -> None:
        """Posts the alerts one after the other, prints what became of each, then `extra` more and their latencies."""
        assert self.service.opened is not None
        conn = await self.service.opened.database.connect("demo")
        async with conn, ClientSession(timeout=ClientTimeout(total=_DONE_WITHIN_S)) as session:
            url = await self._webhook(conn, STRATEGY)
            trade = f"demo-{secrets.token_hex(3)}"
            typer.echo("The broker is simulated inside of this process. Nothing leaves this machine.")
            typer.echo(
                "Times count from the alert's arrival: to the commit of the intent, which comes before the order, and to the end."
            )
            title = (
                f"1. One alert: LONG 1 MNQ at {PRICE}, stop at {PRICE - _GAIN}. Each account sizes it by its own rule:"
            )
            entered = await self._show(conn, session, url, title, _entry(trade))
            self._holdings()
            for task, log in (entered[0], entered[-1]):
                typer.echo(f"\nThe log of {task['account']}:")
                print_log(task, log)
            self.desk.price(PRICE + _GAIN)
            title = f"2. The price is {_GAIN} points higher. The trade's exit closes what each account holds:"
            await self._show(conn, session, url, title, _exit(trade))
            self._holdings()
            typer.echo("\n3. An alert that cannot be understood is refused, and says why:")
            refused = await self._post(session, url, _entry(trade) | {"direction": "{{strategy.order.action}}"})
            typer.echo(f"  {refused['status']} {refused['code']}: {refused['message']}")
            if extra:
                await self._measure(session, await self._webhook(conn, MEASURED), conn, extra)
            if stays:
                await self._look_around(conn)

    async def _webhook(self, conn: Any, strategy: str) -> str:
        await revoke_tokens(conn, strategy)
        return f"http://{self.listeners.public}/webhook/{await add_token(conn, strategy)}"

    async def _show(
        self, conn: Any, session: ClientSession, url: str, title: str, alert: dict[str, Any]
    ) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
        """Posts an alert, and tells how its tasks ended; the tasks with their logs."""
        typer.echo(f"\n{title}")
        answer = await self._post(session, url, alert)
        if "tasks" not in answer:
            raise EventrouterError(f"An alert was refused: {answer}")
        tasks = [await self._finished(conn, task_id) for task_id in answer["tasks"]]
        told = [(task, await reports.task_log(conn, task["id"])) for task in tasks]
        for line in summary_lines(told, columns()):
            typer.echo(line)
        return told

    def _holdings(self) -> None:
        typer.echo("  The broker says:")
        for name, contracts, balance in self.desk.held():
            typer.echo(f"  {name:<12} holds {contracts:>2} MNQ, balance {balance:,.2f} USD")

    async def _look_around(self, conn: Any) -> None:
        """Tells how to go on. The demo's own user has no password: only the link lets a browser in, once."""
        assert self.service.opened is not None
        home = self.service.opened.server.home if self.service.opened.server else ""
        typer.echo(
            f"\nLook around while it runs. The desk, by a link that works once, within {access.LINK_LASTS_S / 60:.0f} minutes:"
        )
        await access.add_user(conn, _USER, None, access.OPERATE)
        typer.echo(f"  http://{self.listeners.operator}/login/once?token={await access.add_link(conn, _USER)}")
        typer.echo("Or in another terminal:")
        typer.echo(f"  EVENTROUTER_DATABASE__DATA_DIR={home} eventrouter tasks")
        typer.echo(f"  EVENTROUTER_DATABASE__DATA_DIR={home} eventrouter user link {_USER}   (another link)")
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
        typer.echo(f"\n{count} alerts, one at a time, on an account that is simulated without any broker:")
        typer.echo(f"  task stored to intent recorded (SENDING): {_percentiles(to_sending)}")
        typer.echo(f"  alert received to SUCCESS:                {_percentiles(to_success)}")


def _entry(trade: str) -> dict[str, Any]:
    """One contract, with a stop 40 ticks below."""
    return {
        "kind": "ENTRY",
        "trade_id": trade,
        "symbol": "MNQ1!",
        "direction": "LONG",
        "quantity": 1,
        "entry_price": float(PRICE),
        "stop_loss": float(PRICE - _GAIN),
        "session": "NY AM",
        "bias": "Bullish",
    }


def _exit(trade: str) -> dict[str, Any]:
    return {"kind": "EXIT", "trade_id": trade, "exit_type": "TP", "exit_price": float(PRICE + _GAIN)}


def _ms(start: datetime, end: datetime) -> float:
    return (end - start).total_seconds() * 1000


def _percentiles(values: Sequence[float]) -> str:
    ordered = sorted(values)
    p99 = ordered[min(len(ordered) - 1, round(len(ordered) * 0.99))]
    return f"median {statistics.median(ordered):.1f} ms, p99 {p99:.1f} ms, worst {ordered[-1]:.1f} ms"
