"""Voice in a shard: who is in, from when to when, and what is left of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ids import UserId
from shard import permissions
from shard.actions import members
from shard.actions import voice as voice_actions
from shard.actions.voice import RecordFields
from shard.engine.connections import Writer
from shard.errors import ConflictError, ForbiddenError, NotFoundError
from shard.tables import voice
from shard.tables.voice import RETURN_MS, SILENCE_MS, Span
from tests.shard import direct, stage
from tests.shard.stage import ANNA, BEN, OWNER, Room

NOW = stage.NOW_MS
MINUTE = 60_000
Shard = tuple[apsw.Connection, Writer, Room]


@contextmanager
def founded(folder: Path) -> Iterator[Shard]:
    """Found a room with two voice channels."""
    with direct.writing(folder) as (connection, writer, room):
        writer.run("UPDATE channels SET type = 'voice' WHERE id = ?", (room.channels["other"],))
        yield connection, writer, room


@pytest.fixture
def shard(tmp_path: Path) -> Iterator[Shard]:
    """A room of one's own."""
    with founded(tmp_path) as found:
        yield found


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shard]:
    """A room for many examples, each of which takes back what it wrote."""
    with founded(tmp_path_factory.mktemp("voice")) as found:
        yield found


def join(writer: Writer, room: Room, user_id: UserId, now_ms: int, channel: str = "voice") -> voice_actions.Joined:
    return voice_actions.join_voice(writer, user_id, room.channels[channel], now_ms=now_ms)


def leave(writer: Writer, room: Room, user_id: UserId, now_ms: int, channel: str = "voice") -> None:
    voice_actions.leave_voice(writer, user_id, room.channels[channel], now_ms=now_ms)


def history(writer: Writer, room: Room, now_ms: int, channel: str = "voice") -> list[voice.Record]:
    return voice_actions.list_sessions(writer, OWNER, room.channels[channel], before=None, limit=50, now_ms=now_ms)


def present(writer: Writer, room: Room, now_ms: int, channel: str = "voice") -> list[UserId]:
    session = voice_actions.in_voice(writer, OWNER, room.channels[channel], now_ms=now_ms)
    return [] if session is None else [one.user_id for one in session.present]


def told(writer: Writer) -> list[tuple[str, int | None, bool]]:
    """Return what the log has of voice: type, actor, and whether somebody was only not heard of."""
    rows = writer.all(
        "SELECT type, actor_id, coalesce(payload ->> 'is_silent', 0), channel_id FROM events "
        "WHERE type GLOB 'voice.*' ORDER BY seq"
    )
    assert all(row[3] for row in rows)
    return [(row[0], row[1], bool(row[2])) for row in rows]


def test_a_session_lasts_from_the_first_to_the_last(shard: Shard) -> None:
    """The first to join begins a session, the last to leave ends it, and history has who was there and when."""
    _, writer, room = shard
    assert join(writer, room, ANNA, NOW).session.started_at == NOW
    joined = join(writer, room, BEN, NOW + 5)
    assert joined.may_speak
    assert [one.user_id for one in joined.session.present] == [ANNA, BEN]
    leave(writer, room, ANNA, NOW + 10)
    assert present(writer, room, NOW + 10) == [BEN]
    assert history(writer, room, NOW + 10)[0].ended_at is None
    leave(writer, room, BEN, NOW + 30)
    assert present(writer, room, NOW + 30) == []
    (record,) = history(writer, room, NOW + 30)
    assert (record.started_at, record.ended_at, record.max_participants, record.participant_count) == (
        NOW, NOW + 30, 2, 2,
    )  # fmt: skip
    assert record.spans == (Span(ANNA, NOW, NOW + 10), Span(BEN, NOW + 5, NOW + 30))
    assert told(writer) == [
        ("voice.joined", ANNA, False), ("voice.joined", BEN, False), ("voice.left", ANNA, False),
        ("voice.left", BEN, False), ("voice.ended", BEN, False),
    ]  # fmt: skip
    join(writer, room, BEN, NOW + 31)
    assert [one.id for one in history(writer, room, NOW + 31)][1] == record.id


