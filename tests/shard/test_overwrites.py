"""Overwrites: who may set which, for whom, and how the channels of a category follow it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ids import CategoryId, ChannelId, RoleId, UserId
from shard import access, permissions
from shard.actions import categories, channels, members, roles
from shard.actions import overwrites as overwrite_actions
from shard.actions.channels import ChannelDraft
from shard.actions.roles import RoleDraft
from shard.engine.connections import Writer
from shard.errors import ConflictError, ForbiddenError, NotFoundError
from shard.permissions import Overwrite
from shard.tables import overwrites
from shard.tables.overwrites import Target
from tests.shard import direct, stage

NOW = stage.NOW_MS
OWNER, ANNA, BEN = stage.OWNER, stage.ANNA, stage.BEN
EVERYONE: Target = ("role", 1)
VIEW, PIN, SEND, ROLES = (
    permissions.VIEW_CHANNEL, permissions.PIN_MESSAGES, permissions.SEND_MESSAGES, permissions.MANAGE_ROLES,
)  # fmt: skip


class Place:
    """A room in which ANNA manages roles and channels and pins, and BEN stands below her."""

    def __init__(self, writer: Writer, room: stage.Room) -> None:
        self.writer, self.room = writer, room
        self.low = self.role("low", 0)
        self.keepers = self.role("keepers", ROLES | PIN | permissions.MANAGE_CHANNELS)
        self.high = self.role("high", 0)
        roles.order_roles(writer, OWNER, [self.high, self.keepers, self.low], now_ms=NOW)
        for person, role in ((ANNA, self.keepers), (BEN, self.low)):
            roles.grant_role(writer, OWNER, person, role, now_ms=NOW)
        self.category = categories.create_category(
            writer, OWNER, "c", is_private=False, collapsed_by_default=False, now_ms=NOW
        ).id

    def role(self, name: str, allows: int) -> RoleId:
        return roles.create_role(self.writer, OWNER, RoleDraft(name, None, allows), now_ms=NOW).id

    def put(self, where: str, by: UserId, target: Target, overwrite: Overwrite | None) -> None:
        """Set an overwrite in the channel `general` or in the category."""
        if where == "channel":
            overwrite_actions.set_in_channel(self.writer, by, self.room.general, target, overwrite, now_ms=NOW)
        else:
            overwrite_actions.set_in_category(self.writer, by, self.category, target, overwrite, now_ms=NOW)

    def listed(self, where: str, by: UserId = OWNER) -> dict[Target, Overwrite]:
        if where == "channel":
            return dict(overwrite_actions.list_channel_overwrites(self.writer, by, self.room.general, now_ms=NOW))
        return dict(overwrite_actions.list_category_overwrites(self.writer, by, self.category, now_ms=NOW))

    def channel(self, name: str, category_id: CategoryId | None = None) -> ChannelId:
        draft = ChannelDraft(name, category_id=category_id)
        return channels.create_channel(self.writer, OWNER, draft, now_ms=NOW).id

    def may(self, person: UserId, channel_id: ChannelId) -> int:
        return access.open_channels(self.writer, person, now_ms=NOW).channels.get(channel_id, 0)

    def counts(self) -> Any:
        return self.writer.one(
            "SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM audit_log), "
            "(SELECT group_concat(overwrites_packed, ';') FROM channels), "
            "(SELECT group_concat(overwrites_packed, ';') FROM categories)"
        )


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with direct.writing(tmp_path) as (connection, writer, room), direct.undone(connection, writer):
        yield Place(writer, room)


both = pytest.mark.parametrize("where", ["channel", "category"])


@both
def test_who_sets_an_overwrite_for_whom(place: Place, where: str) -> None:
    """Whoever manages roles sets overwrites for everyone, and for roles and members below, and for no one else."""
    writer = place.writer
    yes: list[Target] = [EVERYONE, ("role", place.low), ("member", BEN)]
    no: list[Target] = [("role", place.keepers), ("role", place.high), ("member", ANNA), ("member", OWNER)]
    for target in yes:
        place.put(where, ANNA, target, Overwrite(PIN))
        with pytest.raises(ForbiddenError) as caught:
            place.put(where, BEN, target, Overwrite(PIN))
        assert caught.value.need == "manage_roles"
    assert set(place.listed(where, ANNA)) == set(yes)
    with pytest.raises(ForbiddenError):
        place.listed(where, BEN)
    for target in no:
        before = place.counts()
        with pytest.raises(ForbiddenError) as caught:
            place.put(where, ANNA, target, Overwrite(PIN))
        assert caught.value.need == "a higher role"
        assert place.counts() == before
    nobodys: list[Target] = [("role", 7), ("member", 99)]
    for target in nobodys:
        with pytest.raises(NotFoundError):
            place.put(where, OWNER, target, Overwrite(PIN))
    direct.time_out(writer, ANNA, NOW + 1)
    with pytest.raises(ForbiddenError):
        place.put(where, ANNA, EVERYONE, None)


@both
def test_nobody_sets_what_they_lack_there(place: Place, where: str) -> None:
    """Every bit that an overwrite changes must be one's own there: allowed, denied, or taken back."""
    lacked = permissions.MANAGE_MESSAGES
    target: Target = ("role", place.low)
    place.put(where, OWNER, EVERYONE, Overwrite(lacked, SEND))
    place.put(where, OWNER, ("member", ANNA), Overwrite(SEND, lacked))
    for overwrite in (Overwrite(lacked), Overwrite(0, lacked), Overwrite(PIN | lacked)):
        before = place.counts()
        with pytest.raises(ForbiddenError) as caught:
            place.put(where, ANNA, target, overwrite)
        assert caught.value.need == "manage_messages"
        assert place.counts() == before
    for overwrite_or_none in (Overwrite(0, SEND), Overwrite(0, 0), None):
        with pytest.raises(ForbiddenError):
            place.put(where, ANNA, EVERYONE, overwrite_or_none)
    place.put(where, ANNA, EVERYONE, Overwrite(lacked | PIN, 0))
    place.put(where, ANNA, target, Overwrite(0, SEND))
    place.put(where, ANNA, target, None)


