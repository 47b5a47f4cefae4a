"""The ASGI lifespan protocol around an async context: the server waits for its start, and ends it.

Starlette's own sends the traceback of a failed start, which uvicorn logs; this one gives the operator one line.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from starlette.types import ASGIApp, Receive, Scope, Send


class Watch:
    """An application whose failed start is kept in `failure`: the server that runs it only says that it failed."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.failure: Exception | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except Exception as error:
            if scope["type"] == "lifespan":
                self.failure = error
            raise


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
