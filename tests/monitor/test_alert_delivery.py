"""Alerts are told by every sink, at least once, again until they are taken, and by no sink twice when all goes well."""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread
from typing import Any

import orjson
import pytest

from config import settings
from config.settings import Settings
from directory import alerts
from directory.alert_texts import sentence
from directory.alerts import RETRY_MS_MAX, RETRY_MS_MIN, TRIES_MAX, Alert, Change, Sink
from ids import RoomId
from monitor.alert_delivery import AlertDelivery, NotDeliveredError
from rookery.server import alert_channels
from tests.monitor.fleets import NOW_MS, Fleet, fleet_in
from tests.router.receivers import CUT, receiving

SECRET = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
SINKS: tuple[Sink, ...] = ("log", "webhook", "mail")


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    async with fleet_in(tmp_path) as made:
        yield made


async def raise_alert(fleet: Fleet, room_id: RoomId | None = None, sinks: tuple[Sink, ...] = ("log",)) -> None:
    async with fleet.stores.directory.database.write() as writer:
        change = Change(room_id, "size", "warn", "ok", 1_700_000, 2_000_000)
        await alerts.raise_all(writer, [change], sinks, now_ms=fleet.clock.now_ms)


class Ear:
    """A sink that takes or refuses, and remembers."""

    def __init__(self) -> None:
        self.heard: list[int] = []
        self.refuses = False

    async def deliver(self, alert: Alert) -> None:
        self.heard.append(alert.id)
        if self.refuses:
            raise NotDeliveredError("not now")


@contextmanager
def mail_server() -> Iterator[tuple[int, list[EmailMessage]]]:
    """Lend the port of a mail server that takes everything, and what it took."""
    took: list[EmailMessage] = []

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            self.say("220 here")
            while line := self.rfile.readline().upper():
                if line.startswith(b"DATA"):
                    self.say("354 go on")
                    lines = iter(self.rfile.readline, b".\r\n")
                    took.append(message_from_bytes(b"".join(lines), policy=policy.default))
                self.say("221 bye" if line.startswith(b"QUIT") else "250 fine")
                if line.startswith(b"QUIT"):
                    return

        def say(self, text: str) -> None:
            self.wfile.write(text.encode() + b"\r\n")

    server = ThreadingTCPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_address[1], took
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def configured(folder: Path, **alerts_table: object) -> Settings:
    """Return settings with these alerts."""
    lines = [f"{key} = {orjson.dumps(value).decode()}" for key, value in alerts_table.items()]
    path = folder / "alerts.toml"
    path.write_text("\n".join(["[alerts]", *lines]))
    return settings.load(path, environ={"ROOKERY_ALERTS_WEBHOOK_SECRET": SECRET})


