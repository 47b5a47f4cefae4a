"""Who hears what at the gateway: by role, by channel, and by the way in which it is heard; nothing else leaks.

`live` is heard as it happens, the other ways tell of the past. Each world has a public channel, a private one with a
role that opens it, and one whose past nobody reads but its owner.
"""

import itertools
from dataclasses import dataclass

import pytest

from router.scopes import Scope
from shard import permissions
from tests.router.clients import Client, Room
from tests.router.serving import Running
from tests.router.wires import Frame, Speaker, speaking

pytestmark = pytest.mark.security

INSIDE = ("owner", "moderator", "member", "keyed", "bot")
OUTSIDE = ("left", "kicked", "banned", "elsewhere")
SEEN = {
    "owner": {"public", "private", "present"},
    "moderator": {"public", "present"},
    "member": {"public", "present"},
    "keyed": {"public", "private", "present"},
    "bot": {"public", "present"},
}
READ = {
    "owner": {"public", "private", "present"},
    "moderator": {"public"},
    "member": {"public"},
    "keyed": {"public", "private"},
    "bot": {"public"},
}
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class World:
    """A room, people in every relation to it, and its channels by what they are."""

    people: dict[str, Client]
    room: Room
    channels: dict[str, str]

    def say(self, kind: str, word: str) -> None:
        """Have the owner say a word in a channel."""
        self.people["owner"].post(f"{self.room.path}/channels/{self.channels[kind]}/messages", {"content": word})

    def happen(self, word: str) -> str:
        """Have something happen in every channel and to the room, and return the last thing that all insiders hear."""
        for kind in ("present", "private", "public"):
            self.say(kind, f"{kind} {word}")
        target = self.people["target"].id
        self.people["owner"].did("PUT", f"{self.room.path}/bans/{target}", {})
        self.people["owner"].did("DELETE", f"{self.room.path}/bans/{target}", {})
        self.say("public", f"end {word}")
        return f"end {word}"


def make(nobody: Client) -> World:
    """Make a world of its own on a running server."""
    names = ("owner", "moderator", "member", "keyed", "left", "kicked", "elsewhere", "banned", "target")
    people = {name: nobody.guest() for name in names}
    owner = people["owner"]
    room = owner.found()
    owner.admit(room, *(people[name] for name in names if name not in ("owner", "elsewhere")))
    people["elsewhere"].found()
    people["left"].post(f"{room.path}/leave")
    owner.did("DELETE", f"{room.path}/members/{people['kicked'].id}", {})
    owner.did("PUT", f"{room.path}/bans/{people['banned'].id}", {})
    granted = permissions.names(permissions.ALL & ~permissions.ADMINISTRATOR)
    role = ""
    for name, allowed in (("moderator", granted), ("keyed", [])):
        role = owner.post(f"{room.path}/roles", {"name": name, "permissions": allowed})["id"]
        owner.did("PUT", f"{room.path}/members/{people[name].id}/roles/{role}")
    channels = {"public": room.channels["general"]}
    for kind, is_private in (("private", True), ("present", False)):
        made = owner.post(f"{room.path}/channels", {"name": kind, "is_private": is_private})
        channels[kind] = made["id"]
    _overwrite(owner, room, channels["private"], "role", role, allow=["view_channel", "read_history"])
    _overwrite(owner, room, channels["present"], "role", room.id, deny=["read_history"])
    people["bot"] = _employ(nobody, owner, room)
    return World(people, room, channels)


def _overwrite(
    owner: Client, room: Room, channel_id: str, kind: str, target_id: str, *,
    allow: list[str] | None = None, deny: list[str] | None = None,
) -> None:  # fmt: skip
    path = f"{room.path}/channels/{channel_id}/overwrites/{kind}/{target_id}"
    owner.did("PUT", path, {"allow": allow or [], "deny": deny or []})


