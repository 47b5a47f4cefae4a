"""Every common query goes through an index: the statements that the functions really run are explained here."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest

from database.connections import Parameters, Row
from directory import (
    alerts,
    audit,
    blocks,
    bot_tokens,
    bots,
    capabilities,
    credentials,
    directs,
    failures,
    global_bans,
    group_owners,
    hibernations,
    invites,
    listeners,
    members,
    placeholders,
    room_orders,
    room_pages,
    rooms,
    runs,
    scrubs,
    sessions,
    shards,
    sizes,
    storage,
    user_settings,
    users,
    webhooks,
)
from directory.alerts import Alert, Change
from directory.audit import Filter
from directory.capabilities import Capability
from directory.database import Database, Writer
from directory.hibernations import Hibernation
from directory.room_orders import Order
from directory.runs import Run
from directory.sizes import Measurement
from ids import UserId

NOW_MS = 1_760_000_000_000

# Reads all of a partial index that holds only what is looked for, the beginning of one that is in order, or no table.
ALLOWED = {
    "SCAN rooms USING INDEX idx_rooms_creating",
    "SCAN shards USING INDEX idx_shards_size_limit_bytes",
    "SCAN shards USING INDEX idx_shards_quarantined_at",
    "SCAN s USING INDEX idx_shards_examined_at",
    "SCAN alerts USING INDEX idx_alerts_open",
    "SCAN runs USING INDEX idx_runs_running",
    "SCAN runs USING COVERING INDEX idx_runs_running",
    "SCAN room_orders USING INDEX idx_room_orders_open",
    "SCAN failures",
    "SCAN global_bans",
    "SCAN users USING INDEX idx_users_status",
    "SCAN CONSTANT ROW",
}


class Recorder(Writer):
    """A writer that remembers what it ran."""

    def __init__(self, writer: Writer) -> None:
        super().__init__(writer.connection)
        self.ran: list[tuple[str, Parameters]] = []

    async def fetch_one(self, sql: str, parameters: Parameters = ()) -> Row | None:
        self.ran.append((sql, parameters))
        return await super().fetch_one(sql, parameters)

    async def fetch_all(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        self.ran.append((sql, parameters))
        return await super().fetch_all(sql, parameters)

    async def execute(self, sql: str, parameters: Parameters = ()) -> None:
        self.ran.append((sql, parameters))
        await super().execute(sql, parameters)

    async def execute_many(self, sql: str, rows: Iterable[Parameters]) -> None:
        kept = list(rows)
        self.ran.append((sql, kept[0]))
        await super().execute_many(sql, kept)


async def faults(recorder: Recorder) -> list[str]:
    """Return the steps of the recorded statements that read a whole table or sort by hand."""
    found = []
    for sql, parameters in recorder.ran:
        for row in await recorder.connection.fetch_all("EXPLAIN QUERY PLAN " + sql, parameters):
            step = row[3]
            scans = step.startswith("SCAN") and "VIRTUAL TABLE" not in step and step not in ALLOWED
            # A range of ids is no way to what is named by another column.
            scans |= step.endswith(("(rowid<?)", "(rowid>?)")) and " = ?" in sql
            if scans or "TEMP B-TREE" in step:
                found.append(f"{step}: {sql}")
    return found


def change(world: Any) -> Change:
    return Change(world.lean.id, "size", "warn", "ok", 8, 10)


def ended(world: Any) -> Change:
    return Change(world.lean.id, "size", "ok", "warn", 8, 10)


async def thinned(writer: Writer, world: Any) -> int:
    """Thin a history out that is old enough for it."""
    await sizes.record(writer, [Measurement(world.lean.id, 2, 3, 4, 1, 6, 7, 8)])
    return await sizes.thin(writer, now_ms=NOW_MS)


async def running(writer: Writer, world: Any) -> Run:
    """Find a job that is there."""
    run = await runs.start(writer, "check", world.lean.id, by=None, now_ms=NOW_MS)
    return await runs.find(writer, run.id)


async def acknowledged(writer: Writer, world: Any) -> Alert:
    """Acknowledge an alert that is there."""
    await alerts.raise_all(writer, [change(world)], ["mail"], now_ms=NOW_MS)
    (alert,) = await alerts.list_page(writer, is_open=True, limit=1)
    return await alerts.acknowledge(writer, alert.id, world.alice.id, now_ms=NOW_MS)


Call = Callable[[Recorder, Any], Awaitable[object]]
HASH = bytes(32)


def _sleeper(world: Any) -> Hibernation:
    return Hibernation(5, world.lean.id, "storing", "key", 1, "0" * 64, 1, "0" * 64)


CALLS: dict[str, Call] = {
    "users.create": lambda w, _: users.create(w, username="dora", email="d@example.org", now_ms=1),
    "users.find": lambda w, x: users.find(w, x.alice.id),
    "users.find_named": lambda w, _: users.find_named(w, "ALICE"),
    "users.find_by_username": lambda w, _: users.find_by_username(w, "ALICE"),
    "users.list_page": lambda w, _: users.list_page(w, after=5),
    "users.profiles": lambda w, x: users.profiles(w, [x.alice.id, x.bob.id]),
    "users.update_profile": lambda w, x: users.update_profile(w, x.bob.id, {"bio": "Hi"}, now_ms=1),
    "users.set_status": lambda w, x: users.set_status(w, x.bob.id, "suspended", now_ms=1),
    "users.set_last_login": lambda w, x: users.set_last_login(w, x.bob.id, now_ms=1),
    "users.rename": lambda w, x: users.rename(w, x.bob.id, "robert", now_ms=1),
    "users.find_bearers": lambda w, _: users.find_bearers(w, ["alice", "bob"]),
    "placeholders.create": lambda w, _: placeholders.create(w, ["one", "Bob", "two"], now_ms=1),
    "placeholders.bind": lambda w, x: placeholders.bind(w, x.lean.id, {"one": x.bob.id}, are_placeholders=True),
    "placeholders.bound": lambda w, x: placeholders.bound(w, x.lean.id, ["one", "two"]),
    "placeholders.of_room": lambda w, x: placeholders.of_room(w, x.lean.id),
    "placeholders.is_ownerless": lambda w, x: placeholders.is_ownerless(w, x.bob.id),
    "credentials.find_login name": lambda w, _: credentials.find_login(w, "alice"),
    "credentials.find_login email": lambda w, _: credentials.find_login(w, "alice@example.org"),
    "credentials.find": lambda w, x: credentials.find(w, x.alice.id),
    "credentials.store": lambda w, x: credentials.store(w, x.alice.id, "$argon2id$x", now_ms=1),
    "sessions.start": lambda w, x: sessions.start(w, x.alice.id, session_ms=9, now_ms=1),
    "sessions.find_viewer": lambda w, _: sessions.find_viewer(w, HASH, now_ms=1),
    "sessions.find_viewers": lambda w, _: sessions.find_viewers(w, [HASH, bytes(31) + b"1"], now_ms=1),
    "sessions.of_user": lambda w, x: sessions.of_user(w, x.alice.id, now_ms=1),
    "sessions.end": lambda w, _: sessions.end(w, HASH),
    "sessions.end_all": lambda w, x: sessions.end_all(w, x.alice.id),
    "sessions.slide": lambda w, _: sessions.slide(w, {HASH: 5}, session_ms=9, now_ms=1),
    "sessions.purge": lambda w, _: sessions.purge(w, now_ms=1),
    "bots.of_owner": lambda w, x: bots.of_owner(w, x.alice.id),
    "bots.create": lambda w, x: bots.create(w, x.alice.id, username="a_robot", now_ms=1),
    "bot_tokens.of_bot": lambda w, x: bot_tokens.of_bot(w, x.bob.id, now_ms=1),
    "bot_tokens.find_viewer": lambda w, _: bot_tokens.find_viewer(w, HASH, now_ms=1),
    "bot_tokens.note_use": lambda w, _: bot_tokens.note_use(w, {HASH: 5}),
    "bot_tokens.end": lambda w, _: bot_tokens.end(w, HASH),
    "bot_tokens.purge": lambda w, _: bot_tokens.purge(w, now_ms=1),
    "hooks.register_incoming": lambda w, x: webhooks.register_incoming(w, x.lean.id, "Build", now_ms=1),
    "hooks.register_outgoing": lambda w, x: webhooks.register_outgoing(w, x.lean.id, now_ms=1),
    "hooks.find_room": lambda w, _: webhooks.find_room(w, 5),
    "hooks.forget": lambda w, _: webhooks.forget(w, 5),
    "hooks.telling_rooms": lambda w, _: webhooks.telling_rooms(w, after=5),
    "hooks.may_keep": lambda w, x: webhooks.may_keep(w, x.alice.id, now_ms=1),
    "hibernations.begin": lambda w, x: hibernations.begin(
        w, x.lean.id, size_bytes=1, sha256="0" * 64, file_bytes=1, file_sha256="0" * 64, now_ms=1
    ),
    "hibernations.fall_asleep": lambda w, x: hibernations.fall_asleep(w, _sleeper(x), last_seq=1, now_ms=1),
    "hibernations.wake": lambda w, x: hibernations.wake(w, _sleeper(x), now_ms=1),
    "hibernations.find_asleep": lambda w, x: hibernations.find_asleep(w, x.lean.id),
    "hibernations.asleep": lambda w, _: hibernations.asleep(w, after=5),
    "hibernations.left": lambda w, _: hibernations.left(w, now_ms=1),
    "hibernations.forget": lambda w, x: hibernations.forget(w, _sleeper(x)),
    "hibernations.note_used": lambda w, x: hibernations.note_used(w, [x.lean.id], now_ms=1),
    "hibernations.idle": lambda w, _: hibernations.idle(w, before_ms=1, limit=5),
    "hibernations.put_off": lambda w, x: hibernations.put_off(w, x.lean.id, before_ms=1),
    "failures.note": lambda w, x: failures.note(w, "archive", "7", x.lean.id, "x", tries=1, now_ms=1),
    "failures.forget": lambda w, _: failures.forget(w, "archive", "7"),
    "failures.list_all": lambda w, _: failures.list_all(w),
    "failures.count": lambda w, _: failures.count(w),
    "room_orders.place": lambda w, x: room_orders.place(w, x.lean.id, "wake", now_ms=1),
    "room_orders.unfilled": lambda w, _: room_orders.unfilled(w),
    "room_orders.find": lambda w, x: room_orders.find(w, x.lean.id),
    "room_orders.fill": lambda w, x: room_orders.fill(w, Order(x.lean.id, "wake", None)),
    "room_orders.forget": lambda w, x: room_orders.forget(w, x.lean.id),
    "user_settings.update": lambda w, x: user_settings.update(w, x.alice.id, {"theme": "dark"}, now_ms=1),
    "user_settings.find": lambda w, x: user_settings.find(w, x.alice.id),
    "blocks.add": lambda w, x: blocks.add(w, x.alice.id, x.bob.id, now_ms=1),
    "blocks.remove": lambda w, x: blocks.remove(w, x.alice.id, x.bob.id),
    "blocks.refuse_invite": lambda w, x: blocks.refuse_invite(w, x.alice.id, by=x.bob.id),
    "blocks.around": lambda w, x: blocks.around(w, [x.alice.id, x.bob.id]),
    "blocks.page": lambda w, x: blocks.page(w, x.alice.id),
    "directs.find": lambda w, x: directs.find(w, directs.pair(x.alice.id, x.bob.id)),
    "directs.register": lambda w, x: directs.register(
        w, directs.pair(x.alice.id, x.bob.id), opened_by=x.alice.id, now_ms=1
    ),
    "directs.require_welcome": lambda w, x: directs.require_welcome(w, x.alice.id, [x.bob.id]),
    "directs shared room": lambda w, x: directs._share_a_room(w, x.alice.id, x.bob.id),
    "directs.partners": lambda w, x: directs.partners(w, x.alice.id, [x.lean.id]),
    "capabilities.grant": lambda w, x: capabilities.grant(w, x.alice.id, Capability.ADMIN, by=None, now_ms=1),
    "capabilities.of_user": lambda w, x: capabilities.of_user(w, x.alice.id),
    "capabilities.revoke": lambda w, x: capabilities.revoke(w, x.alice.id, Capability.MODERATOR),
    "capabilities.is_held_beside": lambda w, x: capabilities.is_held_beside(w, x.alice.id, Capability.ADMIN, now_ms=1),
    "capabilities.holders": lambda w, _: capabilities.holders(w, Capability.ADMIN),
    "group_owners.find": lambda w, _: group_owners.find(w, now_ms=1),
    "group_owners.able": lambda w, x: group_owners.able(w, [x.bob.id], now_ms=1),
    "global_bans.add": lambda w, x: global_bans.add(w, x.bob.id, reason="spam", by=None, now_ms=1),
    "global_bans.find": lambda w, x: global_bans.find(w, x.bob.id, now_ms=1),
    "global_bans.list_page": lambda w, _: global_bans.list_page(w, now_ms=1),
    "global_bans.lift": lambda w, x: global_bans.lift(w, x.bob.id),
    "rooms.register": lambda w, x: rooms.register(
        w, kind="community", name="new", display_name="N", owner_id=x.alice.id, rooms_max=9, now_ms=1
    ),
    "rooms.unfinished": lambda w, _: rooms.unfinished(w),
    "rooms.find": lambda w, x: rooms.find(w, x.lean.id),
    "rooms.find_by_name": lambda w, _: rooms.find_by_name(w, "lean"),
    "rooms.find_address": lambda w, x: rooms.find_address(w, x.lean.id),
    "rooms.update": lambda w, x: rooms.update(w, x.lean.id, {"name": "lean5"}, now_ms=1),
    "rooms.change": lambda w, x: rooms.change(w, x.lean.id, {"name": "lean6"}, by=x.alice.id, now_ms=1),
    "rooms.delete": lambda w, x: rooms.delete(w, x.lean.id, by=x.alice.id, now_ms=1),
    "listeners.rooms_of": lambda w, x: listeners.rooms_of(w, [x.alice.id, x.bob.id]),
    "listeners.ends_of": lambda w, x: listeners.ends_of(w, [x.alice.id, x.bob.id]),
    "listeners.memberships": lambda w, x: listeners.memberships(w, [(x.alice.id, x.lean.id)]),
    "room_pages.public": lambda w, _: room_pages.public(w, ["lean", "zoé"], after=(5, 5)),
    "room_pages.of_user": lambda w, x: room_pages.of_user(w, x.alice.id, after=(5, 5)),
    "room_pages.all_rooms": lambda w, _: room_pages.all_rooms(w, after=5),
    "members.add": lambda w, x: members.add(w, x.lean.id, x.bob.id, joined_at=1),
    "members.put": lambda w, x: members.put(w, x.lean.id, x.bob.id, joined_at=1, nickname="B"),
    "members.search": lambda w, x: members.search(w, x.lean.id, "Zoé"),
    "members.find": lambda w, x: members.find(w, x.lean.id, x.bob.id),
    "members.remove": lambda w, x: members.remove(w, x.lean.id, x.bob.id),
    "shards.note_seqs": lambda w, x: shards.note_seqs(w, {x.lean.id: 5}),
    "shards.find": lambda w, x: shards.find(w, x.lean.id),
    "shards.of_rooms": lambda w, x: shards.of_rooms(w, [x.lean.id]),
    "shards.walk": lambda w, x: shards.walk(w, after=5),
    "shards.largest": lambda w, x: shards.largest(w, after=(5, 5)),
    "shards.largest at a level": lambda w, x: shards.largest(w, "warn", after=(5, 5)),
    "shards.least_examined": lambda w, x: shards.least_examined(w, limit=5),
    "shards.bounds": lambda w, x: shards.bounds(w),
    "shards.set_limit": lambda w, x: shards.set_limit(w, x.lean.id, 10**9, by=None, now_ms=1),
    "shards.quarantine": lambda w, x: shards.quarantine(w, x.lean.id, "rust", seen_as=None, now_ms=1),
    "shards.quarantined": lambda w, x: shards.quarantined(w),
    "shards.release": lambda w, x: shards.release(w, x.lean.id),
    "shards.note_examined": lambda w, x: shards.note_examined(w, x.lean.id, now_ms=1),
    "shards.note_tidied": lambda w, x: shards.note_tidied(w, x.lean.id, now_ms=1),
    "rooms.set_full": lambda w, x: rooms.set_full(w, x.lean.id, is_full=True, now_ms=1),
    "sizes.record": lambda w, x: sizes.record(w, [Measurement(x.lean.id, 2, 3, 4, 1, 6, 7, 8)]),
    "sizes.history": lambda w, x: sizes.history(w, x.lean.id, since_ms=1),
    "sizes.thin": thinned,
    "runs.start": lambda w, x: runs.start(w, "check", x.lean.id, by=x.alice.id, now_ms=1),
    "runs.find": running,
    "runs.list_page": lambda w, x: runs.list_page(w, limit=5),
    "runs.note_progress": lambda w, x: runs.note_progress(w, 1, 1, 2, now_ms=1),
    "runs.finish": lambda w, x: runs.finish(w, 1, "done", result={}, now_ms=1),
    "runs.abandon": lambda w, x: runs.abandon(w, now_ms=1),
    "shards.note_release": lambda w, x: shards.note_release(w, x.lean.id, by=None, is_forced=True, now_ms=1),
    "alerts.raise_all": lambda w, x: alerts.raise_all(w, [change(x)], ["log"], now_ms=1),
    "alerts.raise_all of what ended": lambda w, x: alerts.raise_all(w, [ended(x)], ["log"], now_ms=1),
    "alerts.acknowledge_all": lambda w, x: alerts.acknowledge_all(w, None, room_id=x.lean.id, kind=None, now_ms=1),
    "scrubs.due": lambda w, _: scrubs.due(w, before_ms=1, limit=5),
    "scrubs.note": lambda w, x: scrubs.note(w, x.lean.id, "x", now_ms=1),
    "shards.note_damage": lambda w, x: shards.note_damage(w, x.lean.id, "x"),
    "alerts.latest": lambda w, x: alerts.latest(w, x.lean.id, "size"),
    "alerts.list_page": lambda w, x: alerts.list_page(w, is_open=False, limit=5),
    "alerts.list_page of open ones": lambda w, x: alerts.list_page(w, is_open=True, limit=5),
    "alerts.count_open": lambda w, x: alerts.count_open(w),
    "alerts.acknowledge": acknowledged,
    "alerts.waiting": lambda w, x: alerts.waiting(w, limit=5, now_ms=1),
    "alerts.note_told": lambda w, x: alerts.note_told(w, 1, "log", now_ms=1),
    "alerts.note_failed": lambda w, x: alerts.note_failed(w, 1, "log", 1, "x", now_ms=1),
    "storage.used": lambda w, x: storage.used(w, x.alice.id),
    "storage.reserve": lambda w, x: storage.reserve(w, x.alice.id, x.lean.id, 5, user_bytes_max=9, now_ms=1),
    "storage.release": lambda w, x: storage.release(w, x.lean.id, {x.alice.id: 5}),
    "storage.has_files": lambda w, x: storage.has_files(w, x.lean.id),
    "storage.take_due": lambda w, _: storage.take_due(w, limit=5, now_ms=1),
    "storage.go_on": lambda w, x: storage.go_on(w, x.lean.id, place="", due_at=1),
    "storage.recount": lambda w, x: storage.recount(w, x.lean.id, {x.alice.id: 5}, now_ms=1),
    "invites.create": lambda w, x: invites.create(w, x.lean.id, by=x.alice.id, now_ms=1),
    "invites.of_room": lambda w, x: invites.of_room(w, x.lean.id, by=x.alice.id, now_ms=1),
    "invites.find": lambda w, x: invites.find(w, x.lean.id, "x" * 16),
    "invites.usable_codes": lambda w, x: invites.usable_codes(w, x.lean.id, x.alice.id, now_ms=1),
    "invites.revoke_of_maker": lambda w, x: invites.revoke_of_maker(w, x.lean.id, x.alice.id, now_ms=1),
    "invites.revoke": lambda w, _: invites.revoke(w, "x" * 16, now_ms=1),
    "audit.append": lambda w, x: audit.append(w, audit.Action.JOB_STARTED, by=x.alice.id, now_ms=1),
    "audit.addresses_of": lambda w, x: audit.addresses_of(w, x.alice.id),
    "audit.verify": lambda w, _: audit.verify(w),
    "audit.list_page": lambda w, _: audit.list_page(w, before=5),
    "audit.list_page actor": lambda w, x: audit.list_page(w, Filter(user_id=x.alice.id), before=5),
    "audit.list_page action": lambda w, _: audit.list_page(w, Filter(action="room.created"), before=5),
    "audit.list_page resource": lambda w, x: audit.list_page(w, Filter(resource=("room", x.lean.id)), before=5),
    "audit.list_page all": lambda w, x: audit.list_page(w, Filter(x.alice.id, "room.created", ("room", 5)), before=5),
}


@pytest.mark.parametrize("name", CALLS)
async def test_common_queries_use_indexes(world: Any, name: str) -> None:
    """No statement of this function reads a whole table or sorts what an index could have given in order."""
    async with world.database.write() as writer:
        recorder = Recorder(writer)
        await CALLS[name](recorder, world)
        assert recorder.ran
        assert await faults(recorder) == []


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id FROM users WHERE bio = ?",
        "SELECT id FROM users WHERE lower(username) = ?",
        "SELECT id FROM rooms WHERE name = ?",
        "SELECT user_id FROM room_members WHERE user_id = ? ORDER BY nickname",
        "DELETE FROM sessions WHERE ip = ?",
        "SELECT count(*) FROM users WHERE username <> ?",
        "SELECT id FROM users WHERE locale = ? AND id < 5 ORDER BY id DESC",
    ],
)
async def test_bad_queries_are_found(database: Database, sql: str) -> None:
    """The check finds scans, functions over indexed columns, missed partial indexes and sorts by hand."""
    async with database.write() as writer:
        recorder = Recorder(writer)
        await recorder.fetch_all(sql, (UserId(1),))
        assert len(await faults(recorder)) == 1
