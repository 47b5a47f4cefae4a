"""Channels and categories: changing, moving, ordering and deleting them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ids import CategoryId, ChannelId, RoleId, UserId
from shard import access, permissions
from shard.actions import categories as category_actions
from shard.actions import channels as channel_actions
from shard.actions import messages, overwrites, roles
from shard.actions.categories import Order
from shard.actions.channels import ChannelDraft
from shard.actions.roles import RoleDraft
from shard.engine.connections import Writer
from shard.errors import ConflictError, ForbiddenError, NotFoundError
from shard.permissions import Overwrite
from shard.tables import channels, system_messages
from shard.tables.channels import ChannelRow
from shard.tables.messages import Draft
from shard.tables.overwrites import Target
from tests.shard import direct, stage

NOW = stage.NOW_MS
OWNER, ANNA, BEN = stage.OWNER, stage.ANNA, stage.BEN


class Place:
    """A room in which ANNA manages channels and BEN has a lower role without any right."""

    def __init__(self, writer: Writer, room: stage.Room) -> None:
        self.writer, self.room = writer, room
        self.keepers = self.role("keepers", permissions.MANAGE_CHANNELS, ANNA)
        self.low = self.role("low", 0, BEN)
        roles.order_roles(writer, OWNER, [self.keepers, self.low], now_ms=NOW)

    def role(self, name: str, allows: int, person: UserId) -> RoleId:
        role_id = roles.create_role(self.writer, OWNER, RoleDraft(name, None, allows), now_ms=NOW).id
        roles.grant_role(self.writer, OWNER, person, role_id, now_ms=NOW)
        return role_id

    def let_manage_roles(self) -> None:
        """Let ANNA decide who may what, too."""
        both = permissions.MANAGE_CHANNELS | permissions.MANAGE_ROLES
        roles.edit_role(self.writer, OWNER, self.keepers, {"permissions": both}, now_ms=NOW)

    def edit(self, by: UserId, channel: str = "general", **changes: Any) -> ChannelRow:
        return channel_actions.edit_channel(self.writer, by, self.room.channels[channel], changes, now_ms=NOW)  # type: ignore[arg-type]

    def category(self, name: str = "c", *, by: UserId = OWNER, is_private: bool = False) -> CategoryId:
        return category_actions.create_category(
            self.writer, by, name, is_private=is_private, collapsed_by_default=False, now_ms=NOW
        ).id

    def allow(self, category_id: CategoryId, role_id: RoleId, bits: int = permissions.VIEW_CHANNEL) -> None:
        overwrites.set_in_category(self.writer, OWNER, category_id, ("role", role_id), Overwrite(bits), now_ms=NOW)

    def seen(self, person: UserId) -> set[ChannelId]:
        return set(access.open_channels(self.writer, person, now_ms=NOW).channels)

    def packed(self, channel_id: ChannelId) -> Any:
        return self.writer.one("SELECT is_private, overwrites_packed FROM channels WHERE id = ?", (channel_id,))

    def count(self) -> Any:
        return self.writer.one("SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM audit_log)")

    def events(self) -> list[str]:
        return [row[0] for row in self.writer.all("SELECT type FROM events ORDER BY seq")]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with direct.writing(tmp_path) as (connection, writer, room), direct.undone(connection, writer):
        yield Place(writer, room)


CHANGES: dict[str, Any] = {
    "name": "Nest",
    "description": "twigs",
    "type": "announcement",
    "is_archived": True,
    "thread_mode": "required",
    "slow_mode_seconds": 5,
    "auto_archive_hours": 24,
}


@pytest.mark.parametrize("field", CHANGES)
def test_whoever_manages_channels_changes_them(place: Place, field: str) -> None:
    """Each field changes for whoever manages channels and for nobody else, is told with what it was, and once only."""
    before = channels.facts(channels.one(place.writer, place.room.general))[field]
    with pytest.raises(ForbiddenError):
        place.edit(BEN, **{field: CHANGES[field]})
    assert getattr(place.edit(ANNA, **{field: CHANGES[field]}), field) == CHANGES[field]
    told = place.writer.all("SELECT channel_id, payload FROM events WHERE type = 'channel.edited'")
    payload = {field: CHANGES[field], "replaced": {field: before}}
    assert [(at, json.loads(kept)) for at, kept in told] == [(place.room.general, payload)]
    counted = place.count()
    place.edit(ANNA, **{field: CHANGES[field]})
    assert place.count() == counted


def test_names_stay_unique(place: Place) -> None:
    """A channel takes no other's name in any case, may change the case of its own, and frees it when it is deleted."""
    with pytest.raises(ConflictError):
        place.edit(ANNA, name="OTHER")
    assert place.edit(ANNA, name="GENERAL").name == "GENERAL"
    channel_actions.delete_channel(place.writer, ANNA, place.room.channels["other"], now_ms=NOW)
    assert place.edit(ANNA, name="Other").name == "Other"
    assert channel_actions.create_channel(place.writer, ANNA, ChannelDraft("general"), now_ms=NOW).name == "general"