async def test_every_sink_is_told(fleet: Fleet, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The log has a line, the webhook a signed request and everybody a mail, all with the same words, once."""
    room_id = await fleet.found("den")
    caplog.set_level(logging.INFO)
    with receiving() as receiver, mail_server() as (port, took):
        chosen = configured(
            tmp_path, webhook_url=receiver.url("alerts"), mail_to=["a@example.org", "b@example.org"], smtp_port=port,
            smtp_host="127.0.0.1",
        )  # fmt: skip
        with alert_channels.open_channels(chosen) as channels:
            delivery = AlertDelivery(fleet.stores.directory, channels, fleet.clock)
            assert delivery.sinks == SINKS
            await raise_alert(fleet, room_id, delivery.sinks)
            assert [await delivery.run(), await delivery.run()] == [3, 0]
        (sent,) = receiver.taken("alerts")
        assert sent.is_signed_with(SECRET)
        (alert,) = await fleet.alerts()
        told = orjson.loads(sent.body)["data"]
        assert sent.headers["webhook-id"] == f"alert_{alert.id}"
        assert (told["room"], told["level"], told["room_id"]) == ("den", "warn", str(room_id))
        (mail,) = took
        words = f"Room den ({room_id}) is filling up: it uses 1.7 MB of 2.0 MB (85 %)."
        assert (told["text"], mail.get_content().splitlines()[0]) == (words, words)
        assert (mail["To"], mail["Subject"]) == ("a@example.org, b@example.org", "[rookery] warn: den")
        assert [words in record.getMessage() for record in caplog.records].count(True) == 1


async def test_a_sink_that_fails_is_told_again(fleet: Fleet) -> None:
    """What a sink refuses is told again after growing pauses, others are told meanwhile, and nothing is doubled."""
    fine, sulking = Ear(), Ear()
    sulking.refuses = True
    delivery = AlertDelivery(fleet.stores.directory, {"log": fine, "webhook": sulking}, fleet.clock)
    await raise_alert(fleet, None, delivery.sinks)
    await raise_alert(fleet, None, delivery.sinks)
    assert await delivery.run() == 2
    assert (len(fine.heard), len(sulking.heard)) == (2, 1)
    assert await delivery.run() == 0
    fleet.clock.now_ms += RETRY_MS_MIN
    await delivery.run()
    assert len(sulking.heard) == 2
    fleet.clock.now_ms += RETRY_MS_MIN
    await delivery.run()
    assert len(sulking.heard) == 2
    sulking.refuses = False
    fleet.clock.now_ms += RETRY_MS_MIN
    assert await delivery.run() == 2
    assert len(fine.heard) == 2


async def test_a_clock_that_goes_back_delays_no_telling(fleet: Fleet) -> None:
    """What was put off before the clock went back a day is told at once."""
    ear = Ear()
    delivery = AlertDelivery(fleet.stores.directory, {"webhook": ear}, fleet.clock)
    ear.refuses = True
    await raise_alert(fleet, None, ("webhook",))
    await delivery.run()
    fleet.clock.now_ms -= 24 * RETRY_MS_MAX
    ear.refuses = False
    assert await delivery.run() == 1


async def test_a_killed_monitor_tells_again(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever dies between telling and writing that down leaves the alert to be told again, under the same id."""
    ear = Ear()
    delivery = AlertDelivery(fleet.stores.directory, {"webhook": ear}, fleet.clock)
    await raise_alert(fleet, None, ("webhook",))

    async def die(*_args: Any, **_more: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(alerts, "note_told", die)
        with pytest.raises(KeyboardInterrupt):
            await delivery.run()
    assert await delivery.run() == 1
    assert ear.heard == [ear.heard[0]] * 2


async def test_a_sink_that_never_takes_is_given_up(fleet: Fleet) -> None:
    """After its last try nothing is told any more, by a sink that is gone from the settings neither."""
    delivery = AlertDelivery(fleet.stores.directory, {}, fleet.clock)
    await raise_alert(fleet, None, ("mail",))
    for _ in range(TRIES_MAX):
        await delivery.run()
        fleet.clock.now_ms += RETRY_MS_MAX
    async with fleet.stores.directory.database.read() as reader:
        assert await alerts.waiting(reader, limit=10, now_ms=fleet.clock.now_ms) == []


async def test_receivers_that_cannot_be_reached_are_told_of(fleet: Fleet, tmp_path: Path) -> None:
    """A webhook that hangs up or fails and a mail server that is not there are reasons, never crashes."""
    with receiving() as receiver:
        chosen = configured(
            tmp_path, webhook_url=receiver.url("x"), mail_to=["a@example.org"], smtp_port=1, smtp_host="127.0.0.1"
        )
        with alert_channels.open_channels(chosen) as channels:
            await raise_alert(fleet, None)
            (alert,) = await fleet.alerts()
            for status in (CUT, 500):
                receiver.answer = lambda _path, _count, status=status: status  # type: ignore[misc]
                with pytest.raises(NotDeliveredError):
                    await channels["webhook"].deliver(alert)
            with pytest.raises(NotDeliveredError, match="ConnectionRefused"):
                await channels["mail"].deliver(alert)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (Change(None, "size", "critical", "warn", 9_600, 10_000), "The directory is almost full: it uses 9.6 kB of"),
        (
            Change(None, "size", "full", "ok", 10**10, 10**10),
            "is full: it uses 10.0 GB of 10.0 GB, so it is read-only.",
        ),
        (Change(None, "size", "ok", "full", 10, 100), "The directory has space again: it uses 10 B of 100 B (10 %)."),
        (Change(None, "damage", "critical", "ok", 0, 1, "rust"), "The directory is damaged: rust. Restore it from"),
        (Change(None, "damage", "ok", "critical", 0, 1), "The directory is sound again."),
        (Change(None, "disk", "warn", "ok", 9_000, 10_000), "is filling up: 9.0 kB are free, less than 10.0 kB."),
        (Change(None, "disk", "full", "warn", 0, 10_000), "is full: 0 B are free. Messages are refused, reading"),
        (Change(None, "disk", "ok", "full", 20_000, 10_000), "has space again: 20.0 kB are free."),
    ],
)
async def test_alerts_are_sentences(fleet: Fleet, change: Change, words: str) -> None:
    """Each kind of alert says what it is about and what follows from it."""
    async with fleet.stores.directory.database.write() as writer:
        await alerts.raise_all(writer, [change], [], now_ms=NOW_MS)
    (alert,) = await fleet.alerts()
    assert words in sentence(alert)
