"""Channels of alerts beside the log: a webhook, signed like those of rooms, and mail."""

import asyncio
import base64
import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any, Final

import orjson

from config.settings import Alerts, Settings
from directory.alert_texts import sentence
from directory.alerts import Alert, Sink
from monitor.alert_delivery import AlertChannel, LogChannel, NotDeliveredError
from rookery.composition import now_ms
from rookery.outputs import at
from router import webhook_deliveries
from router.outbound import Outbound, Reach

SMTP_SECONDS: Final = 20.0
"""Timeout for each answer of the mail server; then the delivery failed."""


def render(alert: Alert) -> dict[str, Any]:
    """Return an alert as JSON has it: for webhooks and for commands."""
    return {
        "id": str(alert.id),
        "kind": alert.kind,
        "room_id": None if alert.room_id is None else str(alert.room_id),
        "room": alert.name,
        "level": alert.level,
        "previous": alert.previous,
        "size_bytes": alert.size_bytes,
        "limit_bytes": alert.limit_bytes,
        "reason": alert.reason,
        "text": sentence(alert),
        "raised_at": at(alert.raised_at),
        "acknowledged_at": at(alert.acknowledged_at),
        "acknowledged_by": None if alert.acknowledged_by is None else str(alert.acknowledged_by),
    }


class WebhookChannel:
    """A channel that posts alerts to the operator's own URL, so any address is allowed."""

    def __init__(self, outbound: Outbound, url: str, secret: bytes, site: str) -> None:
        self._outbound = outbound
        self._url = url
        self._secret = secret
        self._site = site

    async def deliver(self, alert: Alert) -> None:
        body = orjson.dumps(
            {"type": "alert", "timestamp": at(alert.raised_at), "site": self._site, "data": render(alert)}
        )
        # The same id each time, so that a receiver can tell a repeated delivery.
        headers = webhook_deliveries.signed(f"alert_{alert.id}", self._secret, body, now_ms=now_ms())
        answered = await self._outbound.post(self._url, headers, body)
        if answered.status is None or not 200 <= answered.status < 300:
            raise NotDeliveredError(answered.error or f"the answer was {answered.status}")


class MailChannel:
    """A channel that sends a mail for each alert, on a thread."""

    def __init__(self, chosen: Alerts, site: str) -> None:
        self._chosen = chosen
        self._site = site

    async def deliver(self, alert: Alert) -> None:
        try:
            await asyncio.to_thread(self._send, self._message(alert))
        except (OSError, smtplib.SMTPException) as error:
            raise NotDeliveredError(f"{type(error).__name__}: {error}") from error

    def _message(self, alert: Alert) -> EmailMessage:
        message = EmailMessage()
        message["From"] = self._chosen.mail_from
        message["To"] = ", ".join(self._chosen.mail_to)
        message["Subject"] = f"[{self._site}] {alert.level}: {alert.name or alert.room_id or 'directory'}"
        message["Date"] = format_datetime(datetime.fromtimestamp(alert.raised_at / 1_000, UTC))
        # The same each time, so that a mail program shows a repeated delivery once.
        message["Message-ID"] = f"<alert-{alert.id}@{self._chosen.mail_from.rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(f"{sentence(alert)}\n\nRaised at {at(alert.raised_at)}; before, it was {alert.previous}.\n")
        return message

    def _send(self, message: EmailMessage) -> None:
        with self._connected() as smtp:
            refused = smtp.send_message(message)
        if refused:
            raise smtplib.SMTPRecipientsRefused(refused)

    @contextmanager
    def _connected(self) -> Iterator[smtplib.SMTP]:
        chosen, trust = self._chosen, ssl.create_default_context()
        where = (chosen.smtp_host, chosen.smtp_port)
        with (
            smtplib.SMTP_SSL(*where, timeout=SMTP_SECONDS, context=trust)
            if chosen.smtp_security == "tls"
            else smtplib.SMTP(*where, timeout=SMTP_SECONDS)
        ) as smtp:
            if chosen.smtp_security == "starttls":
                smtp.starttls(context=trust)
            if chosen.smtp_username is not None and chosen.smtp_password is not None:
                smtp.login(chosen.smtp_username, chosen.smtp_password.get_secret_value())
            yield smtp


@contextmanager
def open_channels(settings: Settings) -> Iterator[dict[Sink, AlertChannel]]:
    """Open the channels of alerts that the settings name, and close them when the block ends."""
    chosen = settings.alerts
    found: dict[Sink, AlertChannel] = {"log": LogChannel()}
    outbound = Outbound(Reach(has_private=True))
    if chosen.webhook_url is not None and chosen.webhook_secret is not None:
        text = chosen.webhook_secret.get_secret_value().removeprefix("whsec_").rstrip("=")
        secret = base64.b64decode(text + "=" * (-len(text) % 4))
        found["webhook"] = WebhookChannel(outbound, chosen.webhook_url, secret, settings.name)
    if chosen.mail_to:
        found["mail"] = MailChannel(chosen, settings.name)
    try:
        yield found
    finally:
        outbound.close()
