"""Routes that only communities have: groups and direct chats have one channel, no roles to shape and no invites.

To whoever is in such a room these answer 409, whatever they would do; to everybody else the room is not there, as ever.
"""

from collections.abc import Iterable
from dataclasses import replace
from functools import wraps
from typing import Any, Final

from router.doors import RoomDoor
from router.table import Call, Reply, Route

_ROOM: Final = "/v1/rooms/{room_id}"
_OF_COMMUNITIES: Final = {
    "/invites": "GET POST",
    "/invites/{code}": "DELETE",
    "/bans": "GET",
    "/bans/{user_id}": "PUT DELETE",
    "/webhooks": "GET",
    "/webhooks/incoming": "POST",
    "/webhooks/outgoing": "POST",
    "/webhooks/{webhook_id}": "GET PATCH DELETE",
    "/webhooks/{webhook_id}/renew": "POST",
    "/webhooks/{webhook_id}/ping": "POST",
    "/roles": "POST",
    "/roles/order": "PUT",
    "/roles/{role_id}": "PATCH DELETE",
    "/members/{user_id}/roles/{role_id}": "PUT DELETE",
    "/channels": "POST",
    "/channels/order": "PUT",
    "/channels/{channel_id}": "PATCH DELETE",
    "/channels/{channel_id}/overwrites": "GET",
    "/channels/{channel_id}/overwrites/{target_type}/{target_id}": "PUT DELETE",
    "/categories": "POST",
    "/categories/{category_id}": "PATCH DELETE",
    "/categories/{category_id}/overwrites": "GET",
    "/categories/{category_id}/overwrites/{target_type}/{target_id}": "PUT DELETE",
}
ONLY: Final = frozenset(
    (method, _ROOM + path) for path, methods in _OF_COMMUNITIES.items() for method in methods.split()
)


def guarded(routes: Iterable[Route], door: RoomDoor) -> tuple[Route, ...]:
    """Return the routes, those of ONLY closed for groups and direct chats."""
    return tuple(_guarded(route, door) if (route.method, route.path) in ONLY else route for route in routes)


def _guarded(route: Route, door: RoomDoor) -> Route:
    ask = route.endpoint

    @wraps(ask)
    async def endpoint(call: Call[Any, Any]) -> Reply:
        await door.require_community(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        return await ask(call)

    return replace(route, endpoint=endpoint, refusals=(*route.refusals, 409))