def _employ(nobody: Client, owner: Client, room: Room) -> Client:
    keeper = nobody.register(f"hearing_{next(_numbers)}x")
    bot_id = keeper.post("/v1/bots", {"username": f"ear_{next(_numbers)}x", "is_public": True})["user"]["id"]
    owner.did("PUT", f"{room.path}/bots/{bot_id}")
    issued = keeper.post(f"/v1/bots/{bot_id}/tokens", {"name": "t", "scopes": [Scope.MESSAGES_READ]})
    return keeper.with_token(issued["token"])


@pytest.fixture(scope="module")
def world(server: Running, nobody: Client) -> World:
    """A world in which everything happens in turn."""
    return make(nobody)


@pytest.fixture
def word() -> str:
    """Something that was never said."""
    return f"w{next(_numbers)}w"


def hear(world: World, speaker: Speaker, role: str, word: str, ways: dict[str, set[str]], after: int) -> None:
    """Fail unless somebody was told of exactly what is theirs since a number, and of the rest as numbers."""
    kinds = {content.split()[0] for content in speaker.contents(world.room) if content.endswith(f" {word}")}
    assert kinds == ways[role] | {"end"}
    numbers = sorted(speaker.numbers(world.room))
    assert numbers == list(range(after + 1, numbers[-1] + 1)), "each number is told once"
    types = {event["type"] for event in speaker.events(world.room)}
    assert ("member.banned" in types) == (role in ("owner", "moderator"))
    for kind in {"public", "private", "present"} - ways[role]:
        assert f"{kind} {word}" not in speaker.all_heard()
        assert not [event for event in speaker.events(world.room) if event["channel_id"] == world.channels[kind]]


@dataclass(frozen=True, slots=True)
class IsSaid:
    """Tells whether an event is a message with these words."""

    content: str

    def __call__(self, event: Frame) -> bool:
        return bool(event["type"] == "message.created" and event["d"].get("content") == self.content)


@pytest.mark.parametrize("role", INSIDE)
def test_insiders_hear_live_what_they_see(server: Running, world: World, role: str, word: str) -> None:
    """A member hears at once what happens in the channels that they see, from the first event on."""
    with speaking(server, world.people[role]) as speaker:
        place = speaker.place(world.room)
        last = world.happen(word)
        speaker.until_event(IsSaid(last))
        hear(world, speaker, role, word, SEEN, place)


@pytest.mark.parametrize("way", ["resume", "subscribe"])
@pytest.mark.parametrize("role", INSIDE)
def test_insiders_are_told_of_what_they_may_read(server: Running, world: World, role: str, way: str, word: str) -> None:
    """A member who comes back is told of what they missed in the channels whose past they read."""
    last = world.happen(word)
    with speaking(server, world.people[role], **({"resume": {world.room.id: 0}} if way == "resume" else {})) as speaker:
        if way == "subscribe":
            speaker.did("unsubscribe", {"room_id": world.room.id})
            speaker.did("subscribe", {"room_id": world.room.id, "after": 0})
        speaker.until(lambda frame: frame["op"] == "resumed")
        assert last in speaker.contents(world.room)
        hear(world, speaker, role, word, READ, 0)


@pytest.mark.parametrize("role", INSIDE)
def test_an_overview_has_what_one_sees(server: Running, world: World, role: str) -> None:
    """The overview names the channels that one sees, and counts what is unread where one reads."""
    known = {channel_id: kind for kind, channel_id in world.channels.items()}
    with speaking(server, world.people[role], overview=[world.room.id, "1"]) as speaker:
        [overview] = speaker.ready["overviews"]
        assert {known[one["id"]] for one in overview["channels"] if one["id"] in known} == SEEN[role]
        assert {known[one["channel_id"]] for one in overview["unread"] if one["channel_id"] in known} <= READ[role]
        again = speaker.did("subscribe", {"room_id": world.room.id, "overview": True})
        assert [one["id"] for one in again["channels"]] == [one["id"] for one in overview["channels"]]


