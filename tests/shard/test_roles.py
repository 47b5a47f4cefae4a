"""Roles: who may make, change, order, give and take them, and what each of these leaves behind."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ids import RoleId, UserId
from shard import access, permissions
from shard.actions import overwrites
from shard.actions import roles as role_actions
from shard.actions.roles import RoleDraft
from shard.engine.connections import Writer
from shard.errors import ConflictError, ForbiddenError, NotFoundError
from shard.permissions import Overwrite
from shard.tables import roles
from shard.tables.roles import Role
from tests.shard import direct, stage

NOW = stage.NOW_MS
CHIEF, ANNA, BEN, OWNER = UserId(14), stage.ANNA, stage.BEN, stage.OWNER
EVERYONES = RoleId(1)
MANAGE = permissions.MANAGE_ROLES | permissions.PIN_MESSAGES


class Place:
    """A room with three roles: `high` and `middle` manage roles, `low` pins; CHIEF, ANNA and BEN have one each."""

    def __init__(self, writer: Writer, room: stage.Room) -> None:
        self.writer, self.room = writer, room
        writer.run("INSERT INTO members (user_id, joined_at) VALUES (?, 1)", (CHIEF,))
        self.high = self.make("high", MANAGE | permissions.BAN_MEMBERS)
        self.middle = self.make("middle", MANAGE)
        self.low = self.make("low", permissions.PIN_MESSAGES)
        for person, role in ((CHIEF, self.high), (ANNA, self.middle), (BEN, self.low)):
            role_actions.grant_role(writer, OWNER, person, role, now_ms=NOW)

    def make(self, name: str, allows: int = 0) -> RoleId:
        return role_actions.create_role(self.writer, OWNER, RoleDraft(name, None, allows), now_ms=NOW).id

    def names(self) -> list[str]:
        return [role.name for role in role_actions.list_roles(self.writer, BEN, now_ms=NOW)]

    def may(self, person: UserId) -> int:
        return access.open_room(self.writer, person, 0, now_ms=NOW).permissions

    def told(self) -> list[tuple[Any, ...]]:
        """Return the newest event and audit row."""
        return [
            *self.writer.all("SELECT type, payload FROM events ORDER BY seq DESC LIMIT 1"),
            *self.writer.all("SELECT action, before, after, reason FROM audit_log ORDER BY id DESC LIMIT 1"),
        ]

    def counts(self) -> Any:
        return self.writer.one(
            "SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM audit_log), "
            "(SELECT group_concat(id || name || permissions || position) FROM roles), "
            "(SELECT group_concat(user_id || role_id) FROM member_roles)"
        )


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with direct.writing(tmp_path) as (connection, writer, room), direct.undone(connection, writer):
        yield Place(writer, room)


def every_act(place: Place, role: RoleId, person: UserId) -> dict[str, Callable[[UserId], object]]:
    """Name all that can be done to a role."""
    writer = place.writer
    return {
        "rename": lambda by: role_actions.edit_role(writer, by, role, {"name": "new"}, now_ms=NOW),
        "allow": lambda by: role_actions.edit_role(writer, by, role, {"permissions": 0}, now_ms=NOW),
        "delete": lambda by: role_actions.delete_role(writer, by, role, now_ms=NOW),
        "grant": lambda by: role_actions.grant_role(writer, by, person, role, now_ms=NOW),
        "revoke": lambda by: role_actions.revoke_role(writer, by, person, role, now_ms=NOW),
    }


ACTS = ["rename", "allow", "delete", "grant", "revoke"]


@pytest.mark.parametrize("act", ACTS)
def test_one_acts_below_oneself_alone(place: Place, act: str) -> None:
    """Whoever manages roles acts upon those below their own highest, and is refused at its height and above."""
    for role in (place.high, place.middle):
        before = place.counts()
        with pytest.raises(ForbiddenError):
            every_act(place, role, BEN)[act](ANNA)
        assert place.counts() == before
    every_act(place, place.low, BEN)[act](ANNA)


@pytest.mark.parametrize("act", ACTS)
def test_roles_are_managed_by_who_may(place: Place, act: str) -> None:
    """Without manage_roles, or in a time-out, nothing can be done to a role that stands below."""
    lowest = place.make("lowest")
    do = every_act(place, lowest, BEN)[act]
    with pytest.raises(ForbiddenError) as caught:
        do(BEN)
    assert caught.value.need == "manage_roles"
    direct.time_out(place.writer, ANNA, NOW + 1)
    with pytest.raises(ForbiddenError):
        do(ANNA)
    direct.time_out(place.writer, ANNA, NOW)
    do(ANNA)


@pytest.mark.parametrize("act", ["grant", "revoke"])
def test_nobody_acts_upon_their_equals_or_themselves(place: Place, act: str) -> None:
    """A role that stands below is given to and taken from those below, not from oneself, one's equals and superiors."""
    equal = UserId(15)
    place.writer.run("INSERT INTO members (user_id, joined_at) VALUES (?, 1)", (equal,))
    role_actions.grant_role(place.writer, OWNER, equal, place.middle, now_ms=NOW)
    for person in (ANNA, equal, CHIEF, OWNER):
        with pytest.raises(ForbiddenError):
            every_act(place, place.low, person)[act](ANNA)
    with pytest.raises(NotFoundError):
        every_act(place, place.low, UserId(99))[act](ANNA)
    every_act(place, place.low, BEN)[act](ANNA)


