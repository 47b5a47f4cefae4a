"""Alerts as sentences, the same in the log, in mails, in webhooks and over HTTP."""

from typing import Final

from directory.alerts import Alert

_POWERS: Final = ("B", "kB", "MB", "GB", "TB")


def sentence(alert: Alert) -> str:
    """Return an alert as a sentence: its subject, the state, and the consequence."""
    what = "The directory" if alert.room_id is None else f"Room {alert.name or ''} ({alert.room_id})".replace("  ", " ")
    if alert.kind == "damage":
        if alert.level == "ok":
            return f"{what} is sound again."
        if alert.room_id is None:
            return f"{what} is damaged: {alert.reason}. Restore it from a backup; until then rows of it may be missing."
        return f"{what} has a damaged shard: {alert.reason}. All other rooms go on."
    if alert.kind == "disk":
        return _of_disk(alert)
    used = f"it uses {_bytes(alert.size_bytes)} of {_bytes(alert.limit_bytes)}"
    percent = alert.size_bytes * 100 // alert.limit_bytes
    if alert.level == "full":
        return f"{what} is full: {used}, so it is read-only. Delete something, or raise its limit."
    if alert.level == "ok":
        return f"{what} has space again: {used} ({percent} %)."
    return f"{what} is {'almost full' if alert.level == 'critical' else 'filling up'}: {used} ({percent} %)."


def _of_disk(alert: Alert) -> str:
    free = f"{_bytes(alert.size_bytes)} are free"
    if alert.level == "full":
        return f"The disk of the data folder is full: {free}. Messages are refused, reading and deleting go on."
    if alert.level == "ok":
        return f"The disk of the data folder has space again: {free}."
    return f"The disk of the data folder is filling up: {free}, less than {_bytes(alert.limit_bytes)}."


def _bytes(count: int) -> str:
    power = next((power for power in range(len(_POWERS)) if count < 1_000 ** (power + 1)), len(_POWERS) - 1)
    return f"{count / 1_000**power:.1f} {_POWERS[power]}" if power else f"{count} B"
