"""Direct and group chats inside their shard: who may do what, and who is left with what."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ids import ChannelId, RoomId, UserId
from shard import permissions
from shard.access import open_channel, open_room
from shard.actions import groups, messages, moderation, rooms
from shard.actions import members as member_actions
from shard.engine import files, identity
from shard.engine.connections import Writer
from shard.errors import ConflictError, ForbiddenError, NotFoundError
from shard.tables import audit, members
from shard.tables.messages import Draft
from tests.shard import stage

OWNER, ANNA, BEN, CARL = UserId(11), UserId(12), UserId(13), UserId(14)
NOW_MS = stage.NOW_MS


@contextmanager
def opened(folder: Path, found: Callable[[Writer], Any]) -> Iterator[tuple[Writer, ChannelId]]:
    """Found room 1 and open its writer."""
    [channel] = files.create(folder, RoomId(1), stage.MIGRATIONS, found, now_ms=NOW_MS)
    path = files.path_of(folder, RoomId(1))
    connection, writer = files.open_writer(path, RoomId(1), stage.MIGRATIONS, now_ms=NOW_MS, check=False)
    try:
        yield writer, channel.id
    finally:
        connection.close()


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Writer]:
    """A group of OWNER, ANNA and BEN, of whom ANNA moderates."""
    with opened(tmp_path, lambda writer: groups.found_group(writer, OWNER, [ANNA, BEN], now_ms=NOW_MS)) as made:
        writer, _ = made
        groups.promote(writer, OWNER, ANNA, now_ms=NOW_MS)
        yield writer


@pytest.fixture
def chat(tmp_path: Path) -> Iterator[tuple[Writer, ChannelId]]:
    """A direct chat that ANNA opened with BEN."""
    with opened(tmp_path, lambda writer: groups.found_direct(writer, ANNA, BEN, now_ms=NOW_MS)) as made:
        yield made


def logged(writer: Writer) -> list[str]:
    """Return the types of all events."""
    return [row[0] for row in writer.all("SELECT type FROM events ORDER BY seq")]


def acts(writer: Writer) -> list[tuple[str, int | None]]:
    """Return what the room's own record has, oldest first: actions and whom they concerned."""
    assert audit.verify(writer) is None
    return [(row[0], row[1]) for row in writer.all("SELECT action, target_id FROM audit_log ORDER BY id")]


def add(writer: Writer, actor_id: UserId, user_id: UserId, *, members_max: int = 10) -> bool:
    return groups.add(writer, actor_id, user_id, members_max=members_max, now_ms=NOW_MS)


def test_two_people_have_a_direct_chat(chat: tuple[Writer, ChannelId]) -> None:
    """Neither owns it, both may the same: talk and pin, and shape nothing."""
    writer, channel_id = chat
    room = identity.one(writer)
    assert room is not None
    assert (room.kind, room.owner_id) == ("direct", None)
    assert members.present_ids(writer) == [ANNA, BEN]
    anna, ben = (open_room(writer, user_id, 0, now_ms=NOW_MS) for user_id in (ANNA, BEN))
    assert anna.permissions == ben.permissions == groups.EVERYONE_IN_DIRECT
    assert (anna.rank, anna.is_owner, ben.rank, ben.is_owner) == (0, False, 0, False)
    for user_id in (ANNA, BEN):
        messages.send_message(writer, user_id, channel_id, Draft("hello"), now_ms=NOW_MS)
        assert open_channel(writer, user_id, channel_id, permissions.PIN_MESSAGES, now_ms=NOW_MS)
        with pytest.raises(ForbiddenError):
            moderation.kick(writer, user_id, BEN if user_id == ANNA else ANNA, reason=None, now_ms=NOW_MS)
        with pytest.raises(ForbiddenError):
            rooms.close(writer, user_id, reason=None, now_ms=NOW_MS)


