"""Kicks, bans, time-outs and nicknames: who may, upon whom, what is left of it, and what is written down."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
import pytest

from ids import RoleId, UserId
from shard import access, permissions
from shard.actions import members as member_actions
from shard.actions import messages as message_actions
from shard.actions import moderation, rooms
from shard.actions.members import Gift
from shard.actions.pages import Span
from shard.engine.connections import Writer
from shard.errors import ConflictError, ForbiddenError, NotFoundError, RejectedError
from shard.tables import audit, bans, members, messages
from shard.tables.audit import Filter
from shard.tables.bans import Ban
from shard.tables.messages import Draft
from tests.shard import direct, stage

NOW = stage.NOW_MS
LOW, HIGH, TOP, STRANGER = UserId(21), UserId(22), UserId(23), UserId(99)
LOW_ROLE, HIGH_ROLE, TOP_ROLE = RoleId(101), RoleId(102), RoleId(103)
MODERATES = permissions.ALL & ~permissions.ADMINISTRATOR


@dataclass(frozen=True, slots=True)
class Den:
    """A room with moderators of three ranks (LOW, HIGH, TOP), the members ANNA and BEN, and the owner."""

    connection: apsw.Connection
    writer: Writer
    room: stage.Room

    def told(self) -> list[tuple[str, Any]]:
        """Return the types and payloads of what was emitted, without what came before."""
        told = [(event.type, event.payload) for event in self.writer.emitted]
        self.writer.begin()
        return told

    def acts(self) -> list[audit.Entry]:
        return audit.newest(self.writer, Filter())

    def say(self, user_id: UserId, *, channel: str = "general", now_ms: int = NOW) -> None:
        draft = Draft("hello")
        message_actions.send_message(self.writer, user_id, self.room.channels[channel], draft, now_ms=now_ms)
        self.writer.settle()


@pytest.fixture
def den(tmp_path: Path) -> Iterator[Den]:
    with direct.writing(tmp_path) as (connection, writer, room):
        for position, (user_id, role_id) in enumerate(((LOW, LOW_ROLE), (HIGH, HIGH_ROLE), (TOP, TOP_ROLE)), 1):
            members.add(writer, user_id, now_ms=NOW)
            writer.run(
                "INSERT INTO roles (id, name, permissions, position, created_at) VALUES (?, 'r', ?, ?, 1)",
                (role_id, MODERATES, position),
            )
            members.grant(writer, user_id, role_id, by=stage.OWNER, now_ms=NOW)
        writer.begin()
        yield Den(connection, writer, room)


def ban_of(user_id: UserId, *, by: UserId = HIGH, expires_at: int | None = None, reason: str | None = None) -> Ban:
    return Ban(user_id, reason, by, NOW, expires_at)


Act = Callable[[Writer, UserId, UserId], Any]
ACTS: dict[str, tuple[int, Act]] = {
    "kick": (permissions.KICK_MEMBERS, lambda w, by, who: moderation.kick(w, by, who, reason="r", now_ms=NOW)),
    "ban": (permissions.BAN_MEMBERS, lambda w, by, who: moderation.ban(w, by, ban_of(who, by=by), now_ms=NOW)),
    "time out": (
        permissions.TIME_OUT_MEMBERS,
        lambda w, by, who: moderation.time_out(w, by, who, NOW + 9, reason="r", now_ms=NOW),
    ),
    "rename": (
        permissions.MANAGE_NICKNAMES,
        lambda w, by, who: moderation.rename(w, by, who, "Bad Badger", reason="r", now_ms=NOW),
    ),
}
MAY_RENAME_THEMSELVES = ("rename",)


@pytest.mark.parametrize("name", ACTS)
def test_nobody_acts_upon_equals_superiors_or_themselves(den: Den, name: str) -> None:
    """A moderator acts upon members and lower moderators, the owner upon all, and refused acts leave nothing."""
    need, act = ACTS[name]
    den.writer.run("UPDATE roles SET permissions = ? WHERE id = ?", (permissions.EVERYONE & ~need, den.writer.room_id))
    ranks = {stage.ANNA: 0, LOW: 1, HIGH: 2, TOP: 3, stage.OWNER: 9}
    for actor_id, rank in ranks.items():
        for user_id, other in ranks.items():
            with direct.undone(den.connection, den.writer):
                if rank > max(other, 0) and actor_id != stage.ANNA:
                    act(den.writer, actor_id, user_id)
                    assert den.writer.emitted
                    assert len(den.acts()) == 1
                elif actor_id == user_id and name in MAY_RENAME_THEMSELVES:
                    act(den.writer, actor_id, user_id)
                    assert den.acts() == []
                else:
                    changes = den.connection.total_changes()
                    with pytest.raises(ForbiddenError):
                        act(den.writer, actor_id, user_id)
                    assert den.connection.total_changes() == changes


@pytest.mark.parametrize("name", ACTS)
def test_each_act_needs_its_permission(den: Den, name: str) -> None:
    """Without its permission an act is forbidden by that name, whatever the rank, and strangers find no room."""
    need, act = ACTS[name]
    with direct.undone(den.connection, den.writer):
        act(den.writer, HIGH, stage.ANNA)
    den.writer.run("UPDATE roles SET permissions = permissions & ~? WHERE id = ?", (need, HIGH_ROLE))
    with pytest.raises(ForbiddenError) as caught:
        act(den.writer, HIGH, stage.ANNA)
    assert caught.value.need == permissions.NAMES[need]
    with pytest.raises(NotFoundError, match="room"):
        act(den.writer, STRANGER, stage.ANNA)


def test_the_kicked_lose_their_roles_and_may_come_back(den: Den) -> None:
    """A kick takes membership, roles and nickname, is told and written down once, and keeps nobody out."""
    moderation.rename(den.writer, LOW, LOW, "Lowly", reason=None, now_ms=NOW)
    den.told()
    assert moderation.kick(den.writer, HIGH, LOW, reason="spam", now_ms=NOW)
    assert not moderation.kick(den.writer, HIGH, LOW, reason="spam", now_ms=NOW)
    assert den.told() == [("member.kicked", {"user_id": str(LOW)})]
    [entry] = den.acts()
    assert (entry.action, entry.actor_id, entry.target_id, entry.reason) == ("member.kicked", HIGH, LOW, "spam")
    assert json.loads(entry.before or "") == {"role_ids": [str(LOW_ROLE)]}
    kept = den.writer.one("SELECT payload FROM events WHERE type = 'member.kicked'")
    assert kept is not None
    assert json.loads(kept[0])["replaced"] == {"role_ids": [str(LOW_ROLE)]}
    with pytest.raises(NotFoundError):
        access.open_room(den.writer, LOW, 0, now_ms=NOW)
    assert member_actions.join(den.writer, LOW, now_ms=NOW + 1)
    back = member_actions.get_member(den.writer, stage.ANNA, LOW, now_ms=NOW)
    assert (back.role_ids, back.nickname, back.joined_at) == ((), None, NOW + 1)
    assert access.open_room(den.writer, LOW, 0, now_ms=NOW).rank == 0


@pytest.mark.parametrize("user_id", [stage.ANNA, STRANGER], ids=["member", "stranger"])
def test_a_ban_keeps_out_until_it_ends(den: Den, user_id: UserId) -> None:
    """A ban puts out whoever is in, keeps out whoever is not, until its very last millisecond, and is told to few."""
    ban = ban_of(user_id, expires_at=NOW + 10)
    assert moderation.ban(den.writer, HIGH, ban, now_ms=NOW) == ban
    left = [("member.left", {"user_id": str(user_id)})] if user_id == stage.ANNA else []
    assert den.told() == [*left, ("member.banned", {"user_id": str(user_id), "expires_at": NOW + 10})]
    with pytest.raises(NotFoundError):
        access.open_room(den.writer, user_id, 0, now_ms=NOW)
    with pytest.raises(ForbiddenError, match="banned"):
        member_actions.join(den.writer, user_id, now_ms=NOW + 9)
    assert moderation.list_bans(den.writer, HIGH, after=None, limit=9, now_ms=NOW + 9) == [ban]
    assert moderation.list_bans(den.writer, HIGH, after=None, limit=9, now_ms=NOW + 10) == []
    assert member_actions.join(den.writer, user_id, now_ms=NOW + 10)


def test_a_ban_is_lifted_and_replaced(den: Den) -> None:
    """The same ban again is nothing, other terms are another ban, and a lifted one lets in; each is written down."""
    first = moderation.ban(den.writer, HIGH, ban_of(STRANGER, reason="spam"), now_ms=NOW)
    assert moderation.ban(den.writer, TOP, ban_of(STRANGER, by=TOP, reason="spam"), now_ms=NOW + 5) == first
    longer = ban_of(STRANGER, by=TOP, reason="worse")
    assert moderation.ban(den.writer, TOP, longer, now_ms=NOW) == longer
    assert [type_ for type_, _ in den.told()] == ["member.banned", "member.banned"]
    with pytest.raises(ForbiddenError):
        moderation.unban(den.writer, stage.ANNA, STRANGER, reason=None, now_ms=NOW)
    assert moderation.unban(den.writer, HIGH, STRANGER, reason="sorry", now_ms=NOW)
    assert not moderation.unban(den.writer, HIGH, STRANGER, reason="sorry", now_ms=NOW)
    assert den.told() == [("member.unbanned", {"user_id": str(STRANGER)})]
    assert member_actions.join(den.writer, STRANGER, now_ms=NOW)
    assert [(entry.action, entry.reason) for entry in den.acts()] == [
        ("member.unbanned", "sorry"),
        ("member.banned", "worse"),
        ("member.banned", "spam"),
    ]


def test_bans_come_page_by_page_to_those_who_may_ban(den: Den) -> None:
    """Bans are listed by id, each once, to those who may ban alone."""
    for number in range(5):
        moderation.ban(den.writer, HIGH, ban_of(UserId(50 + number)), now_ms=NOW)
    first = moderation.list_bans(den.writer, HIGH, after=None, limit=3, now_ms=NOW)
    rest = moderation.list_bans(den.writer, HIGH, after=first[-1].user_id, limit=3, now_ms=NOW)
    assert [ban.user_id for ban in first + rest] == [50, 51, 52, 53, 54]
    with pytest.raises(ForbiddenError):
        moderation.list_bans(den.writer, stage.ANNA, after=None, limit=3, now_ms=NOW)


def test_the_words_of_the_banned_go_in_slices(den: Den, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the banned wrote since a time goes from every channel, and nothing older, and nobody else's words."""
    monkeypatch.setattr(messages, "ERASED_AT_ONCE_MAX", 2)
    for number, channel in enumerate(("general", "general", "other", "general")):
        den.say(stage.ANNA, channel=channel, now_ms=NOW + 10 + number)
    den.say(stage.BEN, now_ms=NOW + 20)

    def erase() -> int:
        count = moderation.erase_recent(den.writer, HIGH, stage.ANNA, since_ms=NOW + 11, now_ms=NOW)
        den.writer.settle()
        return count

    assert erase() == 0
    moderation.ban(den.writer, HIGH, ban_of(stage.ANNA), now_ms=NOW)
    assert [erase(), erase(), erase()] == [2, 1, 0]
    page = direct.read_page(den.writer, stage.OWNER, den.room.general, None, Span(), now_ms=NOW)
    assert [(message.user_id, message.created_at) for message in page.messages] == [
        (stage.BEN, NOW + 20),
        (stage.ANNA, NOW + 10),
    ]
    assert [entry.action for entry in den.acts()] == ["member.messages_erased"] * 2 + ["member.banned"]
    with pytest.raises(ForbiddenError):
        moderation.erase_recent(den.writer, stage.BEN, stage.ANNA, since_ms=0, now_ms=NOW)