def test_voice_stays_voice(place: Place) -> None:
    """Words and voice do not become each other."""
    for channel, kind in (("voice", "text"), ("general", "voice"), ("news", "voice")):
        with pytest.raises(ConflictError):
            place.edit(OWNER, channel, type=kind)
    assert place.edit(OWNER, "news", type="text").type == "text"


def test_privacy_is_for_whoever_manages_roles(place: Place) -> None:
    """Making a channel private or open needs manage_roles; who makes it private goes on seeing it, others do not."""
    general = place.room.general
    with pytest.raises(ForbiddenError):
        place.edit(ANNA, is_private=True)
    place.let_manage_roles()
    assert place.edit(ANNA, is_private=True).is_private
    assert general in place.seen(ANNA)
    assert general not in place.seen(BEN)
    place.edit(ANNA, is_private=False)
    assert general in place.seen(BEN)


def test_whoever_makes_a_private_channel_sees_it(place: Place) -> None:
    """A private channel is made by whoever manages roles too, and seen by them and the administrators alone."""
    draft = ChannelDraft("secret", is_private=True)
    with pytest.raises(ForbiddenError):
        channel_actions.create_channel(place.writer, ANNA, draft, now_ms=NOW)
    place.let_manage_roles()
    made = channel_actions.create_channel(place.writer, ANNA, draft, now_ms=NOW).id
    assert [made in place.seen(person) for person in (OWNER, ANNA, BEN)] == [True, True, False]


def test_a_channel_starts_as_its_category(place: Place) -> None:
    """A channel that is made in a category, or moved into it, copies its privacy and overwrites."""
    place.let_manage_roles()
    category = place.category(is_private=True)
    place.allow(category, place.keepers)
    place.allow(category, place.low, permissions.PIN_MESSAGES)
    draft = ChannelDraft("made", category_id=category)
    made = channel_actions.create_channel(place.writer, ANNA, draft, now_ms=NOW).id
    assert made in place.seen(ANNA)
    assert made not in place.seen(BEN)
    place.edit(OWNER, category_id=category)
    [wanted] = place.writer.all("SELECT is_private, overwrites_packed FROM categories WHERE id = ?", (category,))
    assert wanted[1].count(",") == 7
    assert place.packed(made) == place.packed(place.room.general) == wanted
    other = place.room.channels["other"]
    own: tuple[Target, ...] = (("role", place.low), ("member", BEN))
    for target in own:
        overwrites.set_in_channel(place.writer, OWNER, other, target, Overwrite(0, permissions.CONNECT), now_ms=NOW)
    place.edit(OWNER, "other", category_id=category, is_private=False)
    assert place.packed(other) == (0, wanted[1])
    place.edit(OWNER, category_id=None)
    assert place.packed(place.room.general) == wanted


def test_a_move_cannot_give_what_one_lacks(place: Place) -> None:
    """Moving a channel needs manage_channels in both places, manage_roles where overwrites differ, and each of them."""
    plain, strong, hidden = place.category(), place.category(), place.category(is_private=True)
    place.allow(strong, place.low, permissions.MANAGE_MESSAGES)
    assert place.edit(ANNA, category_id=plain).category_id == plain
    with pytest.raises(NotFoundError):
        place.edit(ANNA, category_id=hidden)
    with pytest.raises(ForbiddenError) as caught:
        place.edit(ANNA, category_id=strong)
    assert caught.value.need == "manage_roles"
    place.let_manage_roles()
    with pytest.raises(ForbiddenError) as caught:
        place.edit(ANNA, category_id=strong)
    assert caught.value.need == "manage_messages"
    more = permissions.MANAGE_CHANNELS | permissions.MANAGE_ROLES | permissions.MANAGE_MESSAGES
    roles.edit_role(place.writer, OWNER, place.keepers, {"permissions": more}, now_ms=NOW)
    assert place.edit(ANNA, category_id=strong).category_id == strong