def test_nobody_leaves_or_enters_a_direct_chat(chat: tuple[Writer, ChannelId]) -> None:
    """The two stay, nobody is added or ranked, and a stranger is told nothing."""
    writer, _ = chat
    before = logged(writer)
    with pytest.raises(ConflictError):
        member_actions.leave(writer, ANNA, now_ms=NOW_MS)
    for act in (groups.promote, groups.demote):
        with pytest.raises(ConflictError):
            act(writer, ANNA, BEN, now_ms=NOW_MS)
        with pytest.raises(NotFoundError):
            act(writer, CARL, BEN, now_ms=NOW_MS)
    with pytest.raises(ConflictError):
        add(writer, ANNA, CARL)
    with pytest.raises(NotFoundError):
        add(writer, CARL, CARL)
    assert not member_actions.leave(writer, CARL, now_ms=NOW_MS)
    assert logged(writer) == before


def test_a_new_group_has_its_people(group: Writer) -> None:
    """The owner may all, moderators what they need, members talk; all are there from the beginning."""
    owner, anna, ben = (open_room(group, user_id, 0, now_ms=NOW_MS) for user_id in (OWNER, ANNA, BEN))
    assert (owner.is_owner, owner.kind) == (True, "group")
    assert anna.permissions == groups.EVERYONE_IN_GROUP | groups.MODERATORS
    assert ben.permissions == groups.EVERYONE_IN_GROUP
    assert not ben.may(permissions.CREATE_INVITE)
    for never in (permissions.ADMINISTRATOR, permissions.MANAGE_ROLES, permissions.MANAGE_CHANNELS):
        assert not anna.may(never)
    assert logged(group).count("member.joined") == 3


def test_owner_and_moderators_add_people(group: Writer) -> None:
    """Whoever may add somebody does so once, with a line in the record; members may not."""
    assert groups.may_add(group, ANNA, CARL, now_ms=NOW_MS)
    with pytest.raises(ForbiddenError):
        groups.may_add(group, BEN, CARL, now_ms=NOW_MS)
    with pytest.raises(ForbiddenError) as refusal:
        add(group, BEN, CARL)
    assert refusal.value.need == "create_invite"
    assert add(group, ANNA, CARL)
    done = logged(group), acts(group)
    assert not add(group, OWNER, CARL)
    assert not groups.may_add(group, ANNA, CARL, now_ms=NOW_MS)
    assert (logged(group), acts(group)) == done
    assert acts(group)[-1] == ("member.added", CARL)


def test_a_group_has_a_bound(group: Writer) -> None:
    """A full group takes nobody more until somebody leaves; whoever is in is in."""
    with pytest.raises(ConflictError, match="its 3 people"):
        add(group, OWNER, CARL, members_max=3)
    assert not add(group, OWNER, BEN, members_max=3)
    groups.leave(group, BEN, now_ms=NOW_MS)
    assert add(group, OWNER, CARL, members_max=3)


def test_only_the_owner_says_who_moderates(group: Writer) -> None:
    """The owner makes and unmakes moderators, once; nobody else does, and nobody ranks strangers or themselves."""
    for actor_id in (ANNA, BEN):
        with pytest.raises(ForbiddenError) as refusal:
            groups.promote(group, actor_id, BEN, now_ms=NOW_MS)
        assert refusal.value.need == "ownership"
    with pytest.raises(NotFoundError):
        groups.promote(group, OWNER, CARL, now_ms=NOW_MS)
    with pytest.raises(ForbiddenError):
        groups.promote(group, OWNER, OWNER, now_ms=NOW_MS)
    assert [groups.promote(group, OWNER, BEN, now_ms=NOW_MS) for _ in "12"] == [True, False]
    assert open_room(group, BEN, 0, now_ms=NOW_MS).may(permissions.KICK_MEMBERS)
    assert [groups.demote(group, OWNER, BEN, reason="rest", now_ms=NOW_MS) for _ in "12"] == [True, False]
    assert not open_room(group, BEN, 0, now_ms=NOW_MS).may(permissions.KICK_MEMBERS)
    assert acts(group)[-2:] == [("member.promoted", BEN), ("member.demoted", BEN)]
    assert logged(group)[-2:] == ["member.promoted", "member.demoted"]


