"""Permissions against a plain model: the pure functions over everything there is, the door over random rooms."""

from collections.abc import Iterable, Iterator
from itertools import combinations, product
from pathlib import Path

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ids import CategoryId, ChannelId, UserId
from shard import access, permissions, visibility
from shard.engine.connections import Writer
from shard.errors import NotFoundError
from shard.permissions import Overwrite
from tests.shard import direct, plain, stage
from tests.shard.plain import Names, Said

VIEW, SEND, ADMIN = permissions.VIEW_CHANNEL, permissions.SEND_MESSAGES, permissions.ADMINISTRATOR
EVERYTHING = permissions.names(permissions.ALL)
NOW = stage.NOW_MS


def named(bits: int) -> Names:
    return frozenset(permissions.names(bits))


def said(overwrite: Overwrite) -> Said:
    return Said(named(overwrite.allow), named(overwrite.deny))


def subsets(*bits: int) -> Iterator[int]:
    """Return every sum of some of these bits."""
    for count in range(len(bits) + 1):
        yield from map(sum, combinations(bits, count))


OVERWRITES = [
    Overwrite(allow, deny) for allow in subsets(VIEW, SEND) for deny in subsets(VIEW, SEND) if not allow & deny
]
"""All that can be said of two permissions: nine things."""


def test_every_member_of_every_room() -> None:
    """In the room a member may what everyone and any of their roles may, and administrators and owners all."""
    for everyone, first, second in product(subsets(VIEW, SEND, ADMIN), repeat=3):
        for is_owner, roles in product((False, True), ((), (first,), (first, second))):
            granted = permissions.in_room(is_owner=is_owner, everyone=everyone, roles=roles)
            assert named(granted) == plain.in_room(
                EVERYTHING, is_owner=is_owner, everyone=named(everyone), roles=map(named, roles)
            )


@pytest.mark.parametrize("base", [*subsets(VIEW, SEND, ADMIN), permissions.ALL], ids=bin)
def test_every_member_of_every_channel(base: int) -> None:
    """Whatever a member may in the room, and whatever is said for everyone, for two of their roles and for themselves,
    in private channels and in time-outs: the bits and the plain model agree."""
    everything = permissions.names(permissions.ALL if base & ADMIN else VIEW | SEND)
    told = {overwrite: said(overwrite) for overwrite in OVERWRITES}
    has = frozenset(everything) if base & ADMIN else named(base)
    for everyone, first, second, own in product(OVERWRITES, repeat=4):
        roles = permissions.united((first, second))
        for is_private, is_timed_out in product((False, True), repeat=2):
            granted = permissions.in_channel(base, everyone=everyone, roles=roles, member=own, is_private=is_private)
            if is_timed_out:
                granted = permissions.while_timed_out(granted)
            assert named(granted) == plain.in_channel(
                everything,
                has,
                everyone=told[everyone],
                roles=(told[first], told[second]),
                own=told[own],
                is_private=is_private,
                is_timed_out=is_timed_out,
            )


def test_an_overwrite_cannot_give_what_is_the_rooms() -> None:
    """What an overwrite may say leaves out whatever is decided for the whole room, the administrator above all."""
    for_rooms = {
        "administrator", "kick_members", "ban_members", "manage_room", "view_audit_log", "time_out_members",
        "change_nickname", "manage_nicknames",
    }  # fmt: skip
    assert set(EVERYTHING) - set(permissions.names(permissions.IN_CHANNELS)) == for_rooms


def test_names_and_bits_are_each_others() -> None:
    """Every permission has one name, every name one bit, and an unknown name is an error."""
    for bit, name in permissions.NAMES.items():
        assert permissions.bits([name]) == bit
        assert permissions.names(bit) == [name]
    assert permissions.bits(EVERYTHING) == permissions.ALL
    with pytest.raises(KeyError):
        permissions.bits(["fly"])


ROLES = (101, 102, 103, 104)
PEOPLE = (stage.OWNER, stage.ANNA, stage.BEN)
SOME_BITS = st.sets(st.sampled_from(sorted(permissions.NAMES)), max_size=6).map(sum)


@st.composite
def overwrites(draw: st.DrawFn) -> Overwrite:
    allow = draw(SOME_BITS) & permissions.IN_CHANNELS
    return Overwrite(allow, draw(SOME_BITS) & permissions.IN_CHANNELS & ~allow)


TARGETS = st.sampled_from([("role", 1), *(("role", role) for role in ROLES), *(("member", one) for one in PEOPLE)])