def test_nobody_gives_what_they_lack(place: Place) -> None:
    """Making, changing and granting a role needs each permission that is given or taken, and only those."""
    writer, lacked = place.writer, permissions.BAN_MEMBERS
    strong = place.make("strong", lacked)
    for act in (
        lambda: role_actions.create_role(writer, ANNA, RoleDraft("x", None, lacked), now_ms=NOW),
        lambda: role_actions.edit_role(writer, ANNA, place.low, {"permissions": MANAGE | lacked}, now_ms=NOW),
        lambda: role_actions.edit_role(writer, ANNA, strong, {"permissions": 0}, now_ms=NOW),
        lambda: role_actions.edit_role(writer, ANNA, EVERYONES, {"permissions": lacked}, now_ms=NOW),
        lambda: role_actions.grant_role(writer, ANNA, BEN, strong, now_ms=NOW),
        lambda: role_actions.edit_role(
            writer, CHIEF, place.low, {"permissions": permissions.ADMINISTRATOR}, now_ms=NOW
        ),
    ):
        before = place.counts()
        with pytest.raises(ForbiddenError):
            act()
        assert place.counts() == before
    # What was there already may stay.
    role_actions.edit_role(writer, ANNA, strong, {"permissions": lacked | permissions.PIN_MESSAGES}, now_ms=NOW)
    role_actions.grant_role(writer, CHIEF, BEN, strong, now_ms=NOW)
    role_actions.edit_role(writer, OWNER, place.low, {"permissions": permissions.ADMINISTRATOR}, now_ms=NOW)
    assert place.may(BEN) == permissions.ALL


def test_everyones_role_only_changes_what_it_allows(place: Place) -> None:
    """Everyone's role is not named, deleted, granted, listed by holders nor moved, but what it allows can change."""
    writer = place.writer
    for act in ("rename", "delete", "grant", "revoke"):
        with pytest.raises(ConflictError):
            every_act(place, EVERYONES, BEN)[act](OWNER)
    with pytest.raises(ConflictError):
        role_actions.list_holders(writer, BEN, EVERYONES, after=None, limit=9, now_ms=NOW)
    order = [place.high, place.middle, place.low, EVERYONES]
    with pytest.raises(ConflictError):
        role_actions.order_roles(writer, OWNER, order, now_ms=NOW)
    less = permissions.EVERYONE & ~permissions.CREATE_INVITE
    role_actions.edit_role(writer, ANNA, EVERYONES, {"permissions": less}, now_ms=NOW)
    assert place.may(BEN) == less | permissions.PIN_MESSAGES


def test_whoever_has_no_role_makes_none(place: Place) -> None:
    """Where everyone manages roles, those without a role of their own stand above nothing."""
    everyone = permissions.EVERYONE | permissions.MANAGE_ROLES
    role_actions.edit_role(place.writer, OWNER, EVERYONES, {"permissions": everyone}, now_ms=NOW)
    role_actions.revoke_role(place.writer, OWNER, BEN, place.low, now_ms=NOW)
    with pytest.raises(ForbiddenError):
        role_actions.create_role(place.writer, BEN, RoleDraft("x"), now_ms=NOW)
    with pytest.raises(ForbiddenError):
        role_actions.edit_role(place.writer, BEN, EVERYONES, {"permissions": 0}, now_ms=NOW)
    assert role_actions.create_role(place.writer, ANNA, RoleDraft("x"), now_ms=NOW).position == 1


def test_a_new_role_is_the_lowest(place: Place) -> None:
    """A role is made below all others but everyone's, and positions stay without gaps, also when one goes."""
    assert place.names() == ["high", "middle", "low", "everyone"]
    made = role_actions.create_role(place.writer, ANNA, RoleDraft("new", "#aabbcc", 0, is_mentionable=True), now_ms=NOW)
    assert (made.position, made.color, made.is_mentionable) == (1, "#aabbcc", 1)
    role_actions.delete_role(place.writer, OWNER, place.middle, now_ms=NOW)
    listed = role_actions.list_roles(place.writer, BEN, now_ms=NOW)
    assert [(role.name, role.position) for role in listed] == [("high", 3), ("low", 2), ("new", 1), ("everyone", 0)]
    assert access.open_room(place.writer, CHIEF, 0, now_ms=NOW).rank == 3


