"""What an attacker sends to the gateway: every abuse ends its own connection, says why, and costs nobody else."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from router.gateway import gateway, identify, tickets
from router.scopes import Scope
from tests.router.clients import PASSWORD, Client, client_of
from tests.router.serving import Place, Running, serving, until
from tests.router.wires import (
    BINARY,
    CLOSE,
    CONT,
    PING,
    PONG,
    TEXT,
    Speaker,
    Wire,
    frame,
    speaking,
    wired,
)
from tests.shard.test_visible_text import INVISIBLE

pytestmark = pytest.mark.security

MIB = 1 << 20
DEEP = 30_000


@pytest.fixture
def wire(server: Running) -> Iterator[Wire]:
    """A raw WebSocket that has not identified."""
    with wired(server) as opened:
        yield opened


def text(value: str) -> bytes:
    return frame(TEXT, value.encode())


BROKEN: dict[str, tuple[bytes, int]] = {
    "binary": (frame(BINARY, b"{}"), 4001),
    "binary in fragments": (frame(BINARY, b"{", fin=False) + frame(CONT, b"}"), 4001),
    "no JSON": (text("hello"), 4001),
    "nothing": (frame(TEXT), 4001),
    "a list": (text("[]"), 4001),
    "a text": (text('"op"'), 4001),
    "a number": (text("1"), 4001),
    "null": (text("null"), 4001),
    "no op": (text("{}"), 4001),
    "NaN": (text('{"op": NaN}'), 4001),
    "half a surrogate before identify": (text(r'{"op": "\ud800"}'), 4001),
    "deep lists": (text("[" * DEEP), 4001),
    "deep and whole": (text('{"op":"send","d":' + "[" * DEEP + "]" * DEEP + "}"), 4001),
    "deep objects": (text('{"d":' * 10_000), 4001),
    "not UTF-8": (frame(TEXT, b'{"op": "\xff"}'), 1007),
    "half a character at a fragment's end": (frame(TEXT, b"\xc3", fin=False) + frame(CONT, b"\x28"), 1007),
    "too large": (frame(TEXT, b" " * 65_537), 1009),
    "too large, its head alone": (frame(TEXT, length=16 * MIB), 1009),
    "too large by half": (frame(TEXT, length=2**63 - 1), 1009),
    "too large in fragments": (
        frame(TEXT, b" " * 40_000, fin=False) + frame(CONT, b" " * 40_000, fin=False),
        1009,
    ),
    "a fragment of nothing": (frame(CONT, b"x"), 1002),
    "a text within another": (frame(TEXT, b"{", fin=False) + frame(TEXT, b"}"), 1002),
    "a long ping": (frame(PING, b"x" * 126), 1002),
    "half a ping": (frame(PING, fin=False), 1002),
    "an opcode of nobody": (frame(3), 1002),
    "a reserved bit": (b"\xf1\x80" + bytes(4), 1002),
    "no mask": (b"\x81\x02{}", 1002),
    "endless fragments": (frame(TEXT, b"[", fin=False) + frame(CONT, b"[", fin=False) * 400, 4006),
    "endless empty fragments": (frame(TEXT, fin=False) + frame(CONT, fin=False) * 400, 4006),
    "endless pings": (frame(PING) * 400, 4006),
    "endless pongs": (frame(PONG) * 400, 4006),
    "endless heartbeats": (text('{"op":"heartbeat"}') * 400, 4006),
    "an op before identify": (text('{"op":"send","d":{}}'), 4002),
    "an op of a number": (text('{"op":1}'), 4002),
}


@pytest.mark.parametrize(("sent", "code"), BROKEN.values(), ids=BROKEN)
def test_what_is_no_frame_of_ours_ends_the_connection(wire: Wire, sent: bytes, code: int) -> None:
    """Each breach of the protocol is answered with its close code and no other."""
    wire.socket.sendall(sent)
    assert wire.code() == code


@pytest.mark.parametrize(("sent", "code"), BROKEN.values(), ids=BROKEN)
def test_a_breach_and_a_close_in_one_breath(
    wire: Wire, sent: bytes, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever breaks the protocol and closes at once is closed without an error of ours, by our code or by theirs."""
    wire.socket.sendall(sent + frame(CLOSE, b"\x03\xe8"))
    assert wire.code() in (code, 1000, 1002)  # 1002: a close within a message breaks the protocol too
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.parametrize(
    ("request_", "ref"),
    [
        (r'{"op": "send", "ref": 7, "d": {"content": "\ud800"}}', 7),
        (r'{"op": "send", "ref": "x", "d": {"content": "a\uDC00\ud800b \ud83d\ude00 \\\ud8ff"}}', "x"),
        (r'{"op": "\udfff", "ref": 8}', 8),
        (r'{"\ud800": 1, "op": "typing", "ref": 9}', 9),
        (r'{"op": "heartbeat", "ref": 10, "d": "\ud83d\u0041"}', 10),
        (r'{"op": "send", "ref": ["\ud800"]}', None),
        (r'{"op": "send", "d": "\ud800"}', None),
        (r'{"op": "identify", "ref": 11, "d": {"token": "\ud800"}}', 11),
    ],
)
def test_half_a_surrogate_is_answered(server: Running, owner: Client, request_: str, ref: object) -> None:
    """A frame that is JSON but for it is an error with its ref, as 400 over HTTP, and the connection goes on."""
    room = owner.found()
    place = {"room_id": room.id, "channel_id": room.channels["general"]}
    with speaking(server, owner) as speaker:
        speaker.send_text(request_)
        answer = speaker.next("error")
        assert (answer["ref"], answer["d"]["status"], answer["d"]["type"]) == (ref, 400, "/docs#problem-bad-request")
        assert speaker.did("send", {**place, "content": "\U0001f600"})