def test_joining_and_leaving_twice_change_nothing(shard: Shard) -> None:
    """Whoever is in stays in, whoever is out stays out, and the log has each once."""
    _, writer, room = shard
    first = join(writer, room, ANNA, NOW)
    assert join(writer, room, ANNA, NOW + 5) == first
    leave(writer, room, ANNA, NOW + 9)
    leave(writer, room, ANNA, NOW + 10)
    assert history(writer, room, NOW + 10)[0].spans == (Span(ANNA, NOW, NOW + 9),)
    assert [row[0] for row in told(writer)] == ["voice.joined", "voice.left", "voice.ended"]


@pytest.mark.parametrize(("away", "spans"), [(RETURN_MS - 1, 1), (RETURN_MS, 2)])
def test_whoever_is_back_within_a_minute_was_not_away(shard: Shard, away: int, spans: int) -> None:
    """A short absence is not told by history, a longer one is."""
    _, writer, room = shard
    join(writer, room, BEN, NOW)
    join(writer, room, ANNA, NOW)
    leave(writer, room, ANNA, NOW + 5)
    join(writer, room, ANNA, NOW + 5 + away)
    leave(writer, room, ANNA, NOW + 5 + away)
    found = [span for span in history(writer, room, NOW + 5 + away)[0].spans if span.user_id == ANNA]
    assert len(found) == spans
    assert (found[0].joined_at, found[-1].left_at) == (NOW, NOW + 5 + away)


def test_nobody_is_in_two_places(shard: Shard) -> None:
    """Joining a second channel leaves the first."""
    _, writer, room = shard
    join(writer, room, ANNA, NOW)
    join(writer, room, ANNA, NOW + 1, "other")
    assert (present(writer, room, NOW + 1), present(writer, room, NOW + 1, "other")) == ([], [ANNA])
    assert [row[0] for row in told(writer)] == ["voice.joined", "voice.left", "voice.ended", "voice.joined"]


def test_channels_do_not_mix(shard: Shard) -> None:
    """A session ends though another goes on, counts its own people, and the next one is a new one."""
    _, writer, room = shard
    for user_id in (OWNER, BEN):
        join(writer, room, user_id, NOW, "other")
    first = join(writer, room, ANNA, NOW).session
    assert first.max_participants == 1
    leave(writer, room, ANNA, NOW + 1)
    assert [row[0] for row in told(writer)][-2:] == ["voice.left", "voice.ended"]
    assert join(writer, room, ANNA, NOW + 2).session.id != first.id
    assert [record.max_participants for record in history(writer, room, NOW + 2, "other")] == [2]


def test_whoever_falls_silent_left_when_last_heard_of(shard: Shard) -> None:
    """A day after the last join somebody is out for every reader, and for the log when the next one joins."""
    _, writer, room = shard
    for minute in (0, 10):
        join(writer, room, ANNA, NOW + minute * MINUTE)
    join(writer, room, BEN, NOW + MINUTE)
    leave(writer, room, BEN, NOW + 2 * MINUTE)
    end = NOW + 10 * MINUTE + SILENCE_MS
    assert present(writer, room, end - 1) == [ANNA]
    assert history(writer, room, end - 1)[0].ended_at is None
    assert present(writer, room, end) == []
    read = history(writer, room, end)
    assert (read[0].ended_at, read[0].spans[0]) == (NOW + 10 * MINUTE, Span(ANNA, NOW, NOW + 10 * MINUTE))
    assert ("voice.left", ANNA, True) not in told(writer)
    join(writer, room, BEN, end, "other")
    assert history(writer, room, end) == read
    assert told(writer)[-3:] == [("voice.left", ANNA, True), ("voice.ended", ANNA, False), ("voice.joined", BEN, False)]
    assert join(writer, room, ANNA, end).session.id != read[0].id


