"""Hot lookups kept in memory: who a token speaks for, where a room is, what a user is called.

An entry goes when a commit changes what it says (`changes`), not before and never by time. A load that was under way
while such a commit came in is answered but not kept: it may have read the rows of before.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable
from typing import Final, Generic, TypeVar

import ids
from directory import bot_tokens, directs, errors, hibernations, rooms, sessions, users
from directory.changes import Change, EverythingChanged, MembersChanged, RoomChanged, SessionChanged, UserChanged
from directory.database import Database
from directory.directs import Terms
from directory.rooms import RoomAddress
from directory.sessions import SLIDE_EVERY_MS, Viewer
from directory.users import Profile

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

PROFILES_MAX: Final = 20_000
ROOMS_MAX: Final = 20_000
CHATS_MAX: Final = 20_000
"""About 300 bytes each: a few megabytes at most."""


class Recent(Generic[K, V]):
    """At most `entries_max` entries, the least recently used one leaves first; `generation` counts what was dropped."""

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
        """Keep what was read when the generation was `read_at`, unless something was dropped since."""
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
    """Viewers by token hash, people and bots. Also collects which tokens were used, and writes that down together in
    `flush`, where sessions slide."""

    def __init__(self, database: Database, *, session_ms: int, entries_max: int) -> None:
        self._database = database
        self._session_ms = session_ms
        self._entries_max = entries_max
        self._viewers: Recent[bytes, Viewer] = Recent(entries_max)
        self._seen: dict[bytes, int] = {}
        self._expired: set[bytes] = set()
        database.listen(self._notice)

    def peek(self, token_hash: bytes, *, now_ms: int) -> Viewer | None:
        """Return who a token speaks for if that is known here; None says nothing: ask `load`."""
        viewer = self._viewers.get(token_hash)
        return None if viewer is None else self._alive(viewer, now_ms)

    async def load(self, token_hash: bytes, *, of_bot: bool = False, now_ms: int) -> Viewer | None:
        """Return who a token speaks for; None for unknown, ended and expired ones and for users who may not act."""
        read_at = self._viewers.generation
        find = bot_tokens.find_viewer if of_bot else sessions.find_viewer
        async with self._database.read() as reader:
            viewer = await find(reader, token_hash, now_ms=now_ms)
        if viewer is None or self._alive(viewer, now_ms) is None:
            return None
        self._viewers.keep(token_hash, viewer, read_at=read_at)
        return viewer

    async def load_many(self, token_hashes: Collection[bytes], *, now_ms: int) -> dict[bytes, Viewer]:
        """Return who the tokens of sessions speak for, with one read; hashes that open nothing are left out."""
        read_at = self._viewers.generation
        async with self._database.read() as reader:
            found = await sessions.find_viewers(reader, token_hashes, now_ms=now_ms)
        alive = {key: viewer for key, viewer in found.items() if self._alive(viewer, now_ms) is not None}
        for key, viewer in alive.items():
            self._viewers.keep(key, viewer, read_at=read_at)
        return alive

    def _alive(self, viewer: Viewer, now_ms: int) -> Viewer | None:
        """What was once seen expired stays so, whatever the clock says later; `flush` makes it so for good."""
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
        """Write down which tokens were used and delete those whose time has passed; call it every minute or so."""
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
            case RoomChanged() | MembersChanged():
                pass


class RoomCache:
    """Addresses of rooms by id."""

    def __init__(self, database: Database, *, entries_max: int = ROOMS_MAX) -> None:
        self._database = database
        self._addresses: Recent[ids.RoomId, RoomAddress] = Recent(entries_max)
        self._used: set[ids.RoomId] = set()
        database.listen(self._notice)

    def peek(self, room_id: ids.RoomId) -> RoomAddress | None:
        """Return where a room is if that is known here; None says nothing: ask `load`."""
        address = self._addresses.get(room_id)
        if address is not None:
            self._used.add(room_id)
        return address

    async def load(self, room_id: ids.RoomId) -> RoomAddress:
        """Return where a room is, in any state but deleted; raises RoomNotFoundError."""
        read_at = self._addresses.generation
        async with self._database.read() as reader:
            address = await rooms.find_address(reader, room_id)
        if address is None:
            raise errors.RoomNotFoundError(room_id)
        self._addresses.keep(room_id, address, read_at=read_at)
        self._used.add(room_id)
        return address

    async def flush(self, *, now_ms: int) -> None:
        """Write down which rooms were used; call it every minute or so."""
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
            case SessionChanged() | UserChanged() | MembersChanged():
                pass


class ChatCache:
    """Who may write in a direct chat, by room id: a message there asks the directory nothing that is known here."""

    def __init__(self, database: Database, *, entries_max: int = CHATS_MAX) -> None:
        self._database = database
        self._terms: Recent[ids.RoomId, Terms] = Recent(entries_max)
        database.listen(self._notice)

    def peek(self, room_id: ids.RoomId) -> Terms | None:
        """Return the terms of a chat if they are known here; None says nothing: ask `load`."""
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
            case SessionChanged() | RoomChanged() | MembersChanged():
                pass


class ProfileCache:
    """Profiles by user id, for the users that are side-loaded with every page of messages."""

    def __init__(self, database: Database, *, entries_max: int = PROFILES_MAX) -> None:
        self._database = database
        self._profiles: Recent[ids.UserId, Profile] = Recent(entries_max)
        database.listen(self._notice)

    def peek(self, user_id: ids.UserId) -> Profile | None:
        """Return a profile if it is known here; None says nothing: ask `load`."""
        return self._profiles.get(user_id)

    async def load(self, user_ids: Collection[ids.UserId]) -> dict[ids.UserId, Profile]:
        """Return these users' profiles, with at most one read; ids that nobody has are left out."""
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
            case SessionChanged() | RoomChanged() | MembersChanged():
                pass