@pytest.mark.parametrize("role", OUTSIDE)
def test_outsiders_hear_nothing(server: Running, world: World, role: str, word: str) -> None:
    """Whoever is not in, or not any more, hears nothing live or of the past, and sees neither people nor channels."""
    asked = {"resume": {world.room.id: 0}, "overview": [world.room.id], "presence": {"room_id": world.room.id}}
    insider = world.people["member"]
    with speaking(server, insider) as member, speaking(server, world.people[role], **asked) as speaker:
        assert speaker.next("removed")["d"]["reason"] == "not_a_member"
        assert speaker.ready["overviews"] == []
        assert world.room.id not in [one["id"] for one in speaker.ready["rooms"]]
        place = {"room_id": world.room.id, "channel_id": world.channels["public"]}
        for op, said in (
            ("subscribe", {"room_id": world.room.id}),
            ("subscribe", {"room_id": world.room.id, "after": 0, "overview": True}),
            ("typing", place),
            ("send", {**place, "content": word}),
            ("read", place),
            ("presences", {"room_id": world.room.id}),
        ):
            nothing = {**said, "room_id": "1"}
            assert speaker.refused(op, said) == speaker.refused(op, nothing) == 404
        last = world.happen(word)
        member.until_event(IsSaid(last))
        member.did("typing", place)
        speaker.settle()
        told = [frame for frame in speaker.heard if frame["op"] in ("events", "typing", "presences", "channels")]
        assert not [frame for frame in told if frame["d"]["room_id"] == world.room.id]
        assert word not in speaker.all_heard()
        found = member.did("presences", {"room_id": world.room.id})["presences"]
        assert world.people[role].id not in [one["user_id"] for one in found]


def test_typing_is_told_to_who_sees_the_channel(server: Running, world: World) -> None:
    """Typing in a private channel is told to those alone who see it, and refused to those who do not, and to bots
    without the scope."""
    place = {"room_id": world.room.id, "channel_id": world.channels["private"]}
    with (
        speaking(server, world.people["owner"]) as owner,
        speaking(server, world.people["keyed"]) as keyed,
        speaking(server, world.people["member"]) as member,
        speaking(server, world.people["bot"]) as bot,
    ):
        assert member.refused("typing", place) == 404
        assert bot.refused("typing", place) == 403
        owner.did("typing", place)
        assert keyed.next("typing")["d"]["user_id"] == world.people["owner"].id
        for speaker in (member, bot, owner):
            speaker.settle()
            assert not [frame for frame in speaker.heard if frame["op"] == "typing"]


def test_a_bot_without_the_scope_hears_nothing(server: Running, world: World) -> None:
    """A bot that may write and not read is not let in, though it is in the room."""
    keeper = world.people["owner"].with_token(None).register("mute_keeper")
    bot_id = keeper.post("/v1/bots", {"username": "writing_bot", "is_public": True})["user"]["id"]
    world.people["owner"].did("PUT", f"{world.room.path}/bots/{bot_id}")
    issued = keeper.post(f"/v1/bots/{bot_id}/tokens", {"name": "t", "scopes": [Scope.MESSAGES_WRITE]})
    with speaking(server) as speaker:
        speaker.say("identify", {"token": issued["token"], "resume": {world.room.id: 0}})
        assert speaker.code() == 4003


def test_deleted_words_are_not_told_again(server: Running, world: World, word: str) -> None:
    """What was deleted or edited before a resume is told as it is now, and what a change replaced is told nowhere."""
    owner = world.people["owner"]
    path = f"{world.room.general}/messages"
    deleted, edited = (owner.post(path, {"content": f"old {word} {number}"})["id"] for number in range(2))
    owner.did("PATCH", f"{path}/{edited}", {"content": f"new {word}"})
    owner.did("DELETE", f"{path}/{deleted}", {})
    for role in INSIDE:
        with speaking(server, world.people[role], resume={world.room.id: 0}) as speaker:
            speaker.next("resumed")
            assert f"old {word}" not in speaker.all_heard()
            assert "replaced" not in speaker.all_heard()
            told = [event for event in speaker.events(world.room) if (event["d"] or {}).get("id") in (deleted, edited)]
            assert {(event["type"], event["d"].get("content")) for event in told} == {
                ("message.created", None),
                ("message.created", f"new {word}"),
                ("message.edited", f"new {word}"),
                ("message.deleted", None),
            }