def test_a_time_out_silences_until_it_ends_and_outlasts_an_absence(den: Den) -> None:
    """In a time-out nobody talks, leaving and coming back does not help, and ending it does; a change is told once."""
    assert moderation.time_out(den.writer, HIGH, stage.ANNA, NOW + 9, reason="loud", now_ms=NOW).timed_out_until
    moderation.time_out(den.writer, HIGH, stage.ANNA, NOW + 9, reason="loud", now_ms=NOW)
    assert den.told() == [("member.timed_out", {"user_id": str(stage.ANNA), "until": NOW + 9})]
    member_actions.leave(den.writer, stage.ANNA, now_ms=NOW)
    member_actions.join(den.writer, stage.ANNA, now_ms=NOW)
    with pytest.raises(ForbiddenError):
        den.say(stage.ANNA)
    den.writer.begin()
    for _ in range(2):
        moderation.time_out(den.writer, HIGH, stage.ANNA, None, reason=None, now_ms=NOW)
    assert den.told() == [("member.timed_out", {"user_id": str(stage.ANNA), "until": None})]
    den.say(stage.ANNA)
    assert [entry.after for entry in den.acts()] == ['{"timed_out_until":null}', f'{{"timed_out_until":{NOW + 9}}}']


def test_a_time_out_that_is_over_needs_no_end(den: Den) -> None:
    """Ending a time-out whose time has passed changes nothing."""
    moderation.time_out(den.writer, HIGH, stage.ANNA, NOW + 9, reason=None, now_ms=NOW)
    den.told()
    moderation.time_out(den.writer, HIGH, stage.ANNA, None, reason=None, now_ms=NOW + 9)
    assert den.told() == []


