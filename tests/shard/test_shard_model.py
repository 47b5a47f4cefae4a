"""A room against a dict of lists: whatever is done in whatever order, the pool and the model never disagree."""

import asyncio
import shutil
import tempfile
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ids import MessageId, ThreadId, UserId
from shard.actions import messages, threads
from shard.actions.pages import Span
from shard.actions.search import SearchRequest
from shard.errors import ConflictError
from shard.history.search import Searches
from shard.search import query
from tests.shard import stage

CHANNELS = st.sampled_from(["general", "other", "flat"])
PEOPLE = st.sampled_from([stage.OWNER, stage.ANNA, stage.BEN])
WORDS = st.lists(st.sampled_from(["red", "green", "blue", "赤い", "café"]), min_size=1, max_size=3).map(" ".join)
NONCES = st.none() | st.sampled_from(["n1", "n2", "n3"])
JUMPS = st.sampled_from([0, 0, 1, 60_000, 86_400_000, -86_400_000])


class RoomMachine(RuleBasedStateMachine):
    """Does things in one room through a real pool and in a model of it."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp(prefix="rookery-model-"))
        self.said: dict[str, list[tuple[MessageId, str, ThreadId | None]]] = {}
        self.nonces: dict[tuple[int, str], tuple[str, MessageId]] = {}
        self.threads: dict[str, list[ThreadId]] = {}
        self.told: list[MessageId] = []
        self.opening: AbstractAsyncContextManager[stage.Stage]

    @initialize()
    def found(self) -> None:
        self.opening = stage.opened(self.folder, open_max=2, batch_max=3)
        self.it = self.runner.run(self.opening.__aenter__())
        self.room = self.runner.run(self.it.found())

    def remember(self, channel: str, message_id: MessageId, text: str, thread_id: ThreadId | None) -> None:
        self.said.setdefault(channel, []).append((message_id, text, thread_id))
        self.told.append(message_id)

    @rule(user_id=PEOPLE, channel=CHANNELS, text=WORDS, nonce=NONCES, jump=JUMPS)
    def send(self, user_id: UserId, channel: str, text: str, nonce: str | None, jump: int) -> None:
        self.it.now_ms += jump
        act = self.it.send(self.room, text, user_id=user_id, channel=channel, nonce=nonce)
        known = self.nonces.get((user_id, nonce or ""))
        try:
            sent = self.runner.run(act)
        except ConflictError:
            assert known is not None
            assert known[0] != channel
            return
        assert sent.is_new is (known is None)
        if known is not None:
            assert known == (channel, sent.message.id)
            return
        if nonce is not None:
            self.nonces[user_id, nonce] = (channel, sent.message.id)
        self.remember(channel, sent.message.id, text, None)

    @rule(channel=CHANNELS, texts=st.lists(WORDS, min_size=2, max_size=8))
    def send_together(self, channel: str, texts: list[str]) -> None:
        async def together() -> list[messages.Sent]:
            return await asyncio.gather(*(self.it.send(self.room, text, channel=channel) for text in texts))

        for sent, text in zip(self.runner.run(together()), texts, strict=True):
            self.remember(channel, sent.message.id, text, None)

    @rule(channel=CHANNELS, text=WORDS)
    def send_and_go_away(self, channel: str, text: str) -> None:
        async def cancel() -> None:
            sending = asyncio.ensure_future(self.it.send(self.room, text, channel=channel))
            await asyncio.sleep(0)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            await self.it.rest()
            await asyncio.sleep(0)

        self.runner.run(cancel())
        message = self.it.messages(self.room)[-1]
        assert message.content == text
        self.remember(channel, message.id, text, None)

    @rule(channel=st.sampled_from(["general", "other"]), number=st.integers(0, 3), text=WORDS)
    def send_to_a_thread(self, channel: str, number: int, text: str) -> None:
        known = self.threads.setdefault(channel, [])
        if number >= len(known):
            title = str(len(known))
            channel_id = self.room.channels[channel]
            opening = self.it.pool.write(
                self.room.id,
                threads.open_thread,
                stage.ANNA,
                channel_id,
                title,
                now_ms=self.it.now_ms,
                is_announced=False,
            )

            async def opened() -> ThreadId:
                return (await opening).id

            known.append(self.runner.run(opened()))
            number = len(known) - 1
        sent = self.runner.run(self.it.send(self.room, text, channel=channel, thread_id=known[number]))
        self.remember(channel, sent.message.id, text, known[number])

    @rule()
    def close_and_reopen(self) -> None:
        self.runner.run(self.opening.__aexit__(None, None, None))
        published = self.it.published
        self.opening = stage.opened(self.folder, open_max=2, batch_max=3)
        now_ms = self.it.now_ms
        self.it = self.runner.run(self.opening.__aenter__())
        self.it.now_ms, self.it.published = now_ms, published

    @rule()
    def evict(self) -> None:
        if self.room.id in self.it.pool._entries:
            self.runner.run(self.it.evict(self.room))

    @rule(channel=CHANNELS, limit=st.integers(1, 4), pick=st.integers(0, 10**6))
    def page(self, channel: str, limit: int, pick: int) -> None:
        there = self.said.get(channel, [])
        at = there[pick % len(there)][0] if there else MessageId(1)
        older = [text for message_id, text, _ in there if message_id < at][-limit:]
        newer = [text for message_id, text, _ in there if message_id > at][:limit]
        for span, wanted in ((Span(limit, before=at), older), (Span(limit, after=at), newer)):
            page = self.runner.run(self.it.page(self.room, span, channel=channel))
            assert [message.content for message in reversed(page.messages)] == wanted

    @rule(word=st.sampled_from(["red", "green", "blue", "赤い", "赤", "cafe", "gr*"]))
    def search(self, word: str) -> None:
        searches = Searches(self.it.pool, stage.NOTHING_ARCHIVED)
        request = SearchRequest(query=query.parse(word), limit=10_000, seconds=5, deadline_seconds=5)
        asking = searches.search_room(self.room.id, stage.BEN, request, now_ms=self.it.now_ms)

        async def ask() -> list[MessageId]:
            return [message.id for message in (await asking).messages]

        plain = word.rstrip("*").replace("cafe", "café")
        everything = sorted(message for channel in self.said.values() for message in channel)
        assert self.runner.run(ask()) == [message_id for message_id, text, _ in reversed(everything) if plain in text]

    @invariant()
    def the_room_is_as_the_model(self) -> None:
        for channel, said in self.said.items():
            page = self.runner.run(self.it.page(self.room, channel=channel))
            there = [(message.id, message.content, message.thread_id) for message in reversed(page.messages)]
            assert there == said
        assert [message.id for message in self.it.messages(self.room)] == self.told

    def teardown(self) -> None:
        self.runner.run(self.opening.__aexit__(None, None, None))
        self.runner.close()
        shutil.rmtree(self.folder)


TestRoom = RoomMachine.TestCase
TestRoom.settings = settings(max_examples=50, stateful_step_count=25)