@pytest.mark.parametrize("blank", INVISIBLE, ids=ascii)
def test_a_blank_message_is_refused(server: Running, owner: Client, blank: str) -> None:
    """What cannot be seen says nothing at the gateway either."""
    room = owner.found()
    with speaking(server, owner) as speaker:
        place = {"room_id": room.id, "channel_id": room.channels["general"]}
        assert speaker.refused("send", {**place, "content": blank}) == 422


@pytest.mark.parametrize("broken", [r'["\ud800"]', r'{"ref": "\ud800"}', r'{"op": "\ud800"', r'{"op": "\\ud800}'])
def test_half_a_surrogate_in_what_is_no_request_ends_the_connection(
    server: Running, owner: Client, broken: str
) -> None:
    """Without an op, or where the rest is no JSON either, there is nothing to answer."""
    with speaking(server, owner) as speaker:
        speaker.send_text(broken)
        assert speaker.code() == 4001


IDENTIFYING: dict[str, Any] = {
    "nothing": None,
    "a number": 5,
    "no token": {},
    "both": {"token": "x", "ticket": "y"},
    "an empty token": {"token": ""},
    "a long token": {"token": "x" * 129},
    "a token of a number": {"token": 7},
    "a token that opens nothing": {"token": "x" * 43},
    "a ticket that opens nothing": {"ticket": "x" * 43},
    "a bot's token that opens nothing": {"token": "rkb_" + "x" * 43},
    "unknown fields": {"token": "x", "admin": True},
    "a resume of text": {"token": "x", "resume": {"1": "5"}},
    "a negative resume": {"token": "x", "resume": {"1": -1}},
    "a resume of no room": {"token": "x", "resume": {"general": 1}},
    "too many rooms": {"token": "x", "resume": {str(number): 1 for number in range(1, 1_002)}},
    "too many overviews": {"token": "x", "overview": ["1"] * 11},
    "an odd presence": {"token": "x", "presence": {"status": "invisible"}},
}


@pytest.mark.parametrize("name", IDENTIFYING)
def test_a_wrong_identify_is_refused(wire: Wire, name: str) -> None:
    """Whoever shows what opens nothing is refused with 4003, and who does not say well who they are with 4001."""
    wire.say("identify", IDENTIFYING[name])
    assert wire.code() == (4003 if name.endswith("opens nothing") else 4001)


