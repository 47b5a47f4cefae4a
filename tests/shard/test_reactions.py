"""Reactions: what is one, who may add which, and counts that are always those of the rows."""

import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import apsw
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ids import MessageId, UserId
from shard import permissions
from shard.actions import messages
from shard.actions import reactions as reaction_actions
from shard.actions.pages import Span
from shard.engine.connections import Writer
from shard.errors import ConflictError, ForbiddenError, NotFoundError
from shard.rows import HAS_REACTIONS
from shard.tables import reactions
from shard.tables.messages import Draft
from shard.text import emoji
from tests.shard import direct, stage

NOW = stage.NOW_MS
EMOJI = [
    "👍", "👍🏽", "❤", "❤️", "🇪🇺", "1️⃣", "#⃣", "👨‍👩‍👧‍👦", "👩🏽‍🤝‍👨🏻", "🏳️‍🌈", "👁️‍🗨️", "❤️‍🔥", "⛹🏻‍♂️",
    "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "‼️", "\N{INFORMATION SOURCE}\ufe0f",
    "↔", "〰️", "©", "\U0001fadd", ":nest:", ":+1:", ":party_parrot-2:",
]  # fmt: skip
NOT_EMOJI = [
    "", " ", "a", "yes", "1", "12", "👍👍", "👍a", "a👍", "👍 ", "🇪", "🇪🇺🇪", "\u200d", "👍\u200d", "\u200d👍", "\ufe0f",
    "\u20e3", "a\u20e3", "\0", "\n", "\x1b", "👍\n",
    "é", "日", "́", "\ufffd", "\ufffc", "\U000e0067", "🏴\U000e0067", "\u202e👍",
    "::", ":a", "a:", ":Nest:", ":a b:", ":ä:", ":" + "a" * 33 + ":", "👍\u200d" * 40 + "👍", "$", "+", "^", "`",
]  # fmt: skip


@pytest.mark.parametrize("text", EMOJI)
def test_emoji_are_recognized(text: str) -> None:
    """Pictures with all their joints, tones, flags and keycaps are one emoji each, and so are names between colons."""
    assert emoji.is_one(text)


@pytest.mark.parametrize("text", NOT_EMOJI, ids=ascii)
def test_text_is_no_emoji(text: str) -> None:
    """Letters, parts, pairs and control characters are no emoji."""
    assert not emoji.is_one(text)


SPELLINGS = [
    ("❤", "❤\ufe0f"), ("👍\ufe0f", "👍"), ("1\u20e3", "1\ufe0f\u20e3"), ("#\u20e3", "#\ufe0f\u20e3"),
    ("🏳\u200d🌈", "🏳\ufe0f\u200d🌈"), ("🏳\ufe0f\u200d🌈\ufe0f", "🏳\ufe0f\u200d🌈"), ("⛹🏻\u200d♂", "⛹🏻\u200d♂\ufe0f"),
    ("☝\ufe0f🏽", "☝🏽"), ("👁\u200d🗨", "👁\ufe0f\u200d🗨\ufe0f"), ("❤\u200d🔥", "❤\ufe0f\u200d🔥"), ("∀\ufe0f", "∀"),
    ("🇪🇺", "🇪🇺"), (":nest:", ":nest:"), ("👨‍👩‍👧‍👦", "👨‍👩‍👧‍👦"),
]  # fmt: skip
"""Spellings of emoji, and the fully qualified ones of emoji-test.txt."""


@pytest.mark.parametrize(("spelled", "full"), SPELLINGS, ids=ascii)
def test_an_emoji_has_one_full_form(spelled: str, full: str) -> None:
    """Each spelling leads to the fully qualified one, which stays as it is."""
    assert emoji.full_form(spelled) == full
    assert emoji.full_form(full) == full


@pytest.mark.parametrize("text", EMOJI)
def test_the_full_form_is_an_emoji(text: str) -> None:
    """What is recognized is recognized in its full form, with or without every selector."""
    full = emoji.full_form(text)
    assert emoji.is_one(full)
    assert emoji.full_form(text.replace("\ufe0f", "")) == full


