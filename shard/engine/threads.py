"""Threads that serve the queues of the shards."""

import logging
import threading
from queue import SimpleQueue

from shard.engine.queues import Work

log = logging.getLogger(__name__)


def start(name: str, ready: "SimpleQueue[Work | None]") -> threading.Thread:
    """Start a thread that does what is put into a queue, until None ends it."""
    thread = threading.Thread(target=_work, args=(ready,), name=name, daemon=True)
    thread.start()
    return thread


def _work(ready: "SimpleQueue[Work | None]") -> None:
    """Serve the queues that are ready, until None ends the thread."""
    while (work := ready.get()) is not None:
        try:
            work.work()
        except Exception:  # a queue delivers the errors of its tasks; any other is our own mistake
            log.exception("a worker met an unexpected error")
