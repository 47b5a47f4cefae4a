"""Webhooks over HTTP, against a real receiver: posting into a room, and telling of it."""

import functools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import sqlite
from rookery.server import application
from router import webhook_deliveries
from tests.router.clients import Client, Room, client_of
from tests.router.receivers import CUT, HANG, Receiver, receiving
from tests.router.serving import Place, Running, serving, until

SOON = functools.partial(
    webhook_deliveries.Pace, first_retry_seconds=0.05, longest_retry_seconds=0.2, sweep_seconds=0.5
)
REACHES = "[webhooks]\nallow_private_networks = true\n"


@pytest.fixture(scope="module")
def telling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that reaches this machine and tries again soon."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(application, "Pace", SOON)
        with serving(Place(tmp_path_factory.mktemp("telling"), more=REACHES)) as running:
            yield running


@pytest.fixture(scope="module")
def somebody(telling: Running) -> Iterator[Client]:
    with client_of(telling) as client:
        yield client


@pytest.fixture(scope="module")
def anna(somebody: Client) -> Client:
    return somebody.guest()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
def room(anna: Client) -> Room:
    return anna.found()


def incoming(client: Client, room: Room, name: str = "CI") -> Any:
    return client.post(f"{room.path}/webhooks/incoming", {"name": name, "channel_id": room.channels["general"]})


def outgoing(client: Client, room: Room, url: str, **fields: Any) -> Any:
    body = {"name": "out", "url": url, "events": ["message"], **fields}
    return client.post(f"{room.path}/webhooks/outgoing", body)


def state(client: Client, room: Room, made: Any) -> Any:
    return client.get(f"{room.path}/webhooks/{made['webhook']['id']}")


def test_a_post_shows_as_the_webhooks(anna: Client, room: Room, somebody: Client) -> None:
    """Whoever has the token posts without a session; the message is by a user of its own, marked as a bot."""
    made = incoming(anna, room)
    assert made["url"].endswith(f"/v1/hooks/{made['webhook']['id']}/{made['token']}")
    path = made["url"].split("8787", 1)[1]
    sent = somebody.post(path, {"content": "built", "username": "Build 7", "nonce": "n"})
    assert somebody.ask("POST", path, {"content": "built", "nonce": "n"}).status_code == 200
    assert sent["metadata"] == {"webhook_id": made["webhook"]["id"], "username": "Build 7"}
    page = anna.get(f"{room.general}/messages", limit=1)
    assert page["messages"] == [sent]
    [author] = page["users"]
    assert (author["id"], author["display_name"], author["is_bot"]) == (made["webhook"]["id"], "CI", True)
    assert somebody.post(path, {"text": "as Slack has it"})["content"] == "as Slack has it"
    for wrong in ({}, {"content": "a", "text": "b"}, {"content": " "}, {"content": "x", "user_id": "1"}):
        assert somebody.refused("POST", path, wrong).status == 422
    anna.did("PATCH", f"{room.path}/webhooks/{made['webhook']['id']}", {"name": "Builder"})
    assert anna.get(f"{room.general}/messages", limit=1)["users"][0]["display_name"] == "Builder"


def test_a_token_that_is_none_tells_nothing(anna: Client, room: Room, somebody: Client) -> None:
    """A wrong token, an old one, a deleted webhook, an outgoing one and no webhook at all are one answer."""
    made, told = incoming(anna, room), outgoing(anna, room, "https://hooks.invalid/")
    path, one = "/v1/hooks/{}/{}".format, f"{room.path}/webhooks/{made['webhook']['id']}"
    renewed = anna.post(f"{one}/renew")
    assert somebody.post(path(made["webhook"]["id"], renewed["token"]), {"content": "x"})
    cases = [
        (made["webhook"]["id"], made["token"]), (made["webhook"]["id"], "x"), ("1", renewed["token"]),
        (told["webhook"]["id"], renewed["token"]),
    ]  # fmt: skip
    answers = {somebody.refused("POST", path(*case), {"content": "x"}) for case in cases}
    anna.did("DELETE", one)
    answers.add(somebody.refused("POST", path(made["webhook"]["id"], renewed["token"]), {"content": "x"}))
    assert [answer.status for answer in answers] == [404]


