"""Rows of `room_orders`: orders of an operator's command to the running server, and their outcomes.

Only the server may hibernate or wake a room while it runs; a command beside it places an order and waits for the
outcome.
"""

from dataclasses import dataclass
from typing import Literal

import ids
from directory.database import Reader, Writer

Wanted = Literal["hibernate", "wake"]


@dataclass(frozen=True, slots=True)
class Order:
    """One order; `outcome` is None until the server answered it, then empty, or the reason of its failure."""

    room_id: ids.RoomId
    wanted: Wanted
    outcome: str | None


async def place(writer: Writer, room_id: ids.RoomId, wanted: Wanted, *, now_ms: int) -> None:
    """Place an order; an earlier one for the same room is replaced."""
    await writer.execute(
        "INSERT INTO room_orders (room_id, wanted, asked_at) VALUES (?1, ?2, ?3) "
        "ON CONFLICT (room_id) DO UPDATE SET wanted = ?2, asked_at = ?3, outcome = NULL",
        (room_id, wanted, now_ms),
    )


async def unfilled(reader: Reader) -> list[Order]:
    """Return the orders without an outcome."""
    rows = await reader.fetch_all(
        "SELECT room_id, wanted, outcome FROM room_orders WHERE outcome IS NULL ORDER BY room_id LIMIT 100"
    )
    return [Order(*row) for row in rows]


async def find(reader: Reader, room_id: ids.RoomId) -> Order | None:
    """Return the order for a room, or None."""
    row = await reader.fetch_one("SELECT room_id, wanted, outcome FROM room_orders WHERE room_id = ?", (room_id,))
    return None if row is None else Order(*row)


async def fill(writer: Writer, order: Order, problem: str = "") -> None:
    """Store the outcome of an order, unless another was placed meanwhile."""
    await writer.execute(
        "UPDATE room_orders SET outcome = ? WHERE room_id = ? AND wanted = ? AND outcome IS NULL",
        (problem[:1000], order.room_id, order.wanted),
    )


async def forget(writer: Writer, room_id: ids.RoomId) -> None:
    """Delete the order for a room."""
    await writer.execute("DELETE FROM room_orders WHERE room_id = ?", (room_id,))


async def forget_all(writer: Writer) -> None:
    """Delete every order: when a server starts, no command waits for one."""
    await writer.execute("DELETE FROM room_orders")
