"""One room as those hear it who listen: what was committed, in commit order, to who may see it then.

A connection begins asleep, at the number that it was told of; the first event of the room wakes it. It then goes
through the log from its place to where the live ones are, and joins them: nothing twice, nothing left out. What
somebody sees is asked of the shard; an event that changes it closes a gate before anybody hears it, until the shard was
asked anew, so whoever was shut out hears nothing of that commit or of later ones.
"""

import asyncio
import logging
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

from ids import ChannelId, RoomId, UserId
from router.gateway import frames
from router.gateway.connections import LIVE, Connection
from router.gateway.frames import Rendered
from router.gateway.groups import Group, parted, seen_by
from router.gateway.tallies import Tallies
from router.gateway.tapes import Library, Tape, is_whole
from router.gateway.watches import Watches
from shard.acts import watching
from shard.audiences import Audience
from shard.errors import ShardError
from shard.pool import ShardPool
from shard.rows import Event

log = logging.getLogger(__name__)

REPLAY_EVENTS_MAX: Final = 100_000
"""Events of one room that a client is told of which it missed; who missed more reads the history instead."""
RETRY_SECONDS: Final = 1.0
"""How long to wait before a shard that failed is asked again."""
OF_ONE_MEMBER: Final = frozenset(
    {"member.joined", "member.left", "member.kicked", "member.promoted", "member.demoted", "role.granted",
     "role.revoked"}
)  # fmt: skip
"""Events that change what one member sees, and nobody else."""
HARMLESS: Final = frozenset({"message", "reaction", "thread", "voice", "webhook", "member"})
"""First words of events that change nothing of what anybody sees, but for those above."""
HARMLESS_OF_ROOM: Final = frozenset({"room.updated", "room.reordered"})
ROOM_DELETED: Final = "room.deleted"