def test_a_category_has_managers_of_its_own(place: Place) -> None:
    """Channels are made in and moved into a category by whoever manages channels there, whatever holds in the room."""
    closed, mine = place.category("closed"), place.category("mine")
    manage = permissions.MANAGE_CHANNELS
    target: Target = ("role", place.keepers)
    overwrites.set_in_category(place.writer, OWNER, closed, target, Overwrite(0, manage), now_ms=NOW)
    place.allow(mine, place.low, manage)
    draft = ChannelDraft("made", category_id=closed)
    with pytest.raises(ForbiddenError) as caught:
        channel_actions.create_channel(place.writer, ANNA, draft, now_ms=NOW)
    assert caught.value.need == "manage_channels"
    place.let_manage_roles()
    with pytest.raises(ForbiddenError) as caught:
        place.edit(ANNA, category_id=closed)
    assert caught.value.need == "manage_channels"
    with pytest.raises(ForbiddenError):
        channel_actions.create_channel(place.writer, BEN, ChannelDraft("made"), now_ms=NOW)
    made = channel_actions.create_channel(place.writer, BEN, ChannelDraft("made", category_id=mine), now_ms=NOW)
    assert access.open_channel(place.writer, BEN, made.id, manage, now_ms=NOW)


def test_a_category_is_seen_with_its_channels(place: Place) -> None:
    """A private category is in no list but of those whom it lets in, or who see one of its channels."""

    def seen(person: UserId) -> list[str]:
        return [row.name for row in channel_actions.list_all(place.writer, person, now_ms=NOW)[0]]

    category = place.category("hidden", is_private=True)
    place.category("open")
    assert (seen(OWNER), seen(BEN)) == (["hidden", "open"], ["open"])
    place.edit(OWNER, category_id=category, is_private=False)
    assert seen(BEN) == ["hidden", "open"]
    channel_actions.delete_channel(place.writer, OWNER, place.room.general, now_ms=NOW)
    assert seen(BEN) == ["open"]
    place.allow(category, place.low)
    assert seen(BEN) == ["hidden", "open"]


def test_of_a_private_category_nothing_is_told_to_all(place: Place) -> None:
    """What is published of a private category names nothing of it, as everybody in the room is told."""
    category = place.category("hidden", is_private=True)
    category_actions.edit_category(place.writer, OWNER, category, {"name": "deeper"}, now_ms=NOW)
    place.allow(category, place.low)
    category_actions.edit_category(place.writer, OWNER, category, {"is_private": False}, now_ms=NOW)
    told = [event.payload for event in place.writer.emitted if event.type.startswith("category.")]
    assert told == [None, None, None, None]
    category_actions.edit_category(place.writer, OWNER, category, {"name": "open"}, now_ms=NOW)
    assert place.writer.emitted[-1].payload == {"id": str(category), "name": "open"}


def test_a_deleted_category_leaves_its_channels(place: Place) -> None:
    """Channels of a deleted category stay, with what they allow; it takes manage_channels."""
    category = place.category()
    place.allow(category, place.low, permissions.PIN_MESSAGES)
    place.edit(OWNER, category_id=category)
    packed = place.packed(place.room.general)
    with pytest.raises(ForbiddenError):
        category_actions.delete_category(place.writer, BEN, category, now_ms=NOW)
    category_actions.delete_category(place.writer, ANNA, category, now_ms=NOW)
    assert channels.one(place.writer, place.room.general).category_id is None
    assert place.packed(place.room.general) == packed
    with pytest.raises(NotFoundError):
        category_actions.delete_category(place.writer, ANNA, category, now_ms=NOW)


def test_order_is_set_at_once(place: Place) -> None:
    """Whoever manages channels orders all that they see, and what they do not see keeps its place."""
    first, second = place.category("first"), place.category("second")
    place.edit(OWNER, "other", is_private=True)  # the second of six
    rows = channel_actions.list_channels(place.writer, ANNA, now_ms=NOW)
    order: list[tuple[ChannelId, CategoryId | None]] = [(row.id, row.category_id) for row in reversed(rows)]
    for wrong in (
        Order([first], order),
        Order([first, second], order[:-1]),
        Order([first, second], [*order, (place.room.channels["other"], None)]),
        Order([first, second], [*order[:-1], order[0]]),
        Order([first, CategoryId(7)], order),
    ):
        with pytest.raises(ConflictError):
            category_actions.arrange(place.writer, ANNA, wrong, now_ms=NOW)
    wanted = Order([second, first], [(order[0][0], first), *order[1:]])
    with pytest.raises(ForbiddenError):
        category_actions.arrange(place.writer, BEN, wanted, now_ms=NOW)
    category_actions.arrange(place.writer, ANNA, wanted, now_ms=NOW)
    categories, listed = channel_actions.list_all(place.writer, OWNER, now_ms=NOW)
    assert [row.id for row in categories] == [second, first]
    names = [row.name for row in rows][::-1]
    assert [row.name for row in listed] == [names[0], "other", *names[1:]]
    assert listed[0].category_id == first
    assert place.writer.emitted[-1].type == "room.reordered"
    assert place.writer.emitted[-1].payload is None
    counted = place.count()
    category_actions.arrange(place.writer, ANNA, wanted, now_ms=NOW)
    assert place.count() == counted


