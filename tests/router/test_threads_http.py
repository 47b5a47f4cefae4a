"""Threads over HTTP: named, locked, archived, and found."""

import pytest

from tests.router.clients import Client, Room


@pytest.fixture(scope="module")
def room(owner: Client, other: Client) -> Room:
    """A community with two people in it."""
    made = owner.found()
    owner.admit(made, other)
    return made


def titles(client: Client, path: str, **params: str) -> list[str]:
    """Return the titles of a list of threads."""
    return [thread["title"] for thread in client.get(path, **params)["threads"]]


def test_a_thread_is_changed_by_its_opener(owner: Client, other: Client, room: Room) -> None:
    """Whoever opened a thread renames and archives it, nobody else does, and a lock is for who manages threads."""
    thread = other.post(f"{room.general}/threads", {"title": "Moss"})
    path = f"{room.general}/threads/{thread['id']}"
    changed = other.did("PATCH", path, {"title": " Feathers ", "is_archived": True})
    assert changed == thread | {"title": "Feathers", "is_archived": True}
    assert owner.get(path) == changed
    assert other.refused("PATCH", path, {"is_locked": True}).type == "forbidden"
    assert owner.did("PATCH", path, {"is_locked": True, "reason": "heated"})["is_locked"]
    assert other.refused("PATCH", path, {"title": "Mine"}).type == "forbidden"
    assert other.refused("POST", f"{room.general}/messages", {"content": "x", "thread_id": thread["id"]}).status == 409
    acts = owner.get(f"{room.path}/audit", action="thread.edited")["entries"]
    assert [(one["target_id"], one["reason"]) for one in acts] == [(thread["id"], "heated")]


def test_a_message_wakes_a_thread(other: Client, room: Room) -> None:
    """An archived thread is active again when somebody writes in it."""
    thread = other.post(f"{room.general}/threads", {"title": "Asleep"})
    path = f"{room.general}/threads/{thread['id']}"
    other.did("PATCH", path, {"is_archived": True})
    other.say(room, "morning", thread_id=thread["id"])
    assert not other.get(path)["is_archived"]


def test_threads_are_found_by_state_and_title(owner: Client) -> None:
    """A channel's threads are listed by state and by beginnings of titles, and a room lists its active ones."""
    room = owner.found()
    threads = f"{room.general}/threads"
    made = {title: owner.post(threads, {"title": title})["id"] for title in ("Eggs", "edge", "Nest")}
    owner.did("PATCH", f"{threads}/{made['Eggs']}", {"is_archived": True})
    assert titles(owner, threads) == ["Nest", "edge", "Eggs"]
    assert titles(owner, threads, state="active") == ["Nest", "edge"]
    assert titles(owner, threads, state="archived") == ["Eggs"]
    assert titles(owner, threads, title="E") == ["edge", "Eggs"]
    assert titles(owner, threads, title="e", state="active") == ["edge"]
    assert titles(owner, f"{room.path}/threads") == ["Nest", "edge"]
    first = owner.get(f"{room.path}/threads", limit="1")
    assert titles(owner, f"{room.path}/threads", cursor=first["next_cursor"]) == ["edge"]
    assert owner.refused("GET", threads, params={"state": "sleeping"}).type == "invalid"


@pytest.mark.parametrize(
    "body", [{"title": None}, {"title": " "}, {"is_locked": None}, {"is_locked": 1}, {"name": "x"}]
)
def test_a_thread_cannot_be_emptied(owner: Client, room: Room, body: dict[str, object]) -> None:
    """What every thread has can be changed but not taken away, and a change of nothing is none."""
    thread = owner.post(f"{room.general}/threads", {"title": f"about {body}"[:200]})
    path = f"{room.general}/threads/{thread['id']}"
    assert owner.refused("PATCH", path, body).type == "invalid"
    assert owner.did("PATCH", path, {}) == thread