def test_a_full_room_takes_nobody_more(shard: Shard, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more than the bound is refused, in whichever channel; who is in may move, and the silent do not count."""
    _, writer, room = shard
    monkeypatch.setattr(voice, "PARTICIPANTS_MAX", 2)
    join(writer, room, OWNER, NOW)
    join(writer, room, ANNA, NOW, "other")
    for channel in ("voice", "other"):
        with pytest.raises(ConflictError, match="2 people"):
            join(writer, room, BEN, NOW, channel)
    join(writer, room, ANNA, NOW + 1)
    join(writer, room, BEN, NOW + SILENCE_MS)
    assert present(writer, room, NOW + SILENCE_MS) == [ANNA, BEN]


@pytest.mark.parametrize(("channel", "error"), [("general", ConflictError), ("voice", None)])
def test_only_voice_channels_are_joined(shard: Shard, channel: str, error: type[Exception] | None) -> None:
    """A channel of text takes messages and nobody's voice."""
    _, writer, room = shard
    if error is None:
        join(writer, room, ANNA, NOW, channel)
    else:
        with pytest.raises(error):
            join(writer, room, ANNA, NOW, channel)


def test_what_is_hidden_or_closed_is_not_joined(shard: Shard) -> None:
    """Without the permission, in an archived channel and in one that is not seen nobody joins."""
    _, writer, room = shard
    direct.deny_everyone(writer, room, permissions.CONNECT)
    with pytest.raises(ForbiddenError, match="connect"):
        join(writer, room, ANNA, NOW)
    direct.deny_everyone(writer, room, permissions.SPEAK)
    assert not join(writer, room, ANNA, NOW).may_speak
    leave(writer, room, ANNA, NOW)
    direct.archive(writer, room, "voice")
    with pytest.raises(ConflictError, match="archived"):
        join(writer, room, ANNA, NOW)
    direct.make_private(writer, room, "other")
    with pytest.raises(NotFoundError, match="channel"):
        join(writer, room, ANNA, NOW, "other")


def test_hiding_a_channel_keeps_its_people_but_shows_them_to_nobody(shard: Shard) -> None:
    """Who was in a channel that was hidden stays in and may leave; others learn nothing of it by any way."""
    _, writer, room = shard
    channel_id = room.channels["voice"]
    join(writer, room, ANNA, NOW)
    direct.make_private(writer, room, "voice")
    with pytest.raises(NotFoundError, match="channel"):
        voice_actions.in_voice(writer, BEN, channel_id, now_ms=NOW)
    with pytest.raises(NotFoundError, match="channel"):
        voice_actions.list_sessions(writer, BEN, channel_id, before=None, limit=5, now_ms=NOW)
    with pytest.raises(NotFoundError, match="channel"):
        leave(writer, room, BEN, NOW)
    assert voice_actions.in_voices(writer, BEN, now_ms=NOW) == []
    assert len(voice_actions.in_voices(writer, OWNER, now_ms=NOW)) == 1
    leave(writer, room, ANNA, NOW + 1)
    assert present(writer, room, NOW + 1) == []
    with pytest.raises(NotFoundError, match="channel"):
        leave(writer, room, ANNA, NOW + 2)


def test_strangers_leave_nothing(shard: Shard) -> None:
    """Whoever is not in the room has no voice there, and cannot tell whether the room is there."""
    _, writer, room = shard
    for act in (join, leave):
        with pytest.raises(NotFoundError, match="room"):
            act(writer, room, UserId(99), NOW)


def test_leaving_the_room_leaves_its_voice(shard: Shard) -> None:
    """Whoever is no longer a member is no longer heard."""
    _, writer, room = shard
    join(writer, room, ANNA, NOW)
    members.leave(writer, ANNA, now_ms=NOW + 1)
    assert present(writer, room, NOW + 1) == []


FIELDS: RecordFields = {"external_session_id": "sfu-1", "recording_url": "https://example.org/1.ogg"}


def note(
    writer: Writer, room: Room, user_id: UserId, session_id: int, fields: RecordFields = FIELDS, *, bot: bool = False
) -> voice.Record:
    return voice_actions.note_session(
        writer, user_id, room.channels["voice"], session_id, fields, speaks_for_media=bot, reason="why", now_ms=NOW
    )


def test_what_a_media_server_says_is_kept(shard: Shard) -> None:
    """Who manages channels, or a bot with the scope, notes ids and recordings; the log and the audit have before and
    after, and saying the same again leaves no trace."""
    _, writer, room = shard
    session = join(writer, room, ANNA, NOW).session
    with pytest.raises(ForbiddenError, match="manage_channels"):
        note(writer, room, BEN, session.id)
    record = note(writer, room, BEN, session.id, bot=True)
    assert (record.external_session_id, record.recording_url) == ("sfu-1", "https://example.org/1.ogg")
    note(writer, room, OWNER, session.id)
    note(writer, room, OWNER, session.id, {"external_session_id": None})
    assert history(writer, room, NOW)[0].recording_url == "https://example.org/1.ogg"
    kept = writer.all("SELECT actor_id, before, after, reason FROM audit_log WHERE action = 'voice.updated'")
    assert [row[0] for row in kept] == [BEN, OWNER]
    assert kept[1][1:] == ('{"external_session_id":"sfu-1"}', '{"external_session_id":null}', "why")
    assert len(writer.all("SELECT 1 FROM events WHERE type = 'voice.updated'")) == 2
    for missing in (session.id + 1, 1):
        with pytest.raises(NotFoundError, match="voice session"):
            note(writer, room, OWNER, missing)


def test_a_session_belongs_to_its_channel(shard: Shard) -> None:
    """The id of one channel's session leads nowhere in another."""
    _, writer, room = shard
    session = join(writer, room, ANNA, NOW, "other").session
    with pytest.raises(NotFoundError, match="voice session"):
        note(writer, room, OWNER, session.id)
    assert history(writer, room, NOW) == []


PEOPLE = (OWNER, ANNA, BEN)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["join", "leave"]),
        st.sampled_from(PEOPLE),
        st.sampled_from(["voice", "other"]),
        st.sampled_from([0, 1, RETURN_MS - 1, RETURN_MS, SILENCE_MS // 2, SILENCE_MS]),
    ),
    max_size=12,
)