@both
def test_a_right_in_one_place_is_for_that_place(place: Place, where: str) -> None:
    """Whoever manages roles in one place alone sets there, and only there, what they may there."""
    target: Target = ("member", BEN)
    roles.edit_role(place.writer, OWNER, place.keepers, {"permissions": 0}, now_ms=NOW)
    place.put(where, OWNER, ("role", place.keepers), Overwrite(ROLES | PIN))
    place.put(where, ANNA, target, Overwrite(PIN))
    with pytest.raises(ForbiddenError):
        place.put("category" if where == "channel" else "channel", ANNA, target, Overwrite(PIN))


@both
def test_what_is_so_already_is_not_told(place: Place, where: str) -> None:
    """Setting the same again and removing what is not there leave no trace."""
    place.put(where, ANNA, EVERYONE, Overwrite(PIN))
    before = place.counts()
    place.put(where, ANNA, EVERYONE, Overwrite(PIN))
    place.put(where, ANNA, ("role", place.low), None)
    assert place.counts() == before
    place.put(where, ANNA, EVERYONE, Overwrite(SEND, 0))
    assert place.listed(where) == {EVERYONE: Overwrite(SEND, 0)}
    place.put(where, ANNA, EVERYONE, None)
    assert place.listed(where) == {}


def test_an_overwrite_is_told_to_those_who_see_the_channel(place: Place) -> None:
    """The event of an overwrite is its channel's, with what it says; the log and the audit have what it said before."""
    place.put("channel", ANNA, EVERYONE, Overwrite(PIN))
    overwrite_actions.set_in_channel(
        place.writer, ANNA, place.room.general, EVERYONE, Overwrite(0, PIN), reason="calm", now_ms=NOW
    )
    event = place.writer.emitted[-1]
    said = {"target_type": "role", "target_id": "1"}
    assert (event.type, event.channel_id) == ("overwrite.set", place.room.general)
    assert event.payload == {**said, "allow": [], "deny": ["pin_messages"]}
    assert place.writer.all("SELECT payload ->> '$.replaced.allow' FROM events ORDER BY seq DESC LIMIT 1") == [
        ('["pin_messages"]',)
    ]
    assert place.writer.all("SELECT action, target_id, reason FROM audit_log ORDER BY id DESC LIMIT 1") == [
        ("channel.overwritten", place.room.general, "calm")
    ]


@both
def test_what_is_left_of_somebody_who_went_can_be_removed(place: Place, where: str) -> None:
    """The overwrite of a member who left is not set again, but removed by whoever manages roles."""
    target: Target = ("member", BEN)
    place.put(where, ANNA, target, Overwrite(PIN))
    members.leave(place.writer, BEN, now_ms=NOW)
    with pytest.raises(NotFoundError):
        place.put(where, ANNA, target, Overwrite(SEND))
    place.put(where, ANNA, target, None)
    with pytest.raises(NotFoundError):
        place.put(where, ANNA, target, None)