def test_an_administrator_is_not_timed_out(den: Den) -> None:
    """A time-out of an administrator, whom it would not touch, is a conflict."""
    moderation.time_out(den.writer, TOP, LOW, NOW + 9, reason=None, now_ms=NOW)
    den.writer.run("UPDATE roles SET permissions = ? WHERE id = ?", (permissions.ADMINISTRATOR, LOW_ROLE))
    with pytest.raises(ConflictError):
        moderation.time_out(den.writer, TOP, LOW, NOW + 10, reason=None, now_ms=NOW)


def test_people_name_themselves_and_moderators_others(den: Den) -> None:
    """One's own nickname needs change_nickname and is nobody's business; another's is written down; null clears it."""
    assert moderation.rename(den.writer, stage.ANNA, stage.ANNA, "Annie", reason=None, now_ms=NOW).nickname == "Annie"
    moderation.rename(den.writer, stage.ANNA, stage.ANNA, "Annie", reason=None, now_ms=NOW)
    moderation.rename(den.writer, LOW, stage.ANNA, None, reason="rude", now_ms=NOW)
    assert den.told() == [
        ("member.renamed", {"user_id": str(stage.ANNA), "nickname": "Annie"}),
        ("member.renamed", {"user_id": str(stage.ANNA), "nickname": None}),
    ]
    [entry] = den.acts()
    assert (entry.before, entry.after, entry.reason) == ('{"nickname":"Annie"}', '{"nickname":null}', "rude")
    with pytest.raises(NotFoundError, match="member"):
        moderation.rename(den.writer, LOW, STRANGER, "x", reason=None, now_ms=NOW)
    direct.deny_everyone(den.writer, den.room, permissions.CHANGE_NICKNAME)
    with pytest.raises(ForbiddenError):
        moderation.rename(den.writer, stage.ANNA, stage.ANNA, "Anne", reason=None, now_ms=NOW)