class Model:
    """Voice in plain words: who is where since when, and when last heard of."""

    def __init__(self) -> None:
        self.places: dict[UserId, tuple[str, int]] = {}

    def present(self, channel: str, now_ms: int) -> list[UserId]:
        return sorted(
            user_id
            for user_id, (place, heard_at) in self.places.items()
            if place == channel and now_ms - heard_at < SILENCE_MS
        )


@given(STEPS)
@settings(max_examples=60, deadline=None)
def test_voice_is_as_its_model(lasting: Shard, steps: list[tuple[str, UserId, str, int]]) -> None:
    """After any comings, goings and silences readers see who the model says is in, and closed sessions add up."""
    connection, writer, room = lasting
    with direct.undone(connection, writer):
        model, now_ms = Model(), NOW
        for act, user_id, channel, later in steps:
            now_ms += later
            if act == "join":
                join(writer, room, user_id, now_ms, channel)
                model.places[user_id] = (channel, now_ms)
            else:
                leave(writer, room, user_id, now_ms, channel)
                if model.places.get(user_id, ("", 0))[0] == channel:
                    del model.places[user_id]
            for name in ("voice", "other"):
                assert present(writer, room, now_ms, name) == model.present(name, now_ms)
                _check(history(writer, room, now_ms, name), present(writer, room, now_ms, name))


def _check(records: list[voice.Record], inside: list[UserId]) -> None:
    assert sum(record.ended_at is None for record in records) == bool(inside)
    for record in records:
        assert record.started_at == min(span.joined_at for span in record.spans)
        assert 1 <= record.max_participants <= len(record.spans)
        if record.ended_at is None:
            assert sorted(span.user_id for span in record.spans if span.left_at is None) == inside
        else:
            assert record.ended_at == max(span.left_at or 0 for span in record.spans)
        own: dict[UserId, int | None] = {}
        for span in record.spans:
            assert span.user_id not in own or (own[span.user_id] or NOW * 2) <= span.joined_at
            own[span.user_id] = span.left_at


def test_a_channel_takes_its_sessions_along(shard: Shard) -> None:
    """Nothing is left of the voices of a deleted channel."""
    connection, writer, room = shard
    join(writer, room, ANNA, NOW)
    connection.execute("DELETE FROM channels WHERE id = ?", (room.channels["voice"],))
    assert voice_actions.in_voices(writer, OWNER, now_ms=NOW) == []
    assert writer.all("SELECT 1 FROM voice_participants") == []