@given(st.text(max_size=70))
def test_what_is_recognized_fits_into_the_schema(text: str) -> None:
    """Whatever passes as an emoji has no control character and a length that the schema takes."""
    if emoji.is_one(text):
        assert 1 <= len(text) <= 64
        # Not isprintable(): to an older Python's table an emoji of a newer Unicode is a character that is not there.
        assert "Cc" not in map(unicodedata.category, text)


@dataclass(frozen=True, slots=True)
class Shard:
    """One file for all examples."""

    connection: apsw.Connection
    writer: Writer
    room: stage.Room

    def say(self, channel: str = "general") -> MessageId:
        channel_id = self.room.channels[channel]
        sent = messages.send_message(self.writer, stage.ANNA, channel_id, Draft("hello"), now_ms=NOW).message
        self.writer.settle()
        return sent.id

    def react(self, message_id: MessageId, one: str, by: UserId = stage.BEN, now_ms: int = NOW) -> None:
        reaction_actions.react(self.writer, by, self.room.general, message_id, one, now_ms=now_ms)

    def events(self) -> list[str]:
        rows = self.writer.all("SELECT type FROM events WHERE type LIKE 'reaction.%' ORDER BY seq")
        return [str(row[0]) for row in rows]

    def shown(self, message_id: MessageId) -> list[tuple[str, int]]:
        """Return a message's reactions as a page has them."""
        page = direct.read_page(self.writer, stage.BEN, self.room.general, None, Span(), now_ms=NOW)
        packed = next(message.reactions for message in page.messages if message.id == message_id)
        return [] if packed is None else [(one, count) for one, count in orjson.loads(packed)]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shard]:
    with direct.writing(tmp_path_factory.mktemp("reactions")) as (connection, writer, room):
        yield Shard(connection, writer, room)


@pytest.fixture
def shard(file: Shard) -> Iterator[Shard]:
    """The file, for one test."""
    with direct.undone(file.connection, file.writer):
        yield file


def test_a_reaction_is_counted_once(shard: Shard) -> None:
    """Reacting twice is one reaction and one event, and taking it back twice is as well."""
    message_id = shard.say()
    for _ in range(2):
        shard.react(message_id, "👍")
    shard.react(message_id, "👍", stage.ANNA)
    shard.react(message_id, "🐦", now_ms=NOW + 1)
    assert shard.shown(message_id) == [("👍", 2), ("🐦", 1)]
    for _ in range(2):
        reaction_actions.take_back(shard.writer, stage.BEN, shard.room.general, message_id, "👍", now_ms=NOW)
    assert shard.shown(message_id) == [("👍", 1), ("🐦", 1)]
    assert shard.events() == ["reaction.added"] * 3 + ["reaction.removed"]


def test_joining_a_reaction_takes_no_permission(shard: Shard) -> None:
    """Without add_reactions one joins what is there but begins nothing, and in a time-out one does neither."""
    message_id = shard.say()
    shard.react(message_id, "👍", stage.OWNER)
    direct.deny_everyone(shard.writer, shard.room, permissions.ADD_REACTIONS)
    with pytest.raises(ForbiddenError, match="add_reactions"):
        shard.react(message_id, "🐦")
    direct.time_out(shard.writer, stage.BEN, NOW + 1)
    with pytest.raises(ForbiddenError, match="time-out"):
        shard.react(message_id, "👍")
    shard.react(message_id, "👍", now_ms=NOW + 1)
    direct.time_out(shard.writer, stage.OWNER, NOW + 2)
    shard.react(message_id, "🐦", stage.OWNER, now_ms=NOW + 1)
    assert shard.shown(message_id) == [("👍", 2), ("🐦", 1)]


def test_only_readers_react(shard: Shard) -> None:
    """Whoever may not read history does not react, though they see the channel."""
    message_id = shard.say()
    direct.deny_everyone(shard.writer, shard.room, permissions.READ_HISTORY)
    with pytest.raises(ForbiddenError, match="read_history"):
        shard.react(message_id, "👍")
    shard.react(message_id, "👍", stage.OWNER)