ODD: dict[str, tuple[dict[str, Any], int]] = {
    "an unknown op": ({"op": "sudo", "ref": 1}, 400),
    "an op of a number": ({"op": 1, "ref": 1}, 400),
    "an op of a list": ({"op": ["send"], "ref": 1}, 400),
    "no op at all": ({"op": None, "ref": 1}, 400),
    "a huge ref": ({"op": "typing", "ref": 2**62}, 400),
    "a long ref": ({"op": "typing", "ref": "x" * 65}, 400),
    "a ref of an object": ({"op": "typing", "ref": {"a": 1}}, 400),
    "a broken ref": ({"op": "typing", "ref": 1.5}, 400),
    "no d": ({"op": "send", "ref": 1}, 422),
    "a d of a list": ({"op": "send", "ref": 1, "d": []}, 422),
    "a deep d": ({"op": "send", "ref": 1, "d": json.loads("[" * 900 + "]" * 900)}, 422),
    "an id of a number": ({"op": "subscribe", "ref": 1, "d": {"room_id": 1}}, 422),
    "an id beyond all": ({"op": "subscribe", "ref": 1, "d": {"room_id": "9" * 30}}, 422),
    "a room of nobody": ({"op": "subscribe", "ref": 1, "d": {"room_id": "1"}}, 404),
    "an after beyond all": ({"op": "subscribe", "ref": 1, "d": {"room_id": "1", "after": 2**63}}, 422),
    "too many people": ({"op": "presences", "ref": 1, "d": {"room_id": "1", "user_ids": ["1"] * 501}}, 422),
    "U+0000": ({"op": "send", "ref": 1, "d": {"room_id": "1", "channel_id": "1", "content": "a\0b"}}, 422),
}


@pytest.mark.parametrize(("said", "status"), ODD.values(), ids=ODD)
def test_an_odd_request_is_answered_and_the_connection_goes_on(
    server: Running, owner: Client, said: dict[str, Any], status: int
) -> None:
    """A request that cannot be understood gets the problem that HTTP would answer, and the next one is done."""
    with speaking(server, owner) as speaker:
        speaker.say(**said)
        answer = speaker.next("error")
        assert answer["d"]["status"] == status, answer
        assert answer["ref"] == (1 if said["ref"] == 1 else None)
        speaker.settle()


def test_nobody_identifies_twice(server: Running, owner: Client, other: Client) -> None:
    """A second identify ends the connection, also as somebody else and before the first one was answered."""
    with speaking(server, owner) as speaker:
        speaker.say("identify", {"token": other.token})
        assert speaker.code() == 4005
    with wired(server) as wire:
        wire.socket.sendall(text(json.dumps({"op": "identify", "d": {"token": owner.token}})) * 2)
        assert wire.code() == 4005