def test_one_orders_what_stands_below(place: Place) -> None:
    """The order of all roles below one's own highest is set at once; an order that is not all of them is a conflict."""
    extra = place.make("extra")
    for wrong in ([], [extra], [extra, extra], [place.middle, extra, place.low], [extra, place.low, RoleId(7)]):
        with pytest.raises(ConflictError):
            role_actions.order_roles(place.writer, ANNA, wrong, now_ms=NOW)
    role_actions.order_roles(place.writer, ANNA, [extra, place.low], reason="tidy", now_ms=NOW)
    assert place.names() == ["high", "middle", "extra", "low", "everyone"]
    event, entry = place.told()
    assert event == (
        "role.reordered",
        f'{{"role_ids": ["{extra}", "{place.low}"], "replaced": {{"role_ids": ["{place.low}", "{extra}"]}}}}',
    )
    assert entry[0::3] == ("role.reordered", "tidy")
    before = place.counts()
    role_actions.order_roles(place.writer, ANNA, [extra, place.low], now_ms=NOW)
    assert place.counts() == before


def test_what_is_so_already_is_not_told(place: Place) -> None:
    """Granting a role twice, revoking it twice and editing nothing leave no event and no audit row."""
    before = place.counts()
    for act in ("grant", "revoke"):
        every_act(place, place.low, BEN)[act](ANNA)
        before = place.counts()
        every_act(place, place.low, BEN)[act](ANNA)
        assert place.counts() == before
    role_actions.edit_role(place.writer, ANNA, place.low, {"name": "low", "color": None}, now_ms=NOW)
    assert place.counts() == before


def test_an_edit_tells_what_it_changed(place: Place) -> None:
    """An edit's event and audit row have what changed, as it is and as it was."""
    role_actions.edit_role(place.writer, ANNA, place.low, {"name": "lower", "permissions": 0}, reason="so", now_ms=NOW)
    event, entry = place.told()
    assert event[0] == entry[0] == "role.edited"
    replaced = '"replaced": {"name": "low", "permissions": ["pin_messages"]}'
    assert event[1] == f'{{"id": "{place.low}", "name": "lower", "permissions": [], {replaced}}}'
    assert entry[1:] == (
        '{"name":"low","permissions":["pin_messages"]}', '{"name":"lower","permissions":[]}', "so",
    )  # fmt: skip
    assert not place.may(BEN) & permissions.PIN_MESSAGES


def test_a_deleted_role_is_nowhere(place: Place) -> None:
    """With a role goes what it allowed: in the room, to those who had it, and in every channel and category."""
    general, target = place.room.general, ("role", place.low)
    hidden = Overwrite(0, permissions.VIEW_CHANNEL)
    overwrites.set_in_channel(place.writer, OWNER, general, ("role", place.low), hidden, now_ms=NOW)
    place.writer.run("INSERT INTO categories (id, name, created_at) VALUES (77, 'c', 1)")
    place.writer.run("INSERT INTO category_overwrites VALUES (77, ?, ?, 0, 1024)", target)
    with pytest.raises(NotFoundError):
        access.open_channel(place.writer, BEN, general, 0, now_ms=NOW)
    role_actions.delete_role(place.writer, ANNA, place.low, now_ms=NOW)
    assert access.open_channel(place.writer, BEN, general, 0, now_ms=NOW)
    assert not place.may(BEN) & permissions.PIN_MESSAGES
    left = "SELECT overwrites_packed FROM channels WHERE id = ? UNION ALL SELECT overwrites_packed FROM categories"
    assert place.writer.all(left, (general,)) == [("",), ("",)]
    assert place.writer.all("SELECT 1 FROM member_roles WHERE role_id = ?", (place.low,)) == []
    for act in ACTS:
        with pytest.raises(NotFoundError):
            every_act(place, place.low, BEN)[act](OWNER)


def test_a_room_has_so_many_roles(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """One role more than a room may have is a conflict, and one less makes space for it."""
    monkeypatch.setattr(roles, "PER_ROOM_MAX", 4)
    place.make("fourth")
    with pytest.raises(ConflictError):
        place.make("fifth")
    role_actions.delete_role(place.writer, OWNER, place.low, now_ms=NOW)
    place.make("fifth")


def test_who_has_a_role_is_told_by_pages(place: Place) -> None:
    """Members see who has a role, by id; strangers find nothing."""
    role_actions.grant_role(place.writer, OWNER, ANNA, place.low, now_ms=NOW)

    def page(by: UserId, after: UserId | None) -> list[UserId]:
        return [
            one.user_id
            for one in role_actions.list_holders(place.writer, by, place.low, after=after, limit=1, now_ms=NOW)
        ]

    assert (page(BEN, None), page(BEN, ANNA), page(BEN, BEN)) == ([ANNA], [BEN], [])
    with pytest.raises(NotFoundError):
        page(UserId(99), None)


def test_a_chat_of_a_few_has_no_roles_to_shape(place: Place) -> None:
    """In a group the owner is told that there is nothing to shape."""
    made: Role = role_actions.create_role(place.writer, OWNER, RoleDraft("x"), now_ms=NOW)
    place.writer.run("UPDATE room SET kind = 'group'")
    with pytest.raises(ConflictError):
        role_actions.create_role(place.writer, OWNER, RoleDraft("y"), now_ms=NOW)
    with pytest.raises(ConflictError):
        role_actions.delete_role(place.writer, OWNER, made.id, now_ms=NOW)
