"""Caches of frequent lookups: viewers by token, addresses of rooms, terms of chats, profiles of users.

An entry is dropped when a commit makes it stale (`changes`), not before and never by time. The result of a load that
was under way during such a commit is returned but not kept: it may have read the earlier rows.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable
from typing import Final, Generic, TypeVar

import ids
from database.database import EverythingChanged
from directory import bot_tokens, directs, errors, hibernations, rooms, sessions, users
from directory.changes import BlockChanged, Change, MembersChanged, RoomChanged, SessionChanged, UserChanged
from directory.database import Database
from directory.directs import Terms
from directory.rooms import RoomAddress
from directory.sessions import SLIDE_EVERY_MS, Viewer
from directory.users import Profile

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

PROFILES_MAX: Final = 20_000
"""Profiles in memory; the longest unused is dropped first."""
ROOMS_MAX: Final = 20_000
"""Places and states of rooms in memory, likewise."""
CHATS_MAX: Final = 20_000
"""Direct chats in memory, likewise: about 300 bytes each, a few megabytes at most."""


class Recent(Generic[K, V]):
    """A cache of at most `entries_max` entries, the least recently used dropped first; `generation` counts drops."""

    def __init__(self, entries_max: int) -> None:
        self._entries: OrderedDict[K, V] = OrderedDict()
        self._entries_max = entries_max
        self.generation = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K) -> V | None:
        value = self._entries.get(key)
        if value is not None:
            self._entries.move_to_end(key)
        return value

    def keep(self, key: K, value: V, *, read_at: int) -> None:
        """Keep a value read when the generation was `read_at`, unless something was dropped since."""
        if read_at != self.generation:
            return
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > self._entries_max:
            self._entries.popitem(last=False)

    def drop(self, key: K) -> None:
        self.generation += 1
        self._entries.pop(key, None)

    def drop_where(self, is_stale: Callable[[V], bool]) -> None:
        self.generation += 1
        for key in [key for key, value in self._entries.items() if is_stale(value)]:
            del self._entries[key]

    def clear(self) -> None:
        self.generation += 1
        self._entries.clear()


class SessionCache:
    """Viewers by token hash, people and bots. Also collects the uses of tokens and writes them together in `flush`,
    which extends sessions."""

    def __init__(self, database: Database, *, session_ms: int, entries_max: int) -> None:
        self._database = database
        self._session_ms = session_ms
        self._entries_max = entries_max
        self._viewers: Recent[bytes, Viewer] = Recent(entries_max)
        self._seen: dict[bytes, int] = {}
        self._expired: set[bytes] = set()
        database.listen(self._notice)

    def peek(self, token_hash: bytes, *, now_ms: int) -> Viewer | None:
        """Return the viewer of a token if it is cached; None only means that it is not: ask `load`."""
        viewer = self._viewers.get(token_hash)
        return None if viewer is None else self._alive(viewer, now_ms)

    async def load(self, token_hash: bytes, *, of_bot: bool = False, now_ms: int) -> Viewer | None:
        """Return the viewer of a token; None for unknown, ended and expired ones and for users who may not act."""
        read_at = self._viewers.generation
        find = bot_tokens.find_viewer if of_bot else sessions.find_viewer
        async with self._database.read() as reader:
            viewer = await find(reader, token_hash, now_ms=now_ms)
        if viewer is None or self._alive(viewer, now_ms) is None:
            return None
        self._viewers.keep(token_hash, viewer, read_at=read_at)
        return viewer

    async def load_many(self, token_hashes: Collection[bytes], *, now_ms: int) -> dict[bytes, Viewer]:
        """Return the viewers of sessions' tokens, with one read; hashes without a viewer are left out."""
        read_at = self._viewers.generation
        async with self._database.read() as reader:
            found = await sessions.find_viewers(reader, token_hashes, now_ms=now_ms)
        alive = {key: viewer for key, viewer in found.items() if self._alive(viewer, now_ms) is not None}
        for key, viewer in alive.items():
            self._viewers.keep(key, viewer, read_at=read_at)
        return alive

    def _alive(self, viewer: Viewer, now_ms: int) -> Viewer | None:
        """Return a viewer unless expired: once found expired it stays so, even if the clock steps back, and `flush`
        deletes it."""
        if viewer.token_hash in self._expired:
            return None
        if now_ms >= viewer.expires_at:
            self._expired.add(viewer.token_hash)
            self._viewers.drop(viewer.token_hash)
            return None
        if now_ms - viewer.last_seen_at >= SLIDE_EVERY_MS and len(self._seen) < self._entries_max:
            self._seen[viewer.token_hash] = now_ms
        return viewer

    async def flush(self, *, now_ms: int) -> None:
        """Write the uses of tokens and delete the expired ones; call it every minute or so."""
        seen, self._seen = self._seen, {}
        expired = frozenset(self._expired)
        try:
            async with self._database.write() as writer:
                for token_hash in expired:
                    await sessions.end(writer, token_hash)
                    await bot_tokens.end(writer, token_hash)
                await bot_tokens.note_use(writer, seen)
                await sessions.slide(writer, seen, session_ms=self._session_ms, now_ms=now_ms)
                await sessions.purge(writer, now_ms=now_ms)
                await bot_tokens.purge(writer, now_ms=now_ms)
        except BaseException:
            self._seen = seen | self._seen
            raise
        self._expired -= expired

    def _notice(self, change: Change) -> None:
        match change:
            case SessionChanged(token_hash):
                self._viewers.drop(token_hash)
            case UserChanged(user_id):
                self._viewers.drop_where(lambda viewer: user_id in (viewer.user_id, viewer.owner_id))
            case EverythingChanged():
                self._viewers.clear()
            case RoomChanged() | MembersChanged() | BlockChanged():
                pass


