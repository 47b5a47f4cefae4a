"""The mypy plugin for ScopedRoom, which fills in the room, the caller and the time of an act.

Python's types cannot say "the parameters of this function, but without the keyword now_ms". So mypy is told here: what
is left to give is what the act takes beyond its first two parameters and `now_ms`. Without the plugin any arguments
pass, so tests/test_scoped_room_types.py holds that it is asked.
"""

from collections.abc import Callable
from typing import Final

from mypy.plugin import MethodSigContext, Plugin
from mypy.types import CallableType, FunctionLike, get_proper_type

CLASS: Final = "router.room_access.ScopedRoom"
METHODS: Final = frozenset({f"{CLASS}.read", f"{CLASS}.write", f"{CLASS}.ask"})
FILLED_IN: Final = 2
"""The store and the caller of an act; the room and the caller of a method of History or Searches."""


class ScopedRooms(Plugin):
    """Checks what is given to ScopedRoom's methods against the act's own parameters."""

    def get_method_signature_hook(self, fullname: str) -> Callable[[MethodSigContext], FunctionLike] | None:
        return _of_act if fullname in METHODS else None


def _of_act(context: MethodSigContext) -> FunctionLike:
    declared = context.default_signature
    act = get_proper_type(context.api.get_expression_type(context.args[0][0])) if context.args[0] else None
    if not isinstance(act, CallableType):
        context.api.fail("Give a function whose parameters are known", context.context)
        return declared
    if "now_ms" not in act.arg_names:
        context.api.fail('This takes no "now_ms": ask the pool itself', context.context)
        return declared
    left = [place for place, name in enumerate(act.arg_names) if place >= FILLED_IN and name != "now_ms"]
    return declared.copy_modified(
        arg_types=[declared.arg_types[0], *(act.arg_types[place] for place in left)],
        arg_kinds=[declared.arg_kinds[0], *(act.arg_kinds[place] for place in left)],
        arg_names=[declared.arg_names[0], *(act.arg_names[place] for place in left)],
    )


def plugin(_version: str) -> type[Plugin]:
    """Return the plugin; mypy looks for this name."""
    return ScopedRooms
