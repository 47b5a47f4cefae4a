"""Snowflakes: they grow whatever the clock does, tell their time, and never come back after a restart."""

import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ids
from ids import ChannelId, RoomId, UserId
from migrations import engine
from shard import files
from shard.acts import branching, shaping, talking
from shard.acts.shaping import ChannelDraft
from shard.messages import Draft

DAY_MS = 86_400_000
NOW_MS = 1_750_000_000_000
MIGRATIONS = engine.load(engine.SHARD_FOLDER)
OWNER = UserId(1)

moments = st.integers(ids.EPOCH_MS, ids.TIME_MS_MAX)
jumps = st.sampled_from([0, 0, 1, -1, 1000, DAY_MS, -DAY_MS]) | st.integers(-DAY_MS, DAY_MS)


@given(start=moments, by=st.lists(jumps, max_size=200))
def test_ids_grow_whatever_the_clock_does(start: int, by: list[int]) -> None:
    """Every number is greater than all before it, positive, and within 63 bits."""
    sequence, now_ms, last = ids.Sequence(), start, 0
    for jump in by:
        now_ms += jump
        given_out = sequence.next(now_ms)
        assert last < given_out <= ids.ID_MAX
        last = given_out


@given(start=moments, by=st.lists(st.integers(0, 1000), min_size=1, max_size=50))
def test_while_the_clock_goes_on_an_id_tells_its_time(start: int, by: list[int]) -> None:
    """An id made at a time later than the last has exactly that time."""
    sequence, now_ms = ids.Sequence(), start
    for step in by:
        now_ms = min(now_ms + step, ids.TIME_MS_MAX)
        assert ids.time_ms(sequence.next(now_ms)) == now_ms


@given(moments)
def test_the_first_id_of_a_time(moment: int) -> None:
    """`at` is the first id of its millisecond: it tells that time, and the number before it an earlier one."""
    assert ids.time_ms(ids.at(moment)) == moment
    assert ids.time_ms(ids.at(moment) - 1) == moment - 1
    assert 0 <= ids.at(moment) <= ids.ID_MAX


@given(st.integers(-(10**15), 10**15), st.integers(-(10**15), 10**15))
def test_times_outside_the_layout_are_pinned(one: int, other: int) -> None:
    """Any time has a place in the layout, and an earlier time never a later place."""
    earlier, later = sorted((one, other))
    assert 0 <= ids.at(earlier) <= ids.at(later) <= ids.ID_MAX


def test_the_epoch_itself_gives_a_positive_id() -> None:
    """Number zero is never given out, also not at the very first moment."""
    assert ids.Sequence().next(ids.EPOCH_MS) == 1
    assert ids.Sequence().next(ids.EPOCH_MS - DAY_MS) == 1


def test_what_was_seen_is_not_given_out_again() -> None:
    """A sequence goes on after the highest number it was told of, and is not moved by lower ones."""
    sequence = ids.Sequence(ids.at(NOW_MS))
    sequence.seen(ids.at(NOW_MS) + 10)
    sequence.seen(5)
    assert sequence.next(NOW_MS) == ids.at(NOW_MS) + 11


def test_threads_never_get_the_same_id() -> None:
    """Numbers asked for by many threads at once are all different."""
    sequence = ids.Sequence()
    taken: list[list[int]] = [[] for _ in range(4)]
    threads = [
        threading.Thread(target=lambda mine=mine: mine.extend(sequence.next(NOW_MS) for _ in range(5_000)))
        for mine in taken
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(mine == sorted(mine) for mine in taken)
    assert len({number for mine in taken for number in mine}) == 20_000


@pytest.mark.parametrize("made", ["message", "thread", "channel"])
def test_ids_go_on_after_a_restart_with_a_clock_gone_back(tmp_path: Path, made: str) -> None:
    """A shard opened again a day earlier by its clock gives out higher ids than any it has given before."""

    def make(now_ms: int, name: str) -> int:
        connection, writer = files.open_writer(
            files.path_of(tmp_path, RoomId(1)), RoomId(1), MIGRATIONS, now_ms=now_ms, check=False
        )
        try:
            if made == "message":
                return talking.send_message(writer, OWNER, general, Draft(name), now_ms=now_ms).message.id
            if made == "thread":
                return branching.open_thread(writer, OWNER, general, name, now_ms=now_ms).id
            return shaping.create_channel(writer, OWNER, ChannelDraft(name), now_ms=now_ms).id
        finally:
            connection.close()

    founded = files.create(
        tmp_path,
        RoomId(1),
        MIGRATIONS,
        lambda writer: shaping.found_room(writer, "community", OWNER, [ChannelDraft("general")], now_ms=NOW_MS),
        now_ms=NOW_MS,
    )
    general = ChannelId(founded[0].id)
    clock = (NOW_MS, NOW_MS + DAY_MS, NOW_MS, NOW_MS - DAY_MS, NOW_MS + DAY_MS)
    given_out = [make(now_ms, f"name{number}") for number, now_ms in enumerate(clock)]
    assert given_out == sorted(set(given_out))
    assert given_out[0] > general
