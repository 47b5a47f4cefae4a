"""Uploads whose answers were lost: announced again with their nonce, they go on where they were."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.router.clients import Client, Room
from tests.router.uploads import PNG, announced, put


@pytest.fixture
def room(owner: Client, other: Client) -> Room:
    """A community with the owner and somebody else in it."""
    room = owner.found()
    owner.admit(room, other)
    return room


@pytest.mark.parametrize("lost", ["announced", "put", "completed"])
def test_an_upload_whose_answers_were_lost_goes_on(owner: Client, room: Room, lost: str) -> None:
    """Announcing again with the nonce returns the same upload with an address that works, at every step until it is
    sent; it is stored once, and counted once."""
    body = announced(nonce=f"lost-{lost}")
    before = owner.get("/v1/users/me/storage")["used_bytes"]
    first = owner.post(f"{room.general}/attachments", body)
    path = f"{room.general}/attachments/{first['attachment']['id']}"
    if lost != "announced":
        assert put(owner, first, PNG).status_code == 204
    if lost == "completed":
        owner.post(f"{path}/complete")
    repeated = owner.ask("POST", f"{room.general}/attachments", body | {"filename": "x.png"})
    again = repeated.json()
    assert (repeated.status_code, again["attachment"]["id"]) == (200, first["attachment"]["id"])
    assert again["storage"]["used_bytes"] == before + len(PNG)
    assert put(owner, again, PNG).status_code == 204
    assert owner.post(f"{path}/complete")["width"] == 3
    sent = {"attachment_ids": [first["attachment"]["id"]], "nonce": f"with {lost}"}
    assert owner.post(f"{room.general}/messages", sent) == owner.post(f"{room.general}/messages", sent)
    later = owner.ask("POST", f"{room.general}/attachments", body)
    assert (later.status_code, later.json()["attachment"]["id"] == first["attachment"]["id"]) == (201, False)


def test_a_nonce_of_an_upload_is_its_makers_and_its_channels(owner: Client, other: Client, room: Room) -> None:
    """Others, other channels and other nonces get uploads of their own; other bytes are refused."""
    body = announced(nonce="mine")
    elsewhere = f"{room.path}/channels/{room.channels['announcements']}/attachments"
    first = owner.post(f"{room.general}/attachments", body)
    uploads = [
        other.post(f"{room.general}/attachments", body),
        owner.post(elsewhere, body),
        owner.post(f"{room.general}/attachments", announced(nonce="another")),
        owner.post(f"{room.general}/attachments", announced()),
        owner.post(f"{room.general}/attachments", announced()),
    ]
    assert len({one["attachment"]["id"] for one in (first, *uploads)}) == 6
    assert len({one["upload"]["url"].rpartition("-")[2][:32] for one in (first, *uploads)}) == 6
    assert owner.refused("POST", f"{room.general}/attachments", announced(b"x", nonce="mine")).type == "conflict"
    owner.did("DELETE", f"{room.general}/attachments/{first['attachment']['id']}")
    assert owner.ask("POST", f"{room.general}/attachments", body).status_code == 201


def test_an_announcement_that_is_repeated_at_once_is_one_upload(owner: Client, room: Room) -> None:
    """Eight requests with one nonce at the same time are one upload, and its bytes count once."""
    before = owner.get("/v1/users/me/storage")["used_bytes"]
    with ThreadPoolExecutor(8) as threads:
        asked = threads.map(
            lambda _number: owner.ask("POST", f"{room.general}/attachments", announced(nonce="at once")), range(8)
        )
        answers = list(asked)
    assert sorted(one.status_code for one in answers) == [200] * 7 + [201]
    assert len({one.json()["attachment"]["id"] for one in answers}) == 1
    assert owner.get("/v1/users/me/storage")["used_bytes"] == before + len(PNG)