def test_an_invite_brings_a_role_that_its_maker_can_give(den: Den) -> None:
    """Only roles below one's own, with nothing beyond one's own, are put on an invite, and only while that is so."""
    member_actions.may_invite(den.writer, HIGH, LOW_ROLE, now_ms=NOW)
    refused: list[tuple[UserId, RoleId, type[RejectedError]]] = [
        (HIGH, HIGH_ROLE, ForbiddenError),
        (HIGH, TOP_ROLE, ForbiddenError),
        (stage.ANNA, LOW_ROLE, ForbiddenError),
        (HIGH, RoleId(5), NotFoundError),
        (HIGH, RoleId(den.writer.room_id), ConflictError),
    ]
    for user_id, role_id, refusal in refused:
        with pytest.raises(refusal):
            member_actions.may_invite(den.writer, user_id, role_id, now_ms=NOW)
    gift = Gift(LOW_ROLE, HIGH)
    assert member_actions.join(den.writer, STRANGER, gift=gift, now_ms=NOW)
    assert member_actions.get_member(den.writer, stage.ANNA, STRANGER, now_ms=NOW).role_ids == (LOW_ROLE,)
    den.writer.run("UPDATE roles SET permissions = ? WHERE id = ?", (permissions.ADMINISTRATOR, LOW_ROLE))
    with pytest.raises(ForbiddenError, match="administrator"):
        member_actions.may_invite(den.writer, HIGH, LOW_ROLE, now_ms=NOW)
    assert member_actions.join(den.writer, UserId(98), gift=gift, now_ms=NOW)
    assert member_actions.get_member(den.writer, stage.ANNA, UserId(98), now_ms=NOW).role_ids == ()
    den.writer.run("UPDATE roles SET permissions = 0 WHERE id = ?", (LOW_ROLE,))
    moderation.kick(den.writer, TOP, HIGH, reason=None, now_ms=NOW)
    assert member_actions.join(den.writer, UserId(97), gift=gift, now_ms=NOW)
    assert member_actions.get_member(den.writer, stage.ANNA, UserId(97), now_ms=NOW).role_ids == ()