@st.composite
def places(draw: st.DrawFn) -> tuple[bool, dict[tuple[str, int], Overwrite]]:
    return draw(st.booleans()), draw(st.dictionaries(TARGETS, overwrites(), max_size=6))


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[apsw.Connection, Writer, stage.Room]]:
    folder: Path = tmp_path_factory.mktemp("permissions")
    with direct.writing(folder) as opened:
        yield opened


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_the_door_is_as_the_model(shard: tuple[apsw.Connection, Writer, stage.Room], data: st.DataObject) -> None:
    """In random rooms the door to one channel, the sight of all, and the categories grant each member what the model
    does, and hide the rest."""
    connection, writer, room = shard
    everyone, allows = data.draw(SOME_BITS), {role: data.draw(SOME_BITS) for role in ROLES}
    held = {person: data.draw(st.sets(st.sampled_from(ROLES))) for person in PEOPLE}
    silenced = {person: data.draw(st.sampled_from([None, NOW, NOW + 1])) for person in PEOPLE}
    made = {channel_id: data.draw(places()) for channel_id in list(room.channels.values())[:3]}
    category = data.draw(places())
    with direct.undone(connection, writer):
        furnish(writer, everyone, allows, held, silenced)
        for channel_id, place in made.items():
            settle(writer, "channel", channel_id, place)
        writer.run("INSERT INTO categories (id, name, created_at) VALUES (77, 'c', 1)")
        settle(writer, "category", 77, category)
        for person in PEOPLE:
            base = plain.in_room(
                EVERYTHING,
                is_owner=person == stage.OWNER,
                everyone=named(everyone),
                roles=(named(allows[role]) for role in held[person]),
            )
            is_timed_out = silenced[person] == NOW + 1
            wanted = {at: expected(base, place, person, held[person], is_timed_out) for at, place in made.items()}
            sight = access.open_channels(writer, person, now_ms=NOW)
            assert {at: named(bits) for at, bits in sight.channels.items() if at in made} == {
                at: names for at, names in wanted.items() if names
            }
            for channel_id, names in wanted.items():
                assert opened(writer, person, channel_id) == names
            assert_told(writer, person, {at: wanted[at] for at in made}, base)
            assert opened_category(writer, person) == expected(base, category, person, held[person], is_timed_out)


def assert_told(writer: Writer, person: UserId, wanted: dict[ChannelId, Names], base: Names) -> None:
    """Hold what a listener is told of against what they may: an audience is asked for many, and knows no time-outs."""
    found = visibility.of(writer, [*PEOPLE, UserId(404)])
    assert set(found) == set(PEOPLE)
    told = found[person]
    assert told.seen & set(wanted) == {at for at, names in wanted.items() if "view_channel" in names}
    assert told.read & set(wanted) == {at for at, names in wanted.items() if {"view_channel", "read_history"} <= names}
    assert told.is_told_of_bans == ("ban_members" in base)


def furnish(
    writer: Writer,
    everyone: int,
    allows: dict[int, int],
    held: dict[UserId, set[int]],
    silenced: dict[UserId, int | None],
) -> None:
    writer.run("UPDATE roles SET permissions = ? WHERE id = 1", (everyone,))
    for position, (role, bits) in enumerate(allows.items(), 1):
        values = (role, str(role), bits, position)
        writer.run("INSERT INTO roles (id, name, permissions, position, created_at) VALUES (?, ?, ?, ?, 1)", values)
    for person, roles in held.items():
        writer.run("UPDATE members SET timed_out_until = ? WHERE user_id = ?", (silenced[person], person))
        for role in roles:
            writer.run("INSERT INTO member_roles VALUES (?, ?, 11, 1)", (person, role))


def settle(writer: Writer, kind: str, at: int, place: tuple[bool, dict[tuple[str, int], Overwrite]]) -> None:
    table = {"channel": "channels", "category": "categories"}[kind]
    writer.run(f"UPDATE {table} SET is_private = ? WHERE id = ?", (int(place[0]), at))
    for target, overwrite in place[1].items():
        writer.run(f"INSERT INTO {kind}_overwrites VALUES (?, ?, ?, ?, ?)", (at, *target, *overwrite))


def expected(
    base: Names,
    place: tuple[bool, dict[tuple[str, int], Overwrite]],
    person: UserId,
    held: Iterable[int],
    is_timed_out: bool,
) -> Names:
    is_private, said_here = place[0], {target: said(overwrite) for target, overwrite in place[1].items()}
    return plain.in_channel(
        EVERYTHING,
        base,
        everyone=said_here.get(("role", 1), plain.SILENT),
        roles=[said_here[target] for role in held if (target := ("role", role)) in said_here],
        own=said_here.get(("member", person), plain.SILENT),
        is_private=is_private,
        is_timed_out=is_timed_out,
    )


def opened(writer: Writer, person: UserId, channel_id: ChannelId) -> Names:
    try:
        return named(access.open_channel(writer, person, channel_id, 0, now_ms=NOW).permissions)
    except NotFoundError:
        return plain.NOTHING


def opened_category(writer: Writer, person: UserId) -> Names:
    try:
        return named(access.open_category(writer, person, CategoryId(77), 0, now_ms=NOW).permissions)
    except NotFoundError:
        return plain.NOTHING