@both
def test_a_place_has_so_many_overwrites(place: Place, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One overwrite too many is a conflict; changing and removing those there are is none."""
    monkeypatch.setattr(overwrites, "PER_PLACE_MAX", 2)
    place.put(where, OWNER, EVERYONE, Overwrite(PIN))
    place.put(where, OWNER, ("role", place.low), Overwrite(PIN))
    with pytest.raises(ConflictError):
        place.put(where, OWNER, ("role", place.high), Overwrite(PIN))
    place.put(where, OWNER, EVERYONE, Overwrite(SEND))
    place.put(where, OWNER, EVERYONE, None)
    place.put(where, OWNER, ("role", place.high), Overwrite(PIN))


def test_channels_follow_their_category(place: Place) -> None:
    """What changes in a category changes in its channels that are just like it, and in no other channel."""
    place.put("category", OWNER, ("role", place.low), Overwrite(0, SEND))
    alike, own, elsewhere = (
        place.channel("alike", place.category),
        place.channel("own", place.category),
        place.room.general,
    )
    overwrite_actions.set_in_channel(place.writer, OWNER, own, ("role", place.high), Overwrite(PIN), now_ms=NOW)
    place.put("category", ANNA, EVERYONE, Overwrite(PIN))
    assert [bool(place.may(BEN, at) & PIN) for at in (alike, own, elsewhere)] == [True, False, False]
    assert [bool(place.may(BEN, at) & SEND) for at in (alike, own, elsewhere)] == [False, False, True]
    told = [event.channel_id for event in place.writer.emitted if event.type == "overwrite.set"]
    assert told == [own, alike]
    place.put("category", ANNA, EVERYONE, None)
    assert not place.may(BEN, alike) & PIN
    # A channel that is made like its category again follows it again.
    overwrite_actions.set_in_channel(place.writer, OWNER, own, ("role", place.high), None, now_ms=NOW)
    place.put("category", ANNA, EVERYONE, Overwrite(PIN))
    assert place.may(BEN, own) & PIN


def test_channels_follow_the_privacy_of_their_category(place: Place) -> None:
    """A category that becomes private hides its channels with it, but for whoever did it; others stay as they are."""
    alike, own = place.channel("alike", place.category), place.channel("own", place.category)
    overwrite_actions.set_in_channel(place.writer, OWNER, own, ("role", place.high), Overwrite(PIN), now_ms=NOW)
    with pytest.raises(ForbiddenError):
        categories.edit_category(place.writer, BEN, place.category, {"is_private": True}, now_ms=NOW)
    categories.edit_category(place.writer, ANNA, place.category, {"is_private": True}, now_ms=NOW)
    assert [bool(place.may(BEN, at)) for at in (alike, own)] == [False, True]
    assert place.may(ANNA, alike)
    with pytest.raises(NotFoundError):
        access.open_category(place.writer, BEN, place.category, 0, now_ms=NOW)
    place.put("category", ANNA, ("role", place.low), Overwrite(VIEW))
    assert place.may(BEN, alike)
    categories.edit_category(place.writer, ANNA, place.category, {"is_private": False}, now_ms=NOW)
    assert place.may(BEN, alike)


def test_privacy_of_a_category_needs_manage_roles(place: Place) -> None:
    """Who manages channels alone names a category and folds it, and leaves its privacy as it is."""
    roles.edit_role(place.writer, OWNER, place.keepers, {"permissions": permissions.MANAGE_CHANNELS}, now_ms=NOW)
    with pytest.raises(ForbiddenError) as caught:
        categories.edit_category(place.writer, ANNA, place.category, {"is_private": True}, now_ms=NOW)
    assert caught.value.need == "manage_roles"
    with pytest.raises(ForbiddenError) as caught:
        categories.create_category(place.writer, ANNA, "d", is_private=True, collapsed_by_default=False, now_ms=NOW)
    assert caught.value.need == "manage_roles"
    changed = categories.edit_category(
        place.writer, ANNA, place.category, {"name": "folded", "collapsed_by_default": True}, now_ms=NOW
    )
    assert (changed.name, changed.collapsed_by_default) == ("folded", True)
    with pytest.raises(NotFoundError):
        categories.edit_category(place.writer, UserId(99), place.category, {"name": "x"}, now_ms=NOW)
