"""Rows of `room_orders`: what an operator's command asks of the running server, and what came of it.

Only the server may put a room's file away or bring it back while it runs; a command beside it writes down what is
wanted and waits for the outcome.
"""

from dataclasses import dataclass
from typing import Literal

import ids
from directory.database import Reader, Writer

Wanted = Literal["hibernate", "wake"]


@dataclass(frozen=True, slots=True)
class Order:
    """One order; `outcome` is None until it is done, then empty, or why it was not."""

    room_id: ids.RoomId
    wanted: Wanted
    outcome: str | None


async def place(writer: Writer, room_id: ids.RoomId, wanted: Wanted, *, now_ms: int) -> None:
    """Ask for something; what was asked before of the same room is forgotten."""
    await writer.execute(
        "INSERT INTO room_orders (room_id, wanted, asked_at) VALUES (?1, ?2, ?3) "
        "ON CONFLICT (room_id) DO UPDATE SET wanted = ?2, asked_at = ?3, outcome = NULL",
        (room_id, wanted, now_ms),
    )


async def unfilled(reader: Reader) -> list[Order]:
    """Return what is still to be done."""
    rows = await reader.fetch_all(
        "SELECT room_id, wanted, outcome FROM room_orders WHERE outcome IS NULL ORDER BY room_id LIMIT 100"
    )
    return [Order(*row) for row in rows]


async def find(reader: Reader, room_id: ids.RoomId) -> Order | None:
    """Return what was asked of a room, or None."""
    row = await reader.fetch_one("SELECT room_id, wanted, outcome FROM room_orders WHERE room_id = ?", (room_id,))
    return None if row is None else Order(*row)


async def fill(writer: Writer, order: Order, problem: str = "") -> None:
    """Write down what came of an order, unless another was placed meanwhile."""
    await writer.execute(
        "UPDATE room_orders SET outcome = ? WHERE room_id = ? AND wanted = ? AND outcome IS NULL",
        (problem[:1000], order.room_id, order.wanted),
    )


async def forget(writer: Writer, room_id: ids.RoomId) -> None:
    """Forget what was asked of a room."""
    await writer.execute("DELETE FROM room_orders WHERE room_id = ?", (room_id,))


async def forget_all(writer: Writer) -> None:
    """Forget every order: a server that starts knows of nobody who waits."""
    await writer.execute("DELETE FROM room_orders")
