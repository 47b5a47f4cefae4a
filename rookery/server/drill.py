"""Drill: a server over a copy of an installation that leaves no trace outside of its data folder.

It reads object storage and changes nothing there, calls no webhook, and tells alerts in its log alone: the original may
still be running, and its users and operators must not hear of a trial.
"""

from config.settings import Settings


def without_alert_channels(settings: Settings) -> Settings:
    """Return the settings without the webhook and the mail of alerts."""
    quiet = settings.alerts.model_copy(update={"webhook_url": None, "mail_to": ()})
    return settings.model_copy(update={"alerts": quiet})