def test_a_deleted_channel_is_gone_at_once(place: Place) -> None:
    """A deleted channel is found by nobody in any way before it is swept, and sweeping leaves nothing of it."""
    general, other = place.room.general, place.room.channels["other"]
    thread = talking_thread(place, general)
    message = messages.send_message(place.writer, BEN, general, Draft("findable"), now_ms=NOW).message
    kept = messages.send_message(place.writer, BEN, other, Draft("findable"), now_ms=NOW).message
    place.writer.settle()
    with pytest.raises(ForbiddenError):
        channel_actions.delete_channel(place.writer, BEN, general, now_ms=NOW)
    assert system_messages.channel_id(place.writer) == general
    channel_actions.delete_channel(place.writer, ANNA, general, reason="stale", now_ms=NOW)
    assert system_messages.channel_id(place.writer) is None
    for person in (OWNER, ANNA, BEN):
        assert general not in place.seen(person)
        with pytest.raises(NotFoundError):
            messages.send_message(place.writer, person, general, Draft("x"), now_ms=NOW)
        assert "general" not in [row.name for row in channel_actions.list_channels(place.writer, person, now_ms=NOW)]
    with pytest.raises(NotFoundError):
        channel_actions.delete_channel(place.writer, ANNA, general, now_ms=NOW)
    assert place.writer.all("SELECT action, reason FROM audit_log ORDER BY id DESC LIMIT 1") == [
        ("channel.deleted", "stale")
    ]
    while channel_actions.sweep(place.writer):
        pass
    for table, row_id in (("channels", general), ("threads", thread), ("messages", message.id)):
        assert place.writer.all(f"SELECT 1 FROM {table} WHERE id = ?", (row_id,)) == []
    found = place.writer.all("SELECT rowid FROM messages_fts WHERE messages_fts MATCH 'findable'")
    assert found == [(kept.id,)]


def talking_thread(place: Place, channel_id: ChannelId) -> int:
    values = (5, channel_id, "t", BEN, NOW, NOW)
    place.writer.run(
        "INSERT INTO threads (id, channel_id, title, created_by, last_message_at, created_at) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        values,
    )
    return 5


def test_a_large_channel_is_swept_in_slices(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """One act removes no more than a slice, and acts go on until all is gone."""
    monkeypatch.setattr(channels, "SWEPT_AT_ONCE", 3)
    for number in range(7):
        messages.send_message(place.writer, BEN, place.room.general, Draft(str(number)), now_ms=NOW)
    place.writer.settle()
    channel_actions.delete_channel(place.writer, OWNER, place.room.general, now_ms=NOW)
    counts = []
    while channel_actions.sweep(place.writer):
        counts.append(len(place.writer.all("SELECT 1 FROM messages")))
    assert counts == [4, 1, 0, 0]
    assert place.writer.all("SELECT 1 FROM channels WHERE deleted_at IS NOT NULL") == []


def test_the_last_channel_may_go(place: Place) -> None:
    """A room can be left without a channel, and have a new one after."""
    for channel_id in place.room.channels.values():
        channel_actions.delete_channel(place.writer, ANNA, channel_id, now_ms=NOW)
    assert channel_actions.list_all(place.writer, BEN, now_ms=NOW) == ([], [])
    made = channel_actions.create_channel(place.writer, ANNA, ChannelDraft("general"), now_ms=NOW)
    assert (made.position, place.seen(BEN)) == (0, {made.id})


def test_a_name_is_taken_in_all_its_spellings(place: Place) -> None:
    """Two channels of a room have not the same name in another case, composition or width; accents are others."""
    create = channel_actions.create_channel
    made = create(place.writer, OWNER, ChannelDraft("Café Straße"), now_ms=NOW)
    for name in ("Cafe\u0301 Straße", "CAFÉ STRASSE", "\uff23afé Straße", "Caf\u00ad\u00e9 Straße"):
        with pytest.raises(ConflictError):
            create(place.writer, OWNER, ChannelDraft(name), now_ms=NOW)
        assert channels.named(place.writer, f"#{name}") == made.id
    other = create(place.writer, OWNER, ChannelDraft("Cafe Strasse"), now_ms=NOW)
    assert channels.named(place.writer, "cafe straße") == other.id
    place.room.channels["café"] = made.id
    assert place.edit(OWNER, "café", name="CAFE\u0301 Strasse").name == "CAFE\u0301 Strasse"
    with pytest.raises(ConflictError):
        place.edit(OWNER, "café", name="cafe strasse")
