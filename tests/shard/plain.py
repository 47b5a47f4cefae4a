"""Permissions of members as the documents describe them: one at a time, in names and sets, without bits."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

Names = frozenset[str]
NOTHING: Names = frozenset()


@dataclass(frozen=True, slots=True)
class Said:
    """The names that one overwrite allows and denies."""

    allow: Names = NOTHING
    deny: Names = NOTHING

    def decide(self, name: str, so_far: bool) -> bool:
        if name in self.allow:
            return True
        return so_far and name not in self.deny


SILENT = Said()


def in_room(everything: Collection[str], *, is_owner: bool, everyone: Names, roles: Iterable[Names]) -> Names:
    """Return what a member may in the room."""
    has = set(everyone)
    for role in roles:
        has |= role
    return frozenset(everything) if is_owner or "administrator" in has else frozenset(has)


def in_channel(
    everything: Collection[str],
    base: Names,
    *,
    everyone: Said = SILENT,
    roles: Sequence[Said] = (),
    own: Said = SILENT,
    is_private: bool = False,
    is_timed_out: bool = False,
) -> Names:
    """Return what somebody with `base` in the room may in a channel."""

    def may(name: str) -> bool:
        if "administrator" in base:
            return True
        verdict = everyone.decide(name, name in base)
        if is_private and name == "view_channel":
            verdict = False
        if any(name in role.deny for role in roles):
            verdict = False
        if any(name in role.allow for role in roles):
            verdict = True
        return own.decide(name, verdict)

    if not may("view_channel"):
        return NOTHING
    left = {name for name in everything if may(name)}
    if is_timed_out and "administrator" not in base:
        left &= {"view_channel", "read_history"}
    return frozenset(left)


@dataclass(slots=True)
class Ranks:
    """Roles in their order, highest first, with who has which; the owner is nobody who acts here."""

    order: list[int]
    allows: dict[int, Names]
    everyone: Names
    held: dict[int, set[int]] = field(default_factory=dict)

    def of(self, person: int) -> Names:
        return self.everyone.union(*(self.allows[role] for role in self.held[person]))

    def height(self, person: int) -> int:
        """Return how high somebody stands: 0 without a role."""
        return max((len(self.order) - self.order.index(role) for role in self.held[person]), default=0)

    def below(self, person: int) -> list[int]:
        """Return the roles that somebody stands above, highest first."""
        return self.order[len(self.order) - self.height(person) + 1 :] if self.height(person) else []

    def may_touch(self, actor: int, role: int) -> bool:
        return "manage_roles" in self.of(actor) and role in self.below(actor)

    def may_act_upon(self, actor: int, person: int) -> bool:
        return self.height(actor) > self.height(person)

    def state(self) -> tuple[Sequence[int], Mapping[int, Names], Mapping[int, frozenset[int]]]:
        return tuple(self.order), dict(self.allows), {person: frozenset(held) for person, held in self.held.items()}
