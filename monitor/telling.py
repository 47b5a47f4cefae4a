"""Tells people of alerts: by whatever sinks there are, at least once each, and again until it was taken.

What is to be told is in the directory, so it outlives a killed monitor. A sink that fails delays no other one.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from directory import alerts
from directory.alert_texts import sentence
from directory.alerts import Alert, Sink
from directory.directory import Directory

log = logging.getLogger(__name__)

TOLD_AT_ONCE: Final = 100
"""Alerts that one round tells; the next goes on."""


class NotTakenError(Exception):
    """A sink did not take an alert; the message says why."""


class Teller(Protocol):
    """Tells one kind of sink."""

    async def tell(self, alert: Alert) -> None:
        """Return once the alert was taken; raises NotTakenError. The same alert may come again."""


class LogTeller:
    """Writes alerts into the log: worse ones as warnings."""

    async def tell(self, alert: Alert) -> None:
        facts = {"alert_id": alert.id, "room_id": alert.room_id, "level": alert.level, "previous": alert.previous}
        level = logging.INFO if alert.level == "ok" else logging.WARNING
        log.log(level, "alert: %s", sentence(alert), extra=facts)


class Telling:
    """Works off what is to be told; one run at a time is the caller's business."""

    def __init__(self, directory: Directory, tellers: Mapping[Sink, Teller], clock: Callable[[], int]) -> None:
        self._directory = directory
        self._tellers = tellers
        self._clock = clock

    @property
    def sinks(self) -> tuple[Sink, ...]:
        """Who is told."""
        return tuple(self._tellers)

    async def run(self) -> int:
        """Tell what is due, and return how much was taken. A sink that fails is left alone until the next run."""
        async with self._directory.database.read() as reader:
            waiting = await alerts.waiting(reader, limit=TOLD_AT_ONCE, now_ms=self._clock())
        failed: dict[Sink, str] = {}
        taken = 0
        for sink, tries, alert in waiting:
            if sink not in failed:
                reason = await self._tell(sink, alert)
                if reason is None:
                    taken += 1
                    async with self._directory.database.write() as writer:
                        await alerts.note_told(writer, alert.id, sink, now_ms=self._clock())
                    continue
                failed[sink] = reason
                log.warning("an alert could not be told", extra={"sink": sink, "reason": reason})
            async with self._directory.database.write() as writer:
                await alerts.note_failed(writer, alert.id, sink, tries + 1, failed[sink], now_ms=self._clock())
        return taken

    async def _tell(self, sink: Sink, alert: Alert) -> str | None:
        """Tell one sink, and return what kept it from being told."""
        teller = self._tellers.get(sink)
        if teller is None:
            return "the settings do not name it any more"
        try:
            await teller.tell(alert)
        except NotTakenError as error:
            return str(error)
        return None
