"""A drill: a copy of an installation is served and used, and leaves no trace in what the original needs."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import pytest

from rookery.server import periodic
from tests.objects.radosgw import Radosgw, radosgw
from tests.router import uploads
from tests.router.clients import Client, Room, client_of
from tests.router.receivers import Receiver, receiving
from tests.router.serving import Place, serving
from tests.router.test_sleeping_http import put_away

__all__ = ["radosgw"]

TABLES = """
    [alerts]
    webhook_url = "{receiver}"
    [webhooks]
    allow_private_networks = true
    [[r2_buckets]]
    binding = "ARCHIVE"
    bucket_name = "{buckets[0]}"
    endpoint = "{endpoint}"
    [[r2_buckets]]
    binding = "FILES"
    bucket_name = "{buckets[1]}"
    endpoint = "{endpoint}"
"""


@dataclass(frozen=True, slots=True)
class Original:
    """A stopped installation with a file, a room that is in the bucket, and a webhook."""

    place: Place
    token: str
    room: Room
    asleep: Room
    file_path: str
    hook_path: str


@dataclass(frozen=True, slots=True)
class Buckets:
    """The buckets of archived messages and of files."""

    radosgw: Radosgw
    names: tuple[str, str]

    def listed(self) -> list[tuple[str, str, datetime]]:
        """Return each object, with the digest of its bytes and the time when it was put."""
        pages = [self.radosgw.client.list_objects_v2(Bucket=name).get("Contents", ()) for name in self.names]
        return [(entry["Key"], entry["ETag"], entry["LastModified"]) for page in pages for entry in page]


@pytest.fixture
def buckets(radosgw: Radosgw) -> Buckets:
    return Buckets(radosgw, (radosgw.make_bucket(), radosgw.make_bucket()))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


@pytest.fixture
def original(buckets: Buckets, receiver: Receiver, tmp_path: Path) -> Original:
    (tmp_path / "original").mkdir()
    radosgw = buckets.radosgw
    keys = {
        f"ROOKERY_{binding}_{name}": value
        for binding in ("ARCHIVE", "FILES")
        for name, value in (
            ("ACCESS_KEY_ID", radosgw.access_key_id),
            ("SECRET_ACCESS_KEY", radosgw.secret_access_key),
        )
    } | {"ROOKERY_ALERTS_WEBHOOK_SECRET": "whsec_" + "a" * 32}
    tables = TABLES.format(buckets=buckets.names, endpoint=radosgw.endpoint, receiver=receiver.url("alerts"))
    place = Place(tmp_path / "original", more=tables, environ=keys)
    with serving(place) as server, client_of(server) as nobody:
        anna = nobody.guest()
        room, asleep = anna.found(), anna.found()
        asked = anna.post(f"{room.general}/attachments", uploads.announced())
        path = f"{room.general}/attachments/{asked['attachment']['id']}"
        anna.http.put(asked["upload"]["url"], content=uploads.PNG, headers=asked["upload"]["headers"])
        anna.post(f"{path}/complete")
        anna.say(room, "a nest", attachment_ids=[asked["attachment"]["id"]])
        anna.say(asleep, "before the night")
        put_away(server, asleep.id)
        hook = {"name": "out", "url": receiver.url("room"), "events": ["message"]}
        made = anna.post(f"{room.path}/webhooks/outgoing", hook)
        assert anna.token is not None
        hook_path = f"{room.path}/webhooks/{made['webhook']['id']}"
        return Original(place, anna.token, room, asleep, path, hook_path)


@pytest.fixture
def drill(original: Original, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """Anna in a drill over a copy of the data folder, whose periodic tasks run all the time."""
    for name in ("CLEANUP_EVERY_SECONDS", "ARCHIVE_EVERY_SECONDS", "HIBERNATE_EVERY_SECONDS", "CLAIM_SECONDS"):
        monkeypatch.setattr(periodic, name, 0.01)
    shutil.copytree(original.place.folder, tmp_path / "copy", copy_function=shutil.copy2)
    place = replace(original.place, folder=tmp_path / "copy")
    with serving(place, is_drill=True) as server, client_of(server) as nobody:
        yield nobody.with_token(original.token)


def test_a_drill_serves_and_touches_nothing(
    original: Original, drill: Client, buckets: Buckets, receiver: Receiver
) -> None:
    """All of a copy is read, archived rooms and files too, and written to; no object, webhook or alert says so."""
    before = buckets.listed()
    room, asleep = original.room, original.asleep
    assert len([key for key, *_ in before if "/owner/" not in key]) == 2
    drill.say(room, "in the drill")
    assert [message["content"] for message in drill.get(f"{asleep.general}/messages")["messages"]] == [
        "before the night"
    ]
    link = drill.get(f"{original.file_path}/link")["url"]
    assert drill.http.get(link).content == uploads.PNG
    drill.did("DELETE", f"{room.general}/messages/{drill.get(f'{room.general}/messages')['messages'][0]['id']}")
    asked = drill.post(f"{room.general}/attachments", uploads.announced())
    refused = drill.ask("PUT", asked["upload"]["url"], content=uploads.PNG, headers=asked["upload"]["headers"])
    assert (refused.status_code, "drill" in refused.json()["detail"]) == (503, True)
    pinged = drill.post(f"{original.hook_path}/ping")
    assert (pinged["status"], "drill" in pinged["error"]) == (None, True)
    assert buckets.listed() == before
    assert receiver.came == []


def test_the_original_goes_on_beside_a_drill(original: Original, drill: Client) -> None:
    """While the drill still runs, the original wakes its room, reads its file, and tells its webhook."""
    drill.get(f"{original.asleep.general}/messages")
    with serving(original.place) as server, client_of(server) as nobody:
        anna = nobody.with_token(original.token)
        assert anna.get(f"{original.asleep.general}/messages")["messages"][0]["content"] == "before the night"
        assert anna.http.get(anna.get(f"{original.file_path}/link")["url"]).content == uploads.PNG
        assert anna.post(f"{original.hook_path}/ping")["status"] == 204