def test_posting_has_a_rate_of_its_own(anna: Client, room: Room, somebody: Client) -> None:
    """A webhook posts so often and no more, and whoever guesses tokens uses none of that up."""
    made = incoming(anna, room)
    wrong, right = (f"/v1/hooks/{made['webhook']['id']}/{token}" for token in ("guess", made["token"]))
    assert {somebody.ask("POST", wrong, {"content": "x"}).status_code for _ in range(35)} == {404, 429}
    found = [somebody.ask("POST", right, {"content": "x"}).status_code for _ in range(40)]
    assert found[:30] == [201] * 30
    assert 429 in found[30:]


def test_events_are_told_signed_and_in_order(anna: Client, room: Room, receiver: Receiver) -> None:
    """A receiver gets each message once, in order, signed with the secret that was told once; the list says how far."""
    made = outgoing(anna, room, receiver.url("a?b=c"))
    assert made["secret"].startswith("whsec_")
    said = [anna.say(room, f"message {number}") for number in range(5)]
    until(lambda: len(receiver.said("a?b=c")) == 5)
    told = receiver.told("a?b=c")
    assert [event["d"] for event in told] == said
    assert [event["seq"] for event in told] == sorted(event["seq"] for event in told)
    first = receiver.taken("a?b=c")[0]
    assert first.is_signed_with(made["secret"])
    assert not first.is_signed_with("whsec_AAAA")
    assert first.headers["content-type"] == "application/json"
    assert set(told[0]) == {"seq", "type", "at", "channel_id", "actor_id", "d"}
    until(lambda: state(anna, room, made)["deliveries"]["last_seq"] == told[-1]["seq"])
    assert state(anna, room, made)["deliveries"]["last_status"] == 204
    renewed = anna.post(f"{room.path}/webhooks/{made['webhook']['id']}/renew")
    anna.say(room, "after")
    until(lambda: len(receiver.said("a?b=c")) == 6)
    assert receiver.taken("a?b=c")[-1].is_signed_with(renewed["secret"])


def test_a_receiver_that_fails_is_told_again(anna: Client, room: Room, receiver: Receiver) -> None:
    """After errors, redirects and cut connections everything is told, and nothing later before something earlier."""
    failures = [500, 302, CUT, 429, 204, 503]
    receiver.answer = lambda _path, count: failures[count] if count < len(failures) else 200
    made = outgoing(anna, room, receiver.url("a"))
    said = [anna.say(room, f"message {number}")["content"] for number in range(3)]
    until(lambda: receiver.said("a") == said)
    said.append(anna.say(room, "late")["content"])
    until(lambda: receiver.said("a") == said)
    assert all(one.path != "/elsewhere" for one in receiver.came)
    until(lambda: state(anna, room, made)["deliveries"]["failures"] == 0)
    repeated = [one.headers["webhook-id"] for one in receiver.came[:4]]
    assert len(set(repeated)) <= 3
    assert state(anna, room, made)["is_enabled"]


def test_a_receiver_that_is_gone_is_left_alone(anna: Client, room: Room, receiver: Receiver) -> None:
    """410 disables a webhook at once, with an entry in the record; enabled again it goes on where it stopped."""
    receiver.answer = lambda _path, count: 410 if count == 0 else 200
    made = outgoing(anna, room, receiver.url("a"))
    anna.say(room, "one")
    until(lambda: not state(anna, room, made)["is_enabled"])
    assert state(anna, room, made)["disabled_reason"] == "receiver_gone"
    [entry] = anna.get(f"{room.path}/audit", action="webhook.disabled")["entries"]
    assert (entry["actor_id"], entry["target_id"]) == (None, made["webhook"]["id"])
    anna.say(room, "two")
    assert receiver.said("a") == []
    anna.did("PATCH", f"{room.path}/webhooks/{made['webhook']['id']}", {"is_enabled": True})
    until(lambda: receiver.said("a") == ["one", "two"])