def test_a_room_is_handed_over_by_its_owner(den: Den) -> None:
    """The owner makes another member the owner and is a member then; nobody else can, and nobody outside gets it."""
    with pytest.raises(ForbiddenError):
        rooms.hand_over(den.writer, TOP, TOP, reason=None, now_ms=NOW)
    with pytest.raises(NotFoundError, match="member"):
        rooms.hand_over(den.writer, stage.OWNER, STRANGER, reason=None, now_ms=NOW)
    assert not rooms.hand_over(den.writer, stage.OWNER, stage.OWNER, reason=None, now_ms=NOW)
    assert rooms.hand_over(den.writer, stage.OWNER, stage.ANNA, reason="tired", now_ms=NOW)
    assert den.told() == [("room.transferred", {"owner_id": str(stage.ANNA)})]
    assert rooms.owner(den.writer) == stage.ANNA
    with pytest.raises(ForbiddenError):
        rooms.hand_over(den.writer, stage.OWNER, stage.OWNER, reason=None, now_ms=NOW)
    assert moderation.kick(den.writer, stage.ANNA, stage.OWNER, reason=None, now_ms=NOW)
    assert [(entry.action, entry.reason) for entry in den.acts()][1:] == [("room.transferred", "tired")]


def test_only_the_owner_ends_a_room(den: Den) -> None:
    """The end of a room is the owner's, and is told and written down."""
    with pytest.raises(ForbiddenError):
        rooms.close(den.writer, TOP, reason=None, now_ms=NOW)
    rooms.close(den.writer, stage.OWNER, reason="moved", now_ms=NOW)
    assert den.told() == [("room.deleted", None)]
    assert [(entry.action, entry.reason) for entry in den.acts()] == [("room.deleted", "moved")]


def test_who_is_banned_is_known_to_few(den: Den) -> None:
    """A member finds the banned no other than strangers."""
    moderation.ban(den.writer, HIGH, ban_of(stage.BEN), now_ms=NOW)
    answers = set()
    for user_id in (stage.BEN, STRANGER):
        with pytest.raises(NotFoundError) as caught:
            member_actions.get_member(den.writer, stage.ANNA, user_id, now_ms=NOW)
        answers.add(str(caught.value))
    assert len(answers) == 1
    assert member_actions.get_members(den.writer, stage.ANNA, [stage.BEN, STRANGER, stage.ANNA], now_ms=NOW) == [
        member_actions.get_member(den.writer, stage.ANNA, stage.ANNA, now_ms=NOW)
    ]
    assert bans.holding(den.writer, stage.BEN, now_ms=NOW) is not None
