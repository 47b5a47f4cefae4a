"""An archived room over HTTP: read, searched, answered and deleted in as before, and honest where it cannot be."""

import gzip
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from shard.actions import archive
from shard.archive import manifest
from tests.rookery.terminal import invoke
from tests.router.clients import Client, client_of
from tests.router.serving import Place, serving

YEAR_2020 = 1_577_836_800
COUNT, KEPT = 60, 10


@dataclass(frozen=True, slots=True)
class Archived:
    """A member of a room whose old messages are archived, and where everything is."""

    ada: Client
    room: str
    messages: str
    data: Path


@pytest.fixture
def archived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Archived]:
    """Import 60 messages, archive 50 of them, and serve the room."""
    monkeypatch.setattr(archive, "NEWEST_KEPT", KEPT)
    monkeypatch.setattr(archive, "SEGMENT_MIN", 5)
    monkeypatch.setattr("shard.archive.segment_files.MESSAGES_MAX", 20)
    lines = [
        {"channel": "general", "topic": "", "user": "Grace", "timestamp": YEAR_2020 + at, "content": f"rook {at} sits"}
        for at in range(COUNT)
    ]
    history = tmp_path / "history.jsonl.gz"
    history.write_bytes(gzip.compress("\n".join(map(json.dumps, lines)).encode()))
    place = Place(tmp_path)
    place.settings()
    data = tmp_path / "data"
    for words in (
        ("import", history, "--room", "lean", "--public"),
        ("archive", "policy", "lean", "--archive-after", 30),
    ):
        assert invoke("--data", data, *words).code == 0
    assert invoke("--data", data, "archive", "run", "lean", "--json").json[0]["messages_moved"] == COUNT - KEPT
    with serving(place) as running, client_of(running) as client:
        ada = client.guest()
        found = ada.get("/v1/rooms/by-name/lean")["room"]["id"]
        (channel,) = ada.post(f"/v1/rooms/{found}/join")["channels"][:1]
        path = f"/v1/rooms/{found}"
        yield Archived(ada, path, f"{path}/channels/{channel['id']}/messages", data)


def find(archived: Archived, text: str) -> dict[str, Any]:
    """Return the one message that a search finds, which goes on where it ran out of time."""
    page = archived.ada.get(f"{archived.room}/search", q=text)
    while not page["messages"]:
        page = archived.ada.get(f"{archived.room}/search", q=text, cursor=page["next_cursor"])
    (found,) = page["messages"]
    assert isinstance(found, dict)
    return found


def test_history_is_walked_as_if_nothing_had_moved(archived: Archived) -> None:
    """Pages, single messages, searches and the export have all messages, once and in their order."""
    said: list[str] = []
    page = archived.ada.get(archived.messages, limit=7)
    while page["messages"]:
        said += [message["content"] for message in page["messages"]]
        page = archived.ada.get(archived.messages, limit=7, before=page["messages"][-1]["id"])
    assert said == [f"rook {at} sits" for at in reversed(range(COUNT))]
    around = archived.ada.get(archived.messages, limit=5)["messages"][0]["id"]
    assert archived.ada.get(archived.messages, around=around, limit=3)["has_older"]
    found = find(archived, '"rook 17"')
    assert archived.ada.get(f"{archived.messages}/{found['id']}") == found
    exported = archived.ada.get(f"{archived.room}/export", limit=100)["messages"]
    assert [message["content"] for message in exported] == said[::-1]


def test_an_archived_message_is_answered_and_deleted_but_not_changed(archived: Archived) -> None:
    """A reply shows what it replies to; changing is refused by name; a stranger's deletion too, and one's own works."""
    ada = archived.ada
    found = find(archived, '"rook 17"')
    place = f"{archived.messages}/{found['id']}"
    reply = ada.post(archived.messages, {"content": "indeed", "reply_to_id": found["id"]})
    page = ada.get(archived.messages, limit=1)
    assert (page["messages"][0]["id"], page["replied_to"]) == (reply["id"], [found])
    assert ada.refused("PUT", f"{place}/reactions/%F0%9F%90%A6").type == "archived"
    assert ada.refused("DELETE", place, {}).status == 403
    assert ada.refused("PUT", f"{archived.messages}/{int(found['id']) + 1}/reactions/%F0%9F%90%A6").status == 404
    assert ada.get(f"{place}/history")["versions"][0]["content"] == found["content"]


def test_without_object_storage_what_is_live_answers(archived: Archived) -> None:
    """While segments cannot be fetched, the newest messages are read and what is older is 503, until they can."""
    away = archived.data / "elsewhere"
    shutil.move(archived.data / "archive", away)
    page = archived.ada.get(archived.messages, limit=50)
    assert (len(page["messages"]), page["has_older"]) == (KEPT, True)
    oldest = page["messages"][-1]["id"]
    refused = archived.ada.ask("GET", archived.messages, params={"limit": 50, "before": oldest})
    assert (refused.status_code, refused.json()["type"]) == (503, "/docs#problem-archive-unavailable")
    assert int(refused.headers["retry-after"]) > 0
    shutil.move(away, archived.data / "archive")
    rest = archived.ada.get(archived.messages, limit=50, before=oldest)
    assert len(rest["messages"]) == COUNT - KEPT


def test_a_page_without_mentions_says_where_to_go_on(archived: Archived, monkeypatch: pytest.MonkeyPatch) -> None:
    """While there are more segments than one answer knows of, a page may have nothing and the next something."""
    monkeypatch.setattr(manifest, "PAGE_MAX", 2)
    path, pages = f"{archived.room}/mentions", 0
    page = archived.ada.get(path)
    while page["next_cursor"] is not None:
        assert page["messages"] == []
        pages += 1
        page = archived.ada.get(path, cursor=page["next_cursor"])
    assert pages > 1
