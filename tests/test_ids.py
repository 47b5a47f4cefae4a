"""Snowflakes: they grow whatever the clock does, tell their time, and never come back after a restart."""

import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ids
from ids import ChannelId, RoomId, UserId
from migrations import engine
from shard.actions import channels, messages, rooms, threads
from shard.actions.channels import ChannelDraft
from shard.engine import files
from shard.tables.messages import Draft

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
    assert ids.Sequence().next(ids.EPOCH_MS) > 0
    assert ids.Sequence().next(ids.EPOCH_MS - DAY_MS) > 0


def test_what_was_seen_is_not_given_out_again() -> None:
    """A sequence goes on above the highest number it was told of, and is not moved by lower ones."""
    sequence = ids.Sequence(ids.at(NOW_MS))
    sequence.seen(ids.at(NOW_MS + 10))
    sequence.seen(5)
    assert ids.time_ms(sequence.next(NOW_MS)) == NOW_MS + 10


def test_threads_never_get_the_same_id() -> None:
    """Numbers asked for by many threads at once, each for a room of its own, are all different."""
    generator = ids.Generator()
    taken: list[list[int]] = [[] for _ in range(4)]

    def take(mine: list[int]) -> None:
        sequence = ids.Sequence(0, generator)
        mine.extend(sequence.next(NOW_MS) for _ in range(5_000))

    threads = [threading.Thread(target=take, args=(mine,)) for mine in taken]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(mine == sorted(mine) for mine in taken)
    assert len({number for mine in taken for number in mine}) == 20_000


@given(
    floors=st.lists(moments, min_size=2, max_size=4),
    asked=st.lists(st.tuples(st.integers(0, 3), st.integers(-3, 3)), max_size=300),
    start=moments,
)
def test_no_two_rooms_have_an_id_in_common(floors: list[int], asked: list[tuple[int, int]], start: int) -> None:
    """Rooms ahead of the clock, by whatever they hold, and a clock that steps to and fro: each id is given out once,
    growing in each room, and outside of what imports and the directory use."""
    generator, now_ms = ids.Generator(), start
    rooms_of_it = [ids.Sequence(ids.at(min(floor, ids.TIME_MS_MAX - 1_000)), generator) for floor in floors]
    taken: list[list[int]] = [[] for _ in rooms_of_it]
    for room, step in asked:
        now_ms = min(max(now_ms + step, ids.EPOCH_MS), ids.TIME_MS_MAX - 1_000)
        taken[room % len(taken)].append(rooms_of_it[room % len(taken)].next(now_ms))
    every = [number for mine in taken for number in mine]
    assert len(set(every)) == len(every)
    assert all(mine == sorted(mine) for mine in taken)
    assert all(number % ids.PER_MILLISECOND >= ids.IMPORTED_PER_MILLISECOND for number in every)


def test_a_room_ahead_of_the_clock_draws_no_other_with_it() -> None:
    """Messages from the future in one room leave the ids of the others at the present time."""
    generator = ids.Generator()
    ahead, other = ids.Sequence(ids.at(NOW_MS + 900 * DAY_MS), generator), ids.Sequence(0, generator)
    assert ids.time_ms(ahead.next(NOW_MS)) == NOW_MS + 900 * DAY_MS
    assert ids.time_ms(other.next(NOW_MS)) == NOW_MS


def test_processes_make_different_ids_at_the_same_time() -> None:
    """Two nodes have no number in common, whatever the rooms hold."""
    one, other = (ids.Generator(node) for node in (ids.NODES[0], ids.NODES[1]))
    taken = [
        generator.next(NOW_MS, above)
        for generator in (one, other)
        for above in (0, ids.at(NOW_MS + 5))
        for _ in range(3_000)
    ]
    assert len(set(taken)) == len(taken)


@pytest.mark.parametrize("made", ["message", "thread", "channel"])
def test_ids_go_on_after_a_restart_with_a_clock_gone_back(tmp_path: Path, made: str) -> None:
    """A shard opened again a day earlier by its clock gives out higher ids than any it has given before."""

    def make(now_ms: int, name: str) -> int:
        connection, writer = files.open_writer(
            files.path_of(tmp_path, RoomId(1)), RoomId(1), MIGRATIONS, now_ms=now_ms, check=False
        )
        try:
            if made == "message":
                return messages.send_message(writer, OWNER, general, Draft(name), now_ms=now_ms).message.id
            if made == "thread":
                return threads.open_thread(writer, OWNER, general, name, now_ms=now_ms).id
            return channels.create_channel(writer, OWNER, ChannelDraft(name), now_ms=now_ms).id
        finally:
            connection.close()

    founded = files.create(
        tmp_path,
        RoomId(1),
        MIGRATIONS,
        lambda writer: rooms.found_room(writer, "community", OWNER, [ChannelDraft("general")], now_ms=NOW_MS),
        now_ms=NOW_MS,
    )
    general = ChannelId(founded[0].id)
    clock = (NOW_MS, NOW_MS + DAY_MS, NOW_MS, NOW_MS - DAY_MS, NOW_MS + DAY_MS)
    given_out = [make(now_ms, f"name{number}") for number, now_ms in enumerate(clock)]
    assert given_out == sorted(set(given_out))
    assert given_out[0] > general
