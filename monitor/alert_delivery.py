"""Delivery of alerts to the operator's channels: at least once to each, retried until the channel has accepted it.

The queue is in the directory, so it outlives a killed monitor. A failing channel does not delay the others.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from directory import alerts
from directory.alert_texts import sentence
from directory.alerts import Alert, Sink
from directory.directory import Directory
from monitor.isolation import describe

log = logging.getLogger(__name__)

DELIVERED_PER_RUN: Final = 100
"""Alerts that one run delivers; the next run continues."""


class NotDeliveredError(Exception):
    """A channel did not accept an alert; the message has the reason."""


class AlertChannel(Protocol):
    """A channel that sends alerts to one kind of sink."""

    async def deliver(self, alert: Alert) -> None:
        """Send an alert, and return once it was accepted; raises NotDeliveredError. An alert may be delivered twice."""


class LogChannel:
    """The channel that writes alerts into the log, as warnings unless the level is ok."""

    async def deliver(self, alert: Alert) -> None:
        facts = {"alert_id": alert.id, "room_id": alert.room_id, "level": alert.level, "previous": alert.previous}
        level = logging.INFO if alert.level == "ok" else logging.WARNING
        log.log(level, "alert: %s", sentence(alert), extra=facts)


class AlertDelivery:
    """Deliveries from the queue of alerts; the caller ensures that one run at a time is under way."""

    def __init__(self, directory: Directory, channels: Mapping[Sink, AlertChannel], clock: Callable[[], int]) -> None:
        self._directory = directory
        self._channels = channels
        self._clock = clock

    @property
    def sinks(self) -> tuple[Sink, ...]:
        """The kinds of the channels."""
        return tuple(self._channels)

    async def run(self) -> int:
        """Deliver the alerts that are due, and return how many were accepted.

        A channel that fails is left alone until the next run; an alert that fails unexpectedly delays no other.
        """
        async with self._directory.database.read() as reader:
            waiting = await alerts.waiting(reader, limit=DELIVERED_PER_RUN, now_ms=self._clock())
        failed: dict[Sink, str] = {}
        accepted = 0
        for sink, tries, alert in waiting:
            if sink not in failed:
                reason, is_of_alert = await self._deliver(sink, alert)
                if reason is None:
                    accepted += 1
                    async with self._directory.database.write() as writer:
                        await alerts.note_told(writer, alert.id, sink, now_ms=self._clock())
                    continue
                if not is_of_alert:
                    failed[sink] = reason
                    log.warning("an alert could not be told", extra={"sink": sink, "reason": reason})
            else:
                reason = failed[sink]
            async with self._directory.database.write() as writer:
                await alerts.note_failed(writer, alert.id, sink, tries + 1, reason, now_ms=self._clock())
        return accepted

    async def _deliver(self, sink: Sink, alert: Alert) -> tuple[str | None, bool]:
        """Deliver an alert to one channel; return why it was not accepted, if it was not, and whether that is a fault
        of this alert alone."""
        channel = self._channels.get(sink)
        if channel is None:
            return "the settings do not name it any more", False
        try:
            await channel.deliver(alert)
        except NotDeliveredError as error:
            return str(error), False
        except Exception as error:  # the alerts behind it are delivered, and it is tried again
            facts = {"sink": sink, "alert_id": alert.id, "room_id": alert.room_id}
            log.exception("an alert could not be told", extra=facts)
            return describe(error), True
        return None, False
