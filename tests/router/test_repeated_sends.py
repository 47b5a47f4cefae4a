"""A send whose answer was lost is repeated with its nonce after the room's state, or a block, forbade new messages."""

from contextlib import closing
from typing import Any

import sqlite
from tests.router.clients import Client, Room
from tests.router.hearing import Hearer, hearing
from tests.router.serving import Running, until

ONCE = {"content": "once", "nonce": "n-1"}


def repeat(client: Client, hearer: Hearer, channel: str, first: Any, body: dict[str, Any] = ONCE) -> None:
    """Repeat a send over HTTP and over the gateway: both answer with the message that is stored."""
    again = client.ask("POST", f"{channel}/messages", body)
    assert (again.status_code, again.json()) == (200, first)
    answer = hearer.ok("send", **_seen(channel), **body)
    assert (answer["id"], answer["is_new"]) == (first["id"], False)


def refuse(client: Client, hearer: Hearer, channel: str, expected: tuple[int, str], **body: Any) -> None:
    """Send what is refused over HTTP and over the gateway."""
    refusal = client.refused("POST", f"{channel}/messages", {**ONCE, **body})
    assert (refusal.status, refusal.type) == expected
    assert hearer.refused("send", **_seen(channel), **{**ONCE, **body}) == expected


def _seen(channel: str) -> dict[str, str]:
    """Return a channel's address as requests of the gateway have it."""
    _, _, _, room_id, _, channel_id = channel.split("/")
    return {"room_id": room_id, "channel_id": channel_id}


def close_room(server: Running, room: Room, member: Client) -> None:
    """Make a room read-only as an operator does, and wait until the running server has seen it."""
    with closing(sqlite.connect(server.place.folder / "data" / "directory.db")) as directory:
        directory.execute(
            "UPDATE rooms SET state = 'readonly', readonly_reason = 'operator' WHERE id = ?", (int(room.id),)
        )
    until(lambda: member.ask("POST", f"{room.general}/messages", {"content": "x"}).status_code == 507)


def test_a_block_or_a_closed_door_refuses_only_what_is_new(server: Running, owner: Client, other: Client) -> None:
    """Both of a direct chat get their stored messages back after a block, and each only their own."""
    made = owner.did("PUT", f"/v1/users/{other.id}/chat")
    channel = f"/v1/rooms/{made['room']['id']}/channels/{made['channels'][0]['id']}"
    first, theirs = owner.post(f"{channel}/messages", ONCE), other.post(f"{channel}/messages", ONCE)
    with hearing(server, owner.token) as (one, _), hearing(server, other.token) as (two, _):
        other.did("PATCH", "/v1/users/me/settings", {"direct_messages_from": "nobody"})
        repeat(owner, one, channel, first)
        refuse(owner, one, channel, (403, "forbidden"), nonce="n-2")
        other.did("PUT", f"/v1/users/me/blocks/{owner.id}")
        repeat(owner, one, channel, first)
        repeat(other, two, channel, theirs)
        refuse(owner, one, channel, (403, "forbidden"), nonce="n-2")
        refuse(other, two, channel, (409, "conflict"), nonce="n-2")
        owner.did("DELETE", f"{channel}/messages/{first['id']}", {})
        refuse(owner, one, channel, (403, "forbidden"))


def test_a_read_only_room_refuses_only_what_is_new(server: Running, owner: Client, other: Client) -> None:
    """Members and webhooks get their stored message back; whoever left, and a wrong token, get what all others get."""
    room = owner.found()
    owner.admit(room, other)
    first = owner.post(f"{room.general}/messages", ONCE)
    other.post(f"{room.general}/messages", ONCE)
    hook = owner.post(f"{room.path}/webhooks/incoming", {"name": "CI", "channel_id": room.channels["general"]})
    address = f"/v1/hooks/{hook['webhook']['id']}/{hook['token']}"
    posted = owner.with_token(None).post(address, ONCE)
    other.post(f"{room.path}/leave")
    close_room(server, room, owner)
    with hearing(server, owner.token) as (one, _), hearing(server, other.token) as (two, _):
        repeat(owner, one, room.general, first)
        refuse(owner, one, room.general, (507, "storage-full"), nonce="n-2")
        refuse(other, two, room.general, (404, "not-found"))
    again = owner.with_token(None).ask("POST", address, ONCE)
    assert (again.status_code, again.json()) == (200, posted)
    assert owner.with_token(None).refused("POST", address, {**ONCE, "nonce": "n-2"}).status == 507
    assert owner.with_token(None).refused("POST", address[:-1], ONCE).status == 404


def test_the_banned_get_nothing_back(server: Running, owner: Client, other: Client) -> None:
    """Whoever was banned gets for a stored nonce what strangers get, also in a public room that is read-only."""
    room = owner.found(is_public=True)
    other.post(f"{room.path}/join")
    other.post(f"{room.general}/messages", ONCE)
    owner.did("PUT", f"{room.path}/bans/{other.id}", {})
    with hearing(server, other.token) as (two, _):
        refuse(other, two, room.general, (404, "not-found"))
        close_room(server, room, owner)
        refuse(other, two, room.general, (507, "storage-full"))


def test_an_archived_channel_a_locked_thread_and_a_time_out_refuse_only_what_is_new(
    server: Running, owner: Client, other: Client
) -> None:
    """A member gets back what they sent before the channel was archived, the thread locked, or they were timed out."""
    room = owner.found()
    owner.admit(room, other)
    thread = owner.post(f"{room.general}/threads", {"title": "Plans"})
    in_thread = {"content": "there", "nonce": "n-3", "thread_id": thread["id"]}
    first, there = other.post(f"{room.general}/messages", ONCE), other.post(f"{room.general}/messages", in_thread)
    with hearing(server, other.token) as (two, _):
        owner.did("PATCH", f"{room.general}/threads/{thread['id']}", {"is_locked": True})
        repeat(other, two, room.general, there, in_thread)
        refuse(other, two, room.general, (409, "conflict"), thread_id=thread["id"], nonce="n-2")
        owner.did("PATCH", room.general, {"is_archived": True})
        repeat(other, two, room.general, first)
        refuse(other, two, room.general, (409, "conflict"), nonce="n-2")
        owner.did("PUT", f"{room.path}/members/{other.id}/timeout", {"duration_seconds": 600})
        repeat(other, two, room.general, first)
        refuse(other, two, room.general, (403, "forbidden"), nonce="n-2")
