"""A thousand acts upon roles at once, through the pool, against the plain model: nobody climbs."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from ids import RoleId, UserId
from shard import permissions
from shard.actions import roles
from shard.actions.roles import RoleDraft
from shard.errors import ConflictError, ForbiddenError
from tests.shard import stage
from tests.shard.plain import Names, Ranks

pytestmark = pytest.mark.security

ACTS = 1_000
PEOPLE = [UserId(number) for number in range(20, 28)]
ABOVE_ALL = ("administrator", "ban_members")
"""What only the one role has that nobody here stands above."""
COMMON = ("manage_roles", "kick_members", "send_messages", "pin_messages", "manage_messages", "view_audit_log")
SIZES = (8, 6, 6, 4, 3, 3, 2, 2)

Outcome = type[Exception] | None


class Play:
    """Chooses acts, does each to the model at once, and keeps them to be done together for real."""

    def __init__(self, it: stage.Stage, room: stage.Room, ranks: Ranks, seed: int) -> None:
        self.it, self.room, self.ranks = it, room, ranks
        self.chance = random.Random(seed)
        self.changes = 0
        self.doing: list[tuple[Callable[[], Awaitable[Any]], Outcome]] = []

    def write(self, act: Callable[..., Any], *arguments: Any) -> Callable[[], Awaitable[Any]]:
        return lambda: self.it.pool.write(self.room.id, act, *arguments, now_ms=stage.NOW_MS)

    def act(self) -> None:
        actor = self.chance.choice(PEOPLE)
        before = {person: self.ranks.of(person) for person in PEOPLE}
        choose = self.chance.choice([self.reorder, self.grant, self.grant, self.revoke, self.edit])
        act, outcome = choose(actor)
        self.doing.append((act, outcome))
        gained = [self.ranks.of(person) - before[person] for person in PEOPLE]
        assert frozenset[str]().union(*gained) <= before[actor], "the model itself lets nobody give what they lack"

    def reorder(self, actor: UserId) -> tuple[Callable[[], Awaitable[Any]], Outcome]:
        below = self.ranks.below(actor)
        # Now and then somebody tries to move a role that they do not stand above.
        wanted = below if self.chance.random() < 0.7 else self.chance.sample(self.ranks.order, k=len(below))
        order = self.chance.sample(wanted, k=len(wanted))
        act = self.write(roles.order_roles, actor, [RoleId(role) for role in order])
        if "manage_roles" not in self.ranks.of(actor):
            return act, ForbiddenError
        if sorted(order) != sorted(below):
            return act, ConflictError
        self.changes += order != below
        if below:
            self.ranks.order[-len(below) :] = order
        return act, None

    def grant(self, actor: UserId) -> tuple[Callable[[], Awaitable[Any]], Outcome]:
        person, role = self.chance.choice(PEOPLE), self.chance.choice(self.ranks.order)
        act = self.write(roles.grant_role, actor, person, RoleId(role))
        allowed = self.ranks.may_touch(actor, role) and self.ranks.may_act_upon(actor, person)
        if not allowed or not self.ranks.allows[role] <= self.ranks.of(actor):
            return act, ForbiddenError
        self.changes += role not in self.ranks.held[person]
        self.ranks.held[person].add(role)
        return act, None

    def revoke(self, actor: UserId) -> tuple[Callable[[], Awaitable[Any]], Outcome]:
        person, role = self.chance.choice(PEOPLE), self.chance.choice(self.ranks.order)
        act = self.write(roles.revoke_role, actor, person, RoleId(role))
        if not self.ranks.may_touch(actor, role) or not self.ranks.may_act_upon(actor, person):
            return act, ForbiddenError
        self.changes += role in self.ranks.held[person]
        self.ranks.held[person].discard(role)
        return act, None

    def edit(self, actor: UserId) -> tuple[Callable[[], Awaitable[Any]], Outcome]:
        role = self.chance.choice(self.ranks.order)
        wanted = frozenset(self.chance.sample((*COMMON, *ABOVE_ALL), k=self.chance.randrange(4)))
        act = self.write(roles.edit_role, actor, RoleId(role), {"permissions": permissions.bits(wanted)})
        changed = wanted ^ self.ranks.allows[role]
        if not self.ranks.may_touch(actor, role) or not changed <= self.ranks.of(actor):
            return act, ForbiddenError
        self.changes += bool(changed)
        self.ranks.allows[role] = wanted
        return act, None


async def found(it: stage.Stage, seed: int) -> tuple[stage.Room, Ranks]:
    """Make a room with a role for every height, the highest with all, each with some, and people on every step."""
    chance = random.Random(seed)
    room = await it.found(members=PEOPLE)

    async def write(act: Callable[..., Any], *arguments: Any) -> Any:
        return await it.pool.write(room.id, act, *arguments, now_ms=stage.NOW_MS)

    order: list[int] = []
    allows: dict[int, Names] = {}
    for height, size in enumerate(SIZES):
        some = {"manage_roles", *chance.sample(COMMON, k=min(size, len(COMMON)))} if size > 2 else {"pin_messages"}
        names = frozenset(some) | (frozenset(ABOVE_ALL) if height == 0 else frozenset())
        role = await write(roles.create_role, stage.OWNER, RoleDraft(str(height), None, permissions.bits(names)))
        order.append(role.id)
        allows[role.id] = names
    held: dict[int, set[int]] = {}
    for person, role_id in zip(PEOPLE, [*order[1:], order[3]], strict=True):
        await write(roles.grant_role, stage.OWNER, person, RoleId(role_id))
        held[person] = {role_id}
    everyone = frozenset(permissions.names(permissions.EVERYONE))
    return room, Ranks(order, allows, everyone, held)


async def standing(it: stage.Stage, room: stage.Room) -> Any:
    """Return the roles of a room as the model tells them."""
    rows = await it.rows(room, "SELECT id, permissions FROM roles WHERE position > 0 ORDER BY position DESC")
    held: dict[int, set[int]] = {person: set() for person in PEOPLE}
    for person, role in await it.rows(room, "SELECT user_id, role_id FROM member_roles"):
        held[person].add(role)
    allows = {role: frozenset(permissions.names(bits)) for role, bits in rows}
    order = tuple(role for role, _ in rows)
    return order, allows, {person: frozenset(roles) for person, roles in held.items()}


@pytest.mark.parametrize("seed", [1, 2])
async def test_nobody_climbs(tmp_path: Path, seed: int) -> None:
    """Of a thousand reorders, grants, revocations and edits at once each is done or refused as the model says, one that
    is refused leaves nothing, and nobody ends with what only the highest role has."""
    async with stage.opened(tmp_path) as it:
        room, ranks = await found(it, seed)
        assert await standing(it, room) == ranks.state()
        counts = "SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM audit_log)"
        [before] = await it.rows(room, counts)
        play = Play(it, room, ranks, seed)
        for _ in range(ACTS):
            play.act()
        results = await asyncio.gather(*(act() for act, _ in play.doing), return_exceptions=True)
        for result, (_, outcome) in zip(results, play.doing, strict=True):
            assert isinstance(result, outcome) if outcome else not isinstance(result, BaseException), result
        assert await standing(it, room) == ranks.state()
        [after] = await it.rows(room, counts)
        assert (after[0] - before[0], after[1] - before[1]) == (play.changes, play.changes)
        assert play.changes > ACTS / 20, "most acts were refused, so the test said little"
        for person in PEOPLE:
            assert not ranks.of(person) & set(ABOVE_ALL)
        assert await it.rows(room, "SELECT position FROM roles ORDER BY position") == [
            (position,) for position in range(len(SIZES) + 1)
        ]