class LiveRoom:
    """The listeners of one room. Lives on the event loop; everything but `enter` returns at once."""

    def __init__(self, room_id: RoomId, pool: ShardPool, library: Library, tallies: Tallies) -> None:
        self.room_id = room_id
        self._tallies = tallies
        self._watches = Watches(lambda user_ids: pool.read(room_id, watching.watch, user_ids))
        self._tape = Tape(room_id, library, lambda after, until: pool.read(room_id, watching.replay, after, until))
        self._library = library
        self._listeners: dict[UserId, set[Connection]] = {}
        self._groups: dict[Audience, Group] = {}
        self._asleep: set[Connection] = set()
        self._since: dict[Connection, int] = {}
        """The last number before a connection began to listen: what is above it is no past to it."""
        self._changed_at = 0
        """The last number with which somebody's sight changed."""
        self._seq: int | None = None
        self._pump: asyncio.Task[None] | None = None
        self._doubts: set[asyncio.Task[None]] = set()
        self._opened = asyncio.Event()
        self._opened.set()

    @property
    def is_empty(self) -> bool:
        """Whether nobody listens."""
        return not self._listeners

    def people(self) -> Collection[UserId]:
        """Return who listens."""
        return self._listeners.keys()

    def connections_of(self, user_id: UserId) -> Collection[Connection]:
        """Return somebody's connections that listen."""
        return self._listeners.get(user_id, ())

    def listen(self, connection: Connection, place: int, *, is_asleep: bool = True) -> None:
        """Have a connection hear what comes after a number: it sleeps until something does, or is to `resume`."""
        connection.places[self.room_id] = place
        self._listeners.setdefault(connection.user_id, set()).add(connection)
        if is_asleep:
            self._since[connection] = place
            self._asleep.add(connection)

    def stop(self, connection: Connection) -> None:
        """Let a connection hear nothing more."""
        connection.places.pop(self.room_id, None)
        self._asleep.discard(connection)
        self._since.pop(connection, None)
        for audience, group in list(self._groups.items()):
            group.members.discard(connection)
            if not group.members:
                del self._groups[audience]
        own = self._listeners.get(connection.user_id, set())
        own.discard(connection)
        if not own:
            self._listeners.pop(connection.user_id, None)
            self._watches.leave_out(connection.user_id)

    def close(self) -> None:
        """End what is under way; nobody hears anything more."""
        for task in (self._pump, *self._doubts):
            if task is not None:
                task.cancel()

    def publish(self, events: Sequence[Event]) -> None:
        """Tell of a commit, at once unless somebody's sight changed with it."""
        before = events[0].seq - 1
        if self._seq is None:
            self._seq = self._tape.last = before
        events = [event for event in events if event.seq > self._tape.last]
        if events:
            rendered = self._tape.add(events)
            changes_sight = self._note(events)
            if changes_sight:
                self._changed_at = events[-1].seq
            if changes_sight or self._pump is not None or events[0].seq != self._seq + 1:
                self._close_gate()
            else:
                self._tell(rendered)
        self._wake(before)

    def _tell(self, rendered: Sequence[Rendered]) -> None:
        """Tell the live ones of what comes next."""
        self._seq = rendered[-1].seq
        heard = 0
        for group in self._groups.values():
            heard += group.tell(self.room_id, rendered) * len(group.members)
        self._tallies.told(rendered, heard)

    def _note(self, events: Iterable[Event]) -> bool:
        """Forget what is known of whoever may see something else now, and return whether that is anybody."""
        changes_sight = False
        for event in events:
            if event.type in OF_ONE_MEMBER:
                user_id = UserId(int((event.payload or {}).get("user_id") or event.actor_id or 0))
                self._watches.forget(user_id)
                changes_sight |= user_id in self._listeners
            elif event.type.partition(".")[0] not in HARMLESS and event.type not in HARMLESS_OF_ROOM:
                self._watches.forget_all()
                changes_sight = True
        return changes_sight

    def _close_gate(self) -> None:
        self._opened.clear()
        if self._pump is None:
            self._pump = asyncio.ensure_future(self._catch_up())

    async def _catch_up(self) -> None:
        """Bring the live ones from where they are to the end of the log, each with what they see now; then open."""
        try:
            while await self._step():
                pass
        finally:
            self._pump = None
            for group in self._groups.values():
                group.gone = frozenset()
            self._opened.set()

    async def _step(self) -> bool:
        """Do what is next, and return whether there is more to do."""
        assert self._seq is not None
        try:
            if unseen := self._unseen():
                await self._regroup(unseen)
            elif self._seq >= self._tape.last:
                return False
            else:
                rendered = await self._tape.stretch(self._seq)
                if not self._unseen():
                    self._go_on_with(rendered)
        except ShardError as error:
            log.warning("listeners wait for their room", extra={"room_id": self.room_id, "reason": str(error)})
            await asyncio.sleep(RETRY_SECONDS)
        except Exception:  # the log is the truth: it is read again
            log.exception("telling of a commit failed", extra={"room_id": self.room_id})
            await asyncio.sleep(RETRY_SECONDS)
        return True

    def _go_on_with(self, rendered: Sequence[Rendered]) -> None:
        assert self._seq is not None
        if not is_whole(rendered, self._seq):
            # The log has no longer what they were to be told.
            self._seq = self._tape.last
            for group in self._groups.values():
                for connection in group.members:
                    self._resync(connection, "too_old")
            return
        self._tell(rendered)
        if any(one.type == ROOM_DELETED for one in rendered):
            for user_id in list(self._listeners):
                self.remove(user_id, "room_deleted")

    def _unseen(self) -> set[UserId]:
        """Return the live users of whom it is not known what they see."""
        users = {connection.user_id for group in self._groups.values() for connection in group.members}
        return {user_id for user_id in users if self._watches.known(user_id) is None}

    async def _regroup(self, unseen: set[UserId]) -> None:
        """Ask what some see now, and put everybody where they belong."""
        watch = await self._watches.ask(unseen)
        if watch is None or self._seq is None:
            return
        for group in self._groups.values():
            group.break_silence(self.room_id, self._seq)
        before = {connection: group.audience for group in self._groups.values() for connection in group.members}
        self._groups = {}
        for connection, audience in before.items():
            # What changed since the answer is asked anew.
            now = self._watches.known(connection.user_id) or audience
            group = self._join(connection, now)
            if audience.seen != now.seen:
                group.gone |= audience.seen - now.seen
                connection.write(frames.told("channels", self._channels(now)))
        for user_id in unseen - watch.audiences.keys():
            self.remove(user_id, "not_a_member")

    def _channels(self, audience: Audience) -> dict[str, Any]:
        return {"room_id": str(self.room_id), "channel_ids": [str(channel_id) for channel_id in sorted(audience.seen)]}

    def _join(self, connection: Connection, audience: Audience) -> Group:
        group = self._groups.get(audience)
        if group is None:
            group = self._groups[audience] = Group(audience)
        group.members.add(connection)
        connection.places[self.room_id] = LIVE
        return group

    def remove(self, user_id: UserId, reason: str) -> None:
        """Let somebody hear nothing more who is not in the room any more, and tell them so."""
        for connection in list(self.connections_of(user_id)):
            self.stop(connection)
            connection.write(frames.told("removed", {"room_id": str(self.room_id), "reason": reason}))

    def _wake(self, before: int) -> None:
        """Have those who sleep hear the room; up to `before` it is their past, wherever they were told it ended."""
        asleep, self._asleep = self._asleep, set()
        for connection in asleep:
            self._since[connection] = max(before, self._since[connection])
            connection.start(self._enter_alone(connection))

    async def resume(self, connection: Connection) -> None:
        """Bring a connection from its place to the live ones, and tell it when it is there; where the shard fails, that
        goes on by itself when it is back."""
        behind_from = connection.places[self.room_id]
        try:
            await self._enter(connection, says_so=True)
            self._tallies.resumed(max(0, (self._seq or 0) - behind_from))
        except ShardError:
            connection.start(self._enter_alone(connection, says_so=True))

    async def _enter_alone(self, connection: Connection, *, says_so: bool = False) -> None:
        while self._place(connection) != LIVE:
            try:
                await self._enter(connection, says_so=says_so)
            except ShardError as error:
                log.info("a listener waits for its room", extra={"room_id": self.room_id, "reason": str(error)})
                await asyncio.sleep(RETRY_SECONDS)

    def _place(self, connection: Connection) -> int:
        """Return a connection's place in the log; LIVE too when it does not listen here any more."""
        is_here = connection in self.connections_of(connection.user_id)
        return connection.places.get(self.room_id, LIVE) if is_here else LIVE

    async def _enter(self, connection: Connection, *, says_so: bool) -> None:
        """Tell a connection what it missed, as far as it may see that now; then have it join the live ones.

        It ends early when the connection stops listening. Raises what reading the shard raises; how far it came is kept
        in the connection's places, so entering can be tried again.
        """
        self._asleep.discard(connection)
        while (place := self._place(connection)) != LIVE:
            audience = self._watches.known(connection.user_id)
            if audience is None or self._seq is None:
                await self._look(connection.user_id)
            elif place == self._seq and self._pump is None:
                self._join(connection, audience)
                if not says_so and self._changed_at > self._since.get(connection, place):
                    connection.write(frames.told("channels", self._channels(audience)))
                if says_so:
                    connection.write(frames.told("resumed", {**self._channels(audience), "seq": place}))
            elif place < self._seq:
                await self._tell_past(connection, place)
            elif self._pump is not None:
                await self._opened.wait()
            else:
                await self._look_ahead(connection, place)

    async def _look(self, user_id: UserId) -> None:
        """Ask what somebody sees; whoever comes first learns how far the log goes."""
        watch = await self._watches.ask([user_id])
        if watch is None:
            return
        if self._seq is None:
            self._seq = self._tape.last = watch.last_seq
        if user_id not in watch.audiences:
            self.remove(user_id, "not_a_member")

    async def _look_ahead(self, connection: Connection, place: int) -> None:
        """See whether the log goes on behind what was published, as it does while a commit is on its way here."""
        watch = await self._watches.ask([connection.user_id])
        if watch is None:
            return
        if place > max(watch.last_seq, self._tape.last):
            self._resync(connection, "ahead")
        else:
            self._reach(watch.last_seq)

    def _reach(self, last_seq: int) -> None:
        """Tell the live ones of what is in the log and was not published."""
        if self._seq is not None and last_seq > self._tape.last:
            self._tape.last = last_seq
            self._close_gate()

    async def _doubt(self) -> None:
        while True:
            await asyncio.sleep(RETRY_SECONDS)
            try:
                watch = await self._watches.ask(())
            except ShardError as error:
                log.info("a room is waited for", extra={"room_id": self.room_id, "reason": str(error)})
            else:
                if watch is not None:
                    self._reach(watch.last_seq)
                    self._wake(0)
                    return

    def doubt(self) -> None:
        """Look into the log as soon as it can be read: it may have what was never published."""
        task = asyncio.ensure_future(self._doubt())
        self._doubts.add(task)
        task.add_done_callback(self._doubts.discard)

    def _resync(self, connection: Connection, reason: str) -> None:
        """Have a client read the history instead, and hear what comes from now on."""
        assert self._seq is not None
        if connection.places.get(self.room_id) != LIVE:
            connection.places[self.room_id] = self._seq
        facts = {"room_id": str(self.room_id), "seq": self._seq, "reason": reason}
        connection.write(frames.told("resync", facts))

    async def _tell_past(self, connection: Connection, place: int) -> None:
        """Tell a connection of the next events that it missed."""
        watch = self._watches.last
        assert watch is not None, "who sees something was told by a watch"
        if place + 1 < watch.first_seq or self._tape.last - place > REPLAY_EVENTS_MAX:
            self._resync(connection, "too_old")
            return
        await connection.drain()
        # What happened since somebody listens is no past to them: it does not wait.
        async with self._library.turns.taken(gives_way=place < self._since.get(connection, self._tape.last)):
            await self._tell_block(connection, place)

    async def _tell_block(self, connection: Connection, place: int) -> None:
        rendered = await self._tape.stretch(place)
        audience = self._watches.known(connection.user_id)
        if audience is None or self._place(connection) != place:
            return
        since = self._since.setdefault(connection, self._tape.last)
        channels = audience.seen if place >= since else audience.read
        if audience.seen != audience.read:
            rendered = [one for one in rendered if one.seq <= since] if place < since else rendered
        if not is_whole(rendered, place):
            self._resync(connection, "too_old")
            return
        last = rendered[-1].seq

        def make() -> bytes:
            return frames.events(self.room_id, *parted(rendered, seen_by(audience, channels)))

        key = (self.room_id, self._tape.edition, place, last, audience, channels)
        connection.write(self._library.framed(key, make))
        connection.places[self.room_id] = last

    async def whisper(self, frame: bytes, channel_id: ChannelId, *, but: UserId) -> None:
        """Tell who sees a channel of something that is no event, all but one person; those who sleep wake up for it.

        Raises what reading the shard raises.
        """
        asleep = {connection.user_id for connection in self._asleep}
        unknown = {user_id for user_id in asleep if self._watches.known(user_id) is None}
        if unknown:
            await self._watches.ask(unknown)
        for user_id, own in self._listeners.items():
            audience = self._watches.known(user_id)
            if user_id != but and audience is not None and channel_id in audience.seen:
                for connection in own:
                    connection.write(frame)

    def break_silence(self) -> None:
        """Tell everybody how far the log goes, where the last events were not theirs to see."""
        if self._pump is None and self._seq is not None:
            for group in self._groups.values():
                group.break_silence(self.room_id, self._seq)