def test_one_slow_receiver_holds_up_nobody(anna: Client, room: Room, receiver: Receiver) -> None:
    """While one receiver hangs, another of the same room hears everything."""
    receiver.answer = lambda path, _count: HANG if path == "/slow" else 200
    outgoing(anna, room, receiver.url("slow"))
    outgoing(anna, room, receiver.url("fast"))
    said = [anna.say(room, f"message {number}")["content"] for number in range(10)]
    until(lambda: receiver.said("fast") == said)
    assert receiver.said("slow") == []


def test_nothing_is_told_that_its_keeper_may_not_read(anna: Client, room: Room, receiver: Receiver) -> None:
    """A moderator's webhook tells nothing of a private channel, and ends when the moderator is put out."""
    ben = anna.with_token(None).guest()
    anna.admit(room, ben)
    role = anna.post(f"{room.path}/roles", {"name": "hookers", "permissions": ["manage_webhooks"]})
    anna.did("PUT", f"{room.path}/members/{ben.id}/roles/{role['id']}")
    hidden = anna.post(f"{room.path}/channels", {"name": "hidden", "is_private": True})["id"]
    made = outgoing(ben, room, receiver.url("a"), events=["*"])
    anna.post(f"{room.path}/channels/{hidden}/messages", {"content": "secret"})
    anna.say(room, "open")
    until(lambda: receiver.said("a") == ["open"])
    assert all(event["channel_id"] != hidden for event in receiver.told("a"))
    anna.did("DELETE", f"{room.path}/members/{ben.id}")
    anna.say(room, "without ben")
    until(lambda: state(anna, room, made)["disabled_reason"] == "keeper_lost")
    assert receiver.said("a") == ["open"]


def test_a_suspended_keeper_is_told_nothing(
    anna: Client, telling: Running, room: Room, receiver: Receiver, somebody: Client
) -> None:
    """A webhook of somebody whose account was closed ends, though they are still among the room's members."""
    ben = somebody.register("keeper_of_hooks")
    anna.admit(room, ben)
    role = anna.post(f"{room.path}/roles", {"name": "keepers", "permissions": ["manage_webhooks"]})
    anna.did("PUT", f"{room.path}/members/{ben.id}/roles/{role['id']}")
    made = outgoing(ben, room, receiver.url("a"))
    directory = sqlite.connect(telling.place.folder / "data" / "directory.db")
    directory.execute("UPDATE users SET status = 'suspended' WHERE username = 'keeper_of_hooks'")
    directory.close()
    anna.say(room, "secret")
    until(lambda: state(anna, room, made)["disabled_reason"] == "keeper_lost")
    assert receiver.came == []


def test_a_ping_is_answered_at_once(anna: Client, room: Room, receiver: Receiver) -> None:
    """A ping tells what the receiver said, is signed, is in no log, and cannot be sent as often as one likes."""
    made = outgoing(anna, room, receiver.url("a"))
    path = f"{room.path}/webhooks/{made['webhook']['id']}/ping"
    answer = anna.post(path)
    assert (answer["is_taken"], answer["status"], answer["error"]) == (True, 204, None)
    [ping] = receiver.taken("a")
    assert ping.is_signed_with(made["secret"])
    assert [(event["type"], event["seq"]) for event in ping.events] == [("webhook.pinged", None)]
    receiver.answer = lambda _path, _count: 500
    assert anna.post(path)["is_taken"] is False
    assert {anna.ask("POST", path).status_code for _ in range(6)} == {200, 429}
    came = incoming(anna, room)
    assert anna.refused("POST", f"{room.path}/webhooks/{came['webhook']['id']}/ping").status == 409