class RoomCache:
    """Addresses of rooms by id."""

    def __init__(self, database: Database, *, entries_max: int = ROOMS_MAX) -> None:
        self._database = database
        self._addresses: Recent[ids.RoomId, RoomAddress] = Recent(entries_max)
        self._used: set[ids.RoomId] = set()
        database.listen(self._notice)

    def peek(self, room_id: ids.RoomId) -> RoomAddress | None:
        """Return the address of a room if it is cached; None only means that it is not: ask `load`."""
        address = self._addresses.get(room_id)
        if address is not None:
            self._used.add(room_id)
        return address

    async def load(self, room_id: ids.RoomId) -> RoomAddress:
        """Return the address of a room in any state but deleted; raises RoomNotFoundError."""
        read_at = self._addresses.generation
        async with self._database.read() as reader:
            address = await rooms.find_address(reader, room_id)
        if address is None:
            raise errors.RoomNotFoundError(room_id)
        self._addresses.keep(room_id, address, read_at=read_at)
        self._used.add(room_id)
        return address

    async def flush(self, *, now_ms: int) -> None:
        """Write the uses of rooms; call it every minute or so."""
        used, self._used = self._used, set()
        if not used:
            return
        try:
            async with self._database.write() as writer:
                await hibernations.note_used(writer, used, now_ms=now_ms)
        except BaseException:
            self._used |= used
            raise

    def _notice(self, change: Change) -> None:
        match change:
            case RoomChanged(room_id):
                self._addresses.drop(room_id)
            case EverythingChanged():
                self._addresses.clear()
            case SessionChanged() | UserChanged() | MembersChanged() | BlockChanged():
                pass


class ChatCache:
    """Terms of direct chats by room id, so that a message in one mostly needs no read of the directory."""

    def __init__(self, database: Database, *, entries_max: int = CHATS_MAX) -> None:
        self._database = database
        self._terms: Recent[ids.RoomId, Terms] = Recent(entries_max)
        database.listen(self._notice)

    def peek(self, room_id: ids.RoomId) -> Terms | None:
        """Return the terms of a chat if they are cached; None only means that they are not: ask `load`."""
        return self._terms.get(room_id)

    async def load(self, room_id: ids.RoomId) -> Terms:
        """Return the terms of a chat; raises RoomNotFoundError for rooms that are none."""
        read_at = self._terms.generation
        async with self._database.read() as reader:
            terms = await directs.terms(reader, room_id)
        self._terms.keep(room_id, terms, read_at=read_at)
        return terms

    def _notice(self, change: Change) -> None:
        match change:
            case UserChanged(user_id):
                self._terms.drop_where(lambda terms: user_id in terms.pair)
            case EverythingChanged():
                self._terms.clear()
            case SessionChanged() | RoomChanged() | MembersChanged() | BlockChanged():
                pass


class ProfileCache:
    """Profiles by user id, for the users that are side-loaded with every page of messages."""

    def __init__(self, database: Database, *, entries_max: int = PROFILES_MAX) -> None:
        self._database = database
        self._profiles: Recent[ids.UserId, Profile] = Recent(entries_max)
        database.listen(self._notice)

    def peek(self, user_id: ids.UserId) -> Profile | None:
        """Return a profile if it is cached; None only means that it is not: ask `load`."""
        return self._profiles.get(user_id)

    async def load(self, user_ids: Collection[ids.UserId]) -> dict[ids.UserId, Profile]:
        """Return these users' profiles, with at most one read; unknown ids are left out."""
        found = {user_id: profile for user_id in user_ids if (profile := self._profiles.get(user_id)) is not None}
        missing = [user_id for user_id in dict.fromkeys(user_ids) if user_id not in found]
        if missing:
            read_at = self._profiles.generation
            async with self._database.read() as reader:
                read = await users.profiles(reader, missing)
            for user_id, profile in read.items():
                self._profiles.keep(user_id, profile, read_at=read_at)
            found |= read
        return found

    def _notice(self, change: Change) -> None:
        match change:
            case UserChanged(user_id):
                self._profiles.drop(user_id)
            case EverythingChanged():
                self._profiles.clear()
            case SessionChanged() | RoomChanged() | MembersChanged() | BlockChanged():
                pass
