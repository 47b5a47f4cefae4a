"""Listeners against the log: whatever is done in a room, all at the same time, each hears exactly what is theirs."""

import asyncio
import os
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ids import ChannelId, RoomId, UserId
from router.gateway.event_buffer import BlockCache
from router.gateway.live_room import LiveRoom
from router.gateway.metrics import GatewayMetrics
from shard import permissions
from shard.actions import channels, members, messages, moderation, overwrites
from shard.errors import RejectedError
from shard.permissions import Overwrite
from shard.rows import Event
from tests.router.listening import Listener
from tests.shard import stage
from tests.shard.stage import ANNA, BEN, OWNER, Room, Stage

EXAMPLES = int(os.environ.get("ROOKERY_GATEWAY_EXAMPLES", "100"))
CHANNELS = ("general", "other")
PEOPLE = (ANNA, BEN)
MEMBERS = st.sampled_from(PEOPLE)
WHERE = st.sampled_from(CHANNELS)
ACTS = st.one_of(
    st.tuples(st.just("send"), WHERE),
    st.tuples(st.just("send"), WHERE),
    st.tuples(st.just("edit"), WHERE),
    st.tuples(st.just("delete"), WHERE),
    st.tuples(st.just("hide"), WHERE, st.booleans()),
    st.tuples(st.just("allow"), WHERE, MEMBERS, st.booleans()),
    st.tuples(st.just("kick"), MEMBERS),
    st.tuples(st.just("join"), MEMBERS),
    st.tuples(st.just("come"), MEMBERS),
    st.tuples(st.just("resume"), MEMBERS),
    st.tuples(st.just("go"), MEMBERS),
)
BURSTS = st.lists(st.lists(ACTS, min_size=4, max_size=16), min_size=1, max_size=6)


class Scene:
    """A room, its listeners, and what they are held against."""

    def __init__(self, it: Stage, room: Room, live: LiveRoom) -> None:
        self.it, self.room, self.live = it, room, live
        self.listeners = {user_id: Listener(user_id) for user_id in PEOPLE}
        self.starts: dict[UserId, int] = {}
        self.sent: list[Any] = []

    async def do(self, act: tuple[Any, ...]) -> None:
        """Do one thing; what is refused is refused."""
        verb, *given_ = act
        try:
            await getattr(self, verb)(*given_)
        except RejectedError:
            return

    def write(self, act: Callable[..., Any], *arguments: Any, **options: Any) -> Awaitable[Any]:
        return self.it.pool.write(self.room.id, act, *arguments, **options, now_ms=self.it.now_ms)

    def channel(self, name: str) -> ChannelId:
        return self.room.channels[name]

    async def send(self, channel: str) -> None:
        self.sent.append((await self.it.send(self.room, "secret", user_id=OWNER, channel=channel)).message)

    async def edit(self, channel: str) -> None:
        for message in self.sent[-1:]:
            await self.write(messages.edit_message, OWNER, message.channel_id, message.id, f"changed {len(self.sent)}")

    async def delete(self, channel: str) -> None:
        if self.sent:
            message = self.sent.pop()
            await self.write(messages.delete_message, OWNER, message.channel_id, message.id)

    async def hide(self, channel: str, is_private: bool) -> None:
        await self.write(channels.edit_channel, OWNER, self.channel(channel), {"is_private": is_private})

    async def allow(self, channel: str, user_id: UserId, is_allowed: bool) -> None:
        view = Overwrite(permissions.VIEW_CHANNEL, 0) if is_allowed else None
        await self.write(overwrites.set_in_channel, OWNER, self.channel(channel), ("member", user_id), view)

    async def kick(self, user_id: UserId) -> None:
        await self.write(moderation.kick, OWNER, user_id, reason=None)

    async def join(self, user_id: UserId) -> None:
        await self.write(members.join, user_id)

    async def come(self, user_id: UserId) -> None:
        if self.listeners[user_id].connection is None and user_id not in self.starts:
            self.starts[user_id] = self.last_seq()
            self.listeners[user_id].come(self.live, self.starts[user_id])

    async def resume(self, user_id: UserId) -> None:
        if user_id in self.starts and self.listeners[user_id].connection is None:
            listener = self.listeners[user_id]
            listener.come(self.live, listener.place(self.starts[user_id]), resumes=True)

    async def go(self, user_id: UserId) -> None:
        self.listeners[user_id].go(self.live)

    def last_seq(self) -> int:
        return self.it.events(self.room)[-1].seq

    async def settle(self) -> None:
        """Wait until everybody who is still heard of has heard everything."""

        def has_heard_all() -> bool:
            self.live.flush_skipped()
            return all(
                one.connection is None
                or not one.connection.subscriptions
                or one.place(self.starts[user_id]) == self.last_seq()
                for user_id, one in self.listeners.items()
            )

        await stage.until(has_heard_all)