def test_one_person_has_so_many_connections(server: Running, owner: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """One connection too many is closed with 4009, the others stay, and one that ends makes space."""
    assert identify.PER_USER_MAX == 25
    monkeypatch.setattr(identify, "PER_USER_MAX", 3)
    with contextlib.ExitStack() as stack:
        speakers = [stack.enter_context(speaking(server, owner)) for _ in range(3)]
        extra = stack.enter_context(speaking(server))
        extra.say("identify", {"token": owner.token})
        assert extra.code() == 4009
        speakers[0].vanish()
        until(lambda: _is_let_in(server, owner))
        for speaker in speakers[1:]:
            speaker.settle()


def _is_let_in(server: Running, who: Client) -> bool:
    speaker = Speaker(server)
    try:
        speaker.identify(who.token)
    except ConnectionClosed:
        return False
    finally:
        speaker.close()
    return True


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with little patience."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gateway, "IDENTIFY_SECONDS", 0.3)
        patch.setattr(gateway, "SILENT_SECONDS", 0.6)
        patch.setattr(gateway, "LOOK_EVERY_SECONDS", 0.05)
        patch.setattr(tickets, "TICKET_MS", 300)
        with serving(Place(tmp_path_factory.mktemp("hasty"))) as server:
            yield server


def test_whoever_does_not_say_who_they_are_is_closed(hasty: Running) -> None:
    """Without identify in time a connection ends with 4002, also one that sends heartbeats."""
    with wired(hasty) as silent, wired(hasty) as chatty:
        chatty.say("heartbeat")
        assert silent.code() == 4002
        assert chatty.code() == 4002


def test_a_silent_client_is_closed_and_one_that_pings_is_not(hasty: Running) -> None:
    """Whoever is not heard of for too long ends with 4007; a ping is as good as a heartbeat."""
    with client_of(hasty) as nobody, contextlib.ExitStack() as stack:
        silent = stack.enter_context(speaking(hasty, nobody.guest()))
        alive = stack.enter_context(wired(hasty))
        alive.say("identify", {"token": nobody.guest().token})
        alive.next("ready")
        alive.socket.settimeout(0.2)
        for _ in range(6):
            alive.send(PING, b"?")
            with contextlib.suppress(TimeoutError):
                while True:
                    alive.read()
        assert silent.code() == 4007
        alive.socket.settimeout(5)
        assert alive.code() == 4007


def test_a_ticket_opens_once_and_for_its_session(server: Running, owner: Client) -> None:
    """A ticket lets in whom it was made for, once: neither again nor after that session ended."""
    ticket = owner.post("/v1/gateway/tickets")["ticket"]
    with speaking(server) as first, speaking(server) as second:
        first.say("identify", {"ticket": ticket})
        assert first.next("ready")["d"]["user"]["id"] == owner.id
        second.say("identify", {"ticket": ticket})
        assert second.code() == 4003
    leaver = owner.with_token(None).guest()
    ticket = leaver.post("/v1/gateway/tickets")["ticket"]
    leaver.post("/v1/auth/logout")
    with speaking(server) as late:
        late.say("identify", {"ticket": ticket})
        assert late.code() == 4003


def test_a_ticket_is_neither_a_token_nor_a_bots_thing(server: Running, owner: Client) -> None:
    """A ticket opens nothing as a token, a token nothing as a ticket, and bots and strangers get none."""
    keeper = owner.with_token(None).register("ticket_keeper")
    ticket = keeper.post("/v1/gateway/tickets")["ticket"]
    assert keeper.with_token(ticket).refused("GET", "/v1/users/me").status == 401
    for said in ({"token": ticket}, {"ticket": keeper.token}):
        with speaking(server) as speaker:
            speaker.say("identify", said)
            assert speaker.code() == 4003
    assert owner.with_token(None).refused("POST", "/v1/gateway/tickets").status == 401
    assert bot_of(keeper, "ticket_bot", *Scope).refused("POST", "/v1/gateway/tickets").status == 403


def test_a_ticket_expires(hasty: Running) -> None:
    """A ticket that was not used in time opens nothing."""
    with client_of(hasty) as nobody, speaking(hasty) as early:
        guest = nobody.guest()
        kept, used = (guest.post("/v1/gateway/tickets")["ticket"] for _ in range(2))
        early.say("identify", {"ticket": used})
        assert early.next("ready")
        early.linger(0.35)
        with speaking(hasty) as late:
            late.say("identify", {"ticket": kept})
            assert late.code() == 4003


def bot_of(keeper: Client, name: str, *scopes: Scope) -> Client:
    """Return a new bot with these scopes."""
    bot_id = keeper.post("/v1/bots", {"username": name, "is_public": True})["user"]["id"]
    return keeper.with_token(keeper.post(f"/v1/bots/{bot_id}/tokens", {"name": "t", "scopes": scopes})["token"])


def test_a_bot_does_what_its_scopes_say(server: Running, owner: Client) -> None:
    """A bot without messages:read is not let in, and without messages:write neither sends nor types."""
    keeper = owner.with_token(None).register("scope_keeper")
    room = owner.found()
    deaf, mute, able = (
        bot_of(keeper, "deaf_bot", Scope.MESSAGES_WRITE),
        bot_of(keeper, "mute_bot", Scope.MESSAGES_READ),
        bot_of(keeper, "able_bot", Scope.MESSAGES_READ, Scope.MESSAGES_WRITE),
    )
    for bot_id in [row["user"]["id"] for row in keeper.get("/v1/bots")["bots"]]:
        owner.did("PUT", f"{room.path}/bots/{bot_id}")
    place = {"room_id": room.id, "channel_id": room.channels["general"]}
    with speaking(server) as refused:
        refused.say("identify", {"token": deaf.token})
        assert refused.code() == 4003
    with speaking(server, mute) as hearing, speaking(server, able) as talking:
        assert hearing.refused("send", {**place, "content": "x"}) == 403
        assert hearing.refused("typing", place) == 403
        assert talking.did("send", {**place, "content": "x"})["is_new"]
        assert hearing.until_event(lambda event: event["type"] == "message.created")["d"]["content"] == "x"
        assert hearing.did("read", {**place}) is not None


def test_the_password_itself_opens_nothing(server: Running, nobody: Client) -> None:
    """A password is no token."""
    nobody.register("password_keeper")
    with speaking(server) as speaker:
        speaker.say("identify", {"token": PASSWORD})
        assert speaker.code() == 4003