def test_moderators_remove_members_and_nobody_above(group: Writer) -> None:
    """A moderator puts out a member, not another moderator and not the owner; the owner puts out anybody."""
    add(group, OWNER, CARL)
    groups.promote(group, OWNER, CARL, now_ms=NOW_MS)
    for superior in (OWNER, CARL):
        with pytest.raises(ForbiddenError):
            moderation.kick(group, ANNA, superior, reason=None, now_ms=NOW_MS)
    assert moderation.kick(group, ANNA, BEN, reason=None, now_ms=NOW_MS)
    assert moderation.kick(group, OWNER, CARL, reason=None, now_ms=NOW_MS)
    assert add(group, OWNER, CARL)
    assert not open_room(group, CARL, 0, now_ms=NOW_MS).may(permissions.KICK_MEMBERS)


def test_a_group_passes_to_who_is_there_longest(group: Writer) -> None:
    """When owners leave, moderators inherit before members and the older before the newer; the last one empties it."""
    groups.add(group, OWNER, CARL, members_max=10, now_ms=NOW_MS + 5)
    groups.promote(group, OWNER, CARL, now_ms=NOW_MS)
    heirs = []
    for leaver in (OWNER, ANNA, CARL):
        assert groups.leave(group, leaver, now_ms=NOW_MS + 9)
        assert not groups.leave(group, leaver, now_ms=NOW_MS + 9)
        standing = groups.standing(group)
        heirs.append(standing.owner_id)
        assert not standing.is_empty
        assert open_room(group, standing.owner_id, permissions.ALL, now_ms=NOW_MS).is_owner
    assert heirs == [ANNA, CARL, BEN]
    assert logged(group).count("room.transferred") == 3
    assert groups.leave(group, BEN, now_ms=NOW_MS + 9)
    assert groups.standing(group) == groups.Standing(BEN, is_empty=True)


def test_a_member_leaves_and_nothing_passes(group: Writer) -> None:
    """Ownership stays where it is when somebody else leaves, and a stranger's leaving is nothing."""
    assert groups.leave(group, ANNA, now_ms=NOW_MS)
    assert not groups.leave(group, CARL, now_ms=NOW_MS)
    assert groups.standing(group) == groups.Standing(OWNER, is_empty=False)
    assert "room.transferred" not in logged(group)


def test_who_says_what_a_group_listens_to(group: Writer) -> None:
    """Owner and moderators do, with a line in the record; members do not, and the same link again is no event."""

    def play(user_id: UserId, before: str | None, after: str | None) -> None:
        groups.set_music(group, user_id, before=before, after=after, reason=None, now_ms=NOW_MS)

    with pytest.raises(ForbiddenError):
        play(BEN, None, "a")
    play(ANNA, None, "a")
    done = logged(group)
    play(OWNER, "a", "a")
    assert logged(group) == done
    assert done[-1] == "room.updated"
    assert acts(group)[-1] == ("room.updated", 1)


def test_either_says_what_a_direct_chat_listens_to(chat: tuple[Writer, ChannelId]) -> None:
    """Both may, without a record, since neither moderates the other; a stranger may not."""
    writer, _ = chat
    for user_id in (ANNA, BEN):
        groups.set_music(writer, user_id, before=None, after=str(user_id), reason=None, now_ms=NOW_MS)
    with pytest.raises(NotFoundError):
        groups.set_music(writer, CARL, before=None, after="a", reason=None, now_ms=NOW_MS)
    assert logged(writer)[-2:] == ["room.updated"] * 2
    assert acts(writer) == []