def sights(events: Sequence[Event], room: Room) -> dict[UserId, list[dict[ChannelId, bool]]]:
    """Return what each of PEOPLE saw after each event, the first entry before any: told from the log alone."""
    inside, hidden = set(PEOPLE), set[ChannelId]()
    allowed: set[tuple[ChannelId, UserId]] = set()
    found: dict[UserId, list[dict[ChannelId, bool]]] = {user_id: [] for user_id in PEOPLE}
    for event in (None, *events):
        payload: Any = {} if event is None else event.payload or {}
        if event is not None and event.type == "member.kicked":
            inside.discard(UserId(int(payload["user_id"])))
        elif event is not None and event.type == "member.joined" and event.actor_id is not None:
            inside.add(event.actor_id)
        elif event is not None and event.channel_id is not None and "is_private" in payload:
            (hidden.add if payload["is_private"] else hidden.discard)(event.channel_id)
        elif event is not None and event.channel_id is not None and event.type.startswith("overwrite."):
            place = event.channel_id, UserId(int(payload["target_id"]))
            (allowed.add if event.type == "overwrite.set" else allowed.discard)(place)
        for user_id in PEOPLE:
            found[user_id].append(
                {
                    channel_id: user_id in inside and (channel_id not in hidden or (channel_id, user_id) in allowed)
                    for channel_id in room.channels.values()
                }
            )
    return found


def check(scene: Scene) -> None:
    """Hold what everybody heard against the log."""
    events = scene.it.events(scene.room)
    first = events[0].seq
    seen = sights(events, scene.room)
    for user_id, listener in scene.listeners.items():
        if user_id not in scene.starts:
            continue
        place = listener.place(scene.starts[user_id])
        heard = listener.events()
        for one in heard:
            at = one["seq"] - first + 1
            if one["channel_id"] is not None:
                may_hear = any(now[ChannelId(int(one["channel_id"]))] for now in seen[user_id][at:])
                assert may_hear, f"{user_id} heard {one} from outside"
        numbers = {one["seq"] for one in heard}
        for event in events:
            at = event.seq - first + 1
            channel_id = event.channel_id
            if channel_id is None or not scene.starts[user_id] < event.seq <= place:
                continue
            if all(now[channel_id] for now in seen[user_id][at - 1 :]):
                assert event.seq in numbers, f"{user_id} never heard {event}"


async def play(folder: Path, bursts: Sequence[Sequence[tuple[Any, ...]]], batch_max: int, are_there: bool) -> None:
    """Do bursts of things, each at the same time, and hold the listeners against the log after the last."""
    live: list[LiveRoom] = []

    def publish(_room_id: RoomId, events: Sequence[Event]) -> None:
        for one in live:
            one.publish(events)

    async with stage.opened(folder, publish=publish, batch_max=batch_max) as it:
        room = await it.found()
        live.append(LiveRoom(room.id, it.pool, BlockCache(), GatewayMetrics(lambda: 0)))
        scene = Scene(it, room, live[0])
        for user_id in PEOPLE if are_there else ():
            await scene.come(user_id)
            await scene.send("general")
        for burst in bursts:
            await asyncio.gather(*map(scene.do, burst))
        await it.rest()
        for user_id in PEOPLE:
            await scene.resume(user_id)
        await scene.settle()
        check(scene)
        for user_id in PEOPLE:
            await scene.go(user_id)
        live[0].close()


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(BURSTS, st.sampled_from([1, 2, 5, 64]), st.sampled_from([True, True, True, False]))
def test_everybody_hears_what_is_theirs(bursts: list[list[tuple[Any, ...]]], batch_max: int, are_there: bool) -> None:
    """Numbers come without gap or repetition, nothing is heard from outside, and what is always in sight is heard."""
    with tempfile.TemporaryDirectory(prefix="rookery-gateway-") as folder:
        asyncio.run(play(Path(folder), bursts, batch_max, are_there))
