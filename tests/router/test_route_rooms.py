"""Routes declare what they do with the room of their path, and get it from dispatch alone."""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import replace

import pytest

from router.routes import Access, Route
from tests.router.route_table import declared

pytestmark = pytest.mark.security

SHARD = "/v1/operate/shards/{room_id}"
BY_ADDRESS = "the signed address is the permission, and is looked at before the room"
OF_OPERATORS = "operators look at the shard itself, whatever state its room is in"
WITHOUT_NEED = {
    ("PUT", "/v1/uploads/{room_id}/{file}"): BY_ADDRESS,
    ("GET", "/v1/files/{room_id}/{file}"): BY_ADDRESS,
    ("GET", SHARD): OF_OPERATORS,
    ("GET", SHARD + "/sizes"): OF_OPERATORS,
    ("PUT", SHARD + "/limit"): OF_OPERATORS,
    ("GET", SHARD + "/archive"): OF_OPERATORS,
    ("PUT", SHARD + "/archive/policy"): OF_OPERATORS,
    ("PUT", SHARD + "/archive/hold"): OF_OPERATORS,
    ("DELETE", SHARD + "/archive/hold"): OF_OPERATORS,
    ("DELETE", SHARD + "/quarantine"): OF_OPERATORS,
}
"""Routes with a room in their path that dispatch does not find, and why."""

ROUTES = declared()


def without_need(routes: tuple[Route, ...]) -> set[tuple[str, str]]:
    return {(route.method, route.path) for route in routes if "{room_id}" in route.path and route.room is None}


def needless(routes: tuple[Route, ...]) -> set[tuple[str, str]]:
    """Return routes that declare what they cannot have: a room without its id or without a caller."""
    return {
        (route.method, route.path)
        for route in routes
        if (route.room is not None and ("{room_id}" not in route.path or route.access is Access.OPEN))
        or (route.community_only and route.room is None)
    }


def test_every_route_of_a_room_declares_its_need() -> None:
    """A route with a room in its path says what it does with it, or stands in WITHOUT_NEED."""
    assert without_need(ROUTES) == WITHOUT_NEED.keys()


def test_no_route_declares_a_room_that_it_cannot_have() -> None:
    """A need is declared where there is a room in the path and somebody who asks."""
    assert needless(ROUTES) == set()


def test_a_forgotten_need_is_found() -> None:
    """A route that forgets its need, or declares one in vain, is found by these rules."""
    of_room = next(route for route in ROUTES if route.room is not None)
    forgetful = replace(of_room, room=None)
    assert without_need((forgetful,)) == {(of_room.method, of_room.path)}
    for vain in (replace(of_room, path="/v1/rooms"), replace(of_room, access=Access.OPEN)):
        assert needless((vain,)) == {(vain.method, vain.path)}
    assert needless((replace(of_room, room=None, community_only=True),)) == {(of_room.method, of_room.path)}


def asked_of_paths(route: Route) -> Iterator[str]:
    """Return the names of the path that an endpoint reads from its call, those that it passes on by helpers aside."""
    known = {name[:-1] for part in ROUTES for name in part.path.split("{")[1:] for name in [name.partition("/")[0]]}
    names = {"target_id": "user_id", "overwrite_target": "target_id"}
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(route.endpoint)))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "call":
            name = names.get(node.attr, "" if node.attr == "user_id" else node.attr)
            if name in known:
                yield name


@pytest.mark.parametrize("route", ROUTES, ids=[f"{route.method} {route.path}" for route in ROUTES])
def test_an_endpoint_reads_what_its_path_has(route: Route) -> None:
    """Every value of the path that an endpoint reads is a parameter of its route."""
    for name in asked_of_paths(route):
        assert f"{{{name}}}" in route.path