def test_an_archived_channel_takes_no_reactions(shard: Shard) -> None:
    """In an archived channel nobody reacts any more, but one's own reaction can be taken back."""
    message_id = shard.say()
    shard.react(message_id, "👍")
    direct.archive(shard.writer, shard.room, "general")
    with pytest.raises(ConflictError):
        shard.react(message_id, "👍", stage.OWNER)
    reaction_actions.take_back(shard.writer, stage.BEN, shard.room.general, message_id, "👍", now_ms=NOW)
    assert shard.shown(message_id) == []


def test_a_message_has_so_many_emoji(shard: Shard) -> None:
    """One emoji too many is refused, while those that are there can be joined."""
    message_id = shard.say()
    names = [f":bird_{number}:" for number in range(reactions.PER_MESSAGE_MAX)]
    for name in names:
        shard.react(message_id, name)
    with pytest.raises(ConflictError, match="at most 20"):
        shard.react(message_id, "👍")
    shard.react(message_id, names[0], stage.ANNA)


def test_moderators_remove_what_others_added(shard: Shard) -> None:
    """With manage_messages one removes a person's reaction, all with an emoji, or all, and says why."""
    writer, general = shard.writer, shard.room.general
    message_id = shard.say()
    for by in (stage.ANNA, stage.BEN):
        for one in ("👍", "🐦", "🪺"):
            shard.react(message_id, one, by)

    def remove(by: UserId) -> None:
        reaction_actions.remove_reaction(writer, by, general, message_id, "👍", stage.ANNA, reason="rude", now_ms=NOW)

    def clear(by: UserId, one: str | None) -> None:
        reaction_actions.clear_reactions(writer, by, general, message_id, one, reason="rude", now_ms=NOW)

    for refused in (partial(remove, stage.BEN), partial(clear, stage.BEN, "🐦"), partial(clear, stage.BEN, None)):
        with pytest.raises(ForbiddenError):
            refused()
    remove(stage.OWNER)
    assert dict(shard.shown(message_id)) == {"👍": 1, "🐦": 2, "🪺": 2}
    clear(stage.OWNER, "🐦")
    assert dict(shard.shown(message_id)) == {"👍": 1, "🪺": 2}
    clear(stage.OWNER, None)
    assert shard.shown(message_id) == []
    told = writer.all("SELECT action, target_id, before, reason FROM audit_log ORDER BY id")
    assert told == [
        ("reaction.removed", message_id, f'{{"emoji":"👍","user_id":"{stage.ANNA}"}}', "rude"),
        ("reaction.cleared", message_id, '{"reactions":{"🐦":2}}', "rude"),
        ("reaction.cleared", message_id, '{"reactions":{"👍":1,"🪺":2}}', "rude"),
    ]
    with pytest.raises(NotFoundError):
        remove(stage.OWNER)
    clear(stage.OWNER, None)
    assert len(writer.all("SELECT 1 FROM audit_log")) == 3


def test_who_reacted_comes_page_by_page(shard: Shard) -> None:
    """Those who reacted with an emoji are listed by id, each once, and nobody who used another one."""
    message_id = shard.say()
    for by, one in ((stage.BEN, "👍"), (stage.OWNER, "👍"), (stage.ANNA, "🐦"), (stage.ANNA, "👍")):
        shard.react(message_id, one, by)

    def who(one: str, after: UserId | None, limit: int) -> list[UserId]:
        return reaction_actions.who_reacted(
            shard.writer, stage.BEN, shard.room.general, message_id, one, after=after, limit=limit, now_ms=NOW
        )

    assert who("👍", None, 2) == [stage.OWNER, stage.ANNA]
    assert who("👍", stage.ANNA, 2) == [stage.BEN]
    assert who("🪺", None, 2) == []


def test_a_page_tells_ones_own_reactions(shard: Shard) -> None:
    """A page has what its reader reacted with, for its own messages and no others."""
    first, elsewhere, second = shard.say(), shard.say("other"), shard.say()
    for message_id, one in ((first, "👍"), (first, "🐦"), (second, "🪺")):
        shard.react(message_id, one)
    shard.react(first, "👍", stage.ANNA)
    reaction_actions.react(shard.writer, stage.BEN, shard.room.channels["other"], elsewhere, "👍", now_ms=NOW)

    def own(by: UserId, before: MessageId | None = None) -> object:
        page = direct.read_page(shard.writer, by, shard.room.general, None, Span(before=before), now_ms=NOW)
        return page.own_reactions

    assert own(stage.BEN) == {first: ["🐦", "👍"], second: ["🪺"]}
    assert own(stage.BEN, second) == {first: ["🐦", "👍"]}
    assert own(stage.ANNA) == {first: ["👍"]}
    assert own(stage.OWNER) == {}


