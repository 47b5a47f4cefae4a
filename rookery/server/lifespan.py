"""The ASGI lifespan protocol around an async context: the server waits for its start, and ends it.

Starlette's own sends the traceback of a failed start, which uvicorn logs; this one gives the operator one line.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from starlette.types import Receive, Send


async def run(context: Callable[[], AbstractAsyncContextManager[None]], receive: Receive, send: Send) -> None:
    """Enter a context when the server starts, and leave it when the server ends; a failure is reported and raised."""
    await receive()
    is_open = False
    try:
        async with context():
            is_open = True
            await send({"type": "lifespan.startup.complete"})
            await receive()
    except BaseException as error:
        stage = "shutdown" if is_open else "startup"
        await send({"type": f"lifespan.{stage}.failed", "message": f"{type(error).__name__}: {error}"})
        raise
    await send({"type": "lifespan.shutdown.complete"})
