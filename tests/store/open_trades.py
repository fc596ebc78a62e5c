"""What a strategy's alerts say is open."""

from dataclasses import replace

from eventrouter.domain.trades import Trade
from eventrouter.store.connect import Conn
from eventrouter.store.signals import trades_of


async def open_trades(conn: Conn, strategy: str) -> list[Trade]:
    """Its open trades, oldest first, without their times."""
    found = await trades_of(conn, strategy, None)
    return [replace(trade, opened_at=None) for trade in found if trade.ended_at is None]