PEOPLE = (stage.OWNER, stage.ANNA, stage.BEN)
acts = st.lists(
    st.tuples(
        st.sampled_from(["react", "react", "react", "take back", "remove", "clear one", "clear", "delete"]),
        st.integers(0, 2),
        st.sampled_from(PEOPLE),
        st.sampled_from(["👍", "🐦", ":nest:"]),
    ),
    max_size=30,
)


@settings(max_examples=60)
@given(history=acts)
def test_counts_are_those_of_the_rows(file: Shard, history: list[tuple[str, int, UserId, str]]) -> None:
    """After any sequence of acts each message has the counts of a plain model, and of a recount of its rows."""
    writer, general = file.writer, file.room.general
    with direct.undone(file.connection, writer):
        said = [file.say() for _ in range(3)]
        model: dict[MessageId, set[tuple[str, UserId]] | None] = {message_id: set() for message_id in said}
        for act, number, by, one in history:
            message_id = said[number]
            rows = model[message_id]
            if rows is None:
                with pytest.raises(NotFoundError):
                    file.react(message_id, one, by)
            elif act == "react":
                file.react(message_id, one, by)
                rows.add((one, by))
            elif act == "take back":
                reaction_actions.take_back(writer, by, general, message_id, one, now_ms=NOW)
                rows.discard((one, by))
            elif act == "remove" and (one, by) in rows:
                reaction_actions.remove_reaction(writer, stage.OWNER, general, message_id, one, by, now_ms=NOW)
                rows.discard((one, by))
            elif act.startswith("clear"):
                chosen = one if act == "clear one" else None
                reaction_actions.clear_reactions(writer, stage.OWNER, general, message_id, chosen, now_ms=NOW)
                model[message_id] = {row for row in rows if chosen is not None and row[0] != chosen}
            elif act == "delete":
                messages.delete_message(writer, stage.OWNER, general, message_id, now_ms=NOW)
                model[message_id] = None
        for message_id, rows in model.items():
            expected = Counter(one for one, _ in rows or ())
            counted = writer.all("SELECT emoji, count FROM reaction_counts WHERE message_id = ?", (message_id,))
            recount = writer.all("SELECT emoji, count(*) FROM reactions WHERE message_id = ? GROUP BY 1", (message_id,))
            assert dict(counted) == dict(recount) == expected
            extras = writer.one("SELECT extras FROM messages WHERE id = ?", (message_id,))
            assert extras == (HAS_REACTIONS if expected else 0,)
            if rows is not None:
                assert dict(file.shown(message_id)) == expected
                assert {one: count for one, count in counts_told(writer, message_id).items() if count} == expected


def counts_told(writer: Writer, message_id: MessageId) -> dict[str, int]:
    """Return the counts of somebody who knows them from the events of a message alone."""
    told: dict[str, int] = {}
    for event in writer.emitted:
        if event.message_id == message_id and event.payload is not None and event.type.startswith("reaction."):
            if event.type == "reaction.cleared":
                told |= dict.fromkeys(event.payload["emoji"], 0)
            else:
                told[event.payload["emoji"]] = event.payload["count"]
    return told


def test_reactions_stay_in_their_channel(tmp_path: Path) -> None:
    """A message of another channel cannot be reacted to by way of this one."""
    with direct.writing(tmp_path) as (_, writer, room):
        channel_id = room.channels["other"]
        sent = messages.send_message(writer, stage.ANNA, channel_id, Draft("hello"), now_ms=NOW).message
        reaction_actions.react(writer, stage.BEN, channel_id, sent.id, "👍", now_ms=NOW)
        with pytest.raises(NotFoundError):
            reaction_actions.react(writer, stage.BEN, room.general, sent.id, "👍", now_ms=NOW)