def test_metrics_tell_of_deliveries(anna: Client, room: Room, receiver: Receiver, somebody: Client) -> None:
    """What was taken and what failed is counted, and a backlog shows while it lasts."""
    receiver.answer = lambda _path, count: 500 if count < 2 else 200
    outgoing(anna, room, receiver.url("a"))
    anna.say(room, "one")
    until(lambda: receiver.said("a") == ["one"])
    page = somebody.http.get("/metrics").text
    assert 'rookery_webhook_deliveries_total{outcome="taken"}' in page
    assert 'rookery_webhook_deliveries_total{outcome="failed"}' in page
    assert "rookery_webhook_backlog_seconds" in page


@pytest.mark.parametrize(
    ("events", "remedy"),
    [
        (["message", "message.creatd"], "there are no events called message.creatd; did you mean message.created?"),
        (["mesage"], "there are no events called mesage; did you mean message?"),
        (
            ["room.updated", "webhook.pinged"],
            "there are no events called webhook.pinged; did you mean webhook.renewed?",
        ),
        (["x"], "there are no events called x; use *, category, channel, "),
    ],
)
def test_only_events_that_exist_are_subscribed_to(
    anna: Client, room: Room, receiver: Receiver, events: list[str], remedy: str
) -> None:
    """A type or a noun of no event is refused, with the nearest that exists, where a webhook is made and changed."""
    made = outgoing(anna, room, receiver.url("a"), events=["message.created", "reaction", "*"])
    path = f"{room.path}/webhooks/{made['webhook']['id']}"
    for refusal in (
        anna.refused("POST", f"{room.path}/webhooks/outgoing", {"name": "x", "url": receiver.url(), "events": events}),
        anna.refused("PATCH", path, {"events": events}),
    ):
        assert refusal.status == 422
        assert f"'{remedy}" in refusal.errors
        assert "'body.events'" in refusal.errors
    assert anna.get(path)["events"] == ["message.created", "reaction", "*"]
    assert anna.ask("PATCH", path, {"events": ["history.archived"]}).status_code == 200


@pytest.mark.security
def test_by_default_only_the_public_internet_is_reached(nobody: Client, receiver: Receiver) -> None:
    """Plain http, odd ports and odd URLs are refused at once, private addresses when they are asked for."""
    owner = nobody.guest()
    room = owner.found()
    for url in (receiver.url(), "https://example.org:22/", "https://u:p@example.org/", "ftp://example.org/", "x"):
        body = {"name": "x", "url": url, "events": ["*"]}
        refusal = owner.refused("POST", f"{room.path}/webhooks/outgoing", body)
        assert refusal.status == 422
        assert "body.url" in refusal.errors
    paths = []
    for url in (f"https://127.0.0.1:{receiver.port}/", f"https://localhost:{receiver.port}/", "https://[::1]/"):
        made = outgoing(owner, room, url)
        paths.append(f"{room.path}/webhooks/{made['webhook']['id']}")
        assert owner.post(f"{paths[-1]}/ping")["error"] == "no such address is reached from here"
    assert receiver.came == []
    path = paths[0]
    assert owner.refused("PATCH", path, {"url": "http://example.org"}).status == 422


def test_a_restart_goes_on_where_it_was(tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was said while the receiver failed is told by the next server, without anybody coming to the room."""
    monkeypatch.setattr(application, "Pace", SOON)
    receiver.answer = lambda _path, _count: 500
    place = Place(tmp_path, more=REACHES)
    with serving(place) as running, client_of(running) as client:
        owner = client.guest()
        room = owner.found()
        outgoing(owner, room, receiver.url("a"))
        owner.say(room, "before")
        until(lambda: len(receiver.came) > 1)
    receiver.answer = lambda _path, _count: 200
    time.sleep(0.3)
    with serving(place):
        until(lambda: receiver.said("a") == ["before"])
