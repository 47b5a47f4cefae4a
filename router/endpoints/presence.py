"""Endpoints that accompany the gateway: tickets for pages, typing notices, and presence."""

from dataclasses import dataclass

from router.context import AppContext
from router.gateway.tickets import TICKET_MS
from router.room_access import Need
from router.routes import Call, Reply, Route
from router.schemas.fields import Nothing, moment
from router.schemas.gateway import PresenceListView, TicketView, TypingIn
from router.scopes import Scope

ROOM = "/v1/rooms/{room_id}"


@dataclass(frozen=True, slots=True)
class Presence:
    """The endpoints and what they need."""

    context: AppContext

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of this part."""
        return (
            Route("POST", "/v1/gateway/tickets", self.ticket, "Create a gateway ticket", "gateway", TicketView, 201),
            Route(
                "POST", ROOM + "/channels/{channel_id}/typing", self.typing, "Send a typing notice", "gateway", None,
                204, TypingIn, refusals=(409,), room=Need.TALK, scope=Scope.MESSAGES_WRITE,
            ),
            Route(
                "GET", ROOM + "/presences", self.presences, "List presences", "gateway", PresenceListView,
                room=Need.READ, scope=Scope.MESSAGES_READ,
            ),
        )  # fmt: skip

    async def ticket(self, call: Call[Nothing, Nothing]) -> Reply:
        """Create a ticket that a page presents at the gateway in place of a session's token. It works once, within
        thirty seconds."""
        answer: TicketView = {
            "ticket": self.context.gateway.tickets.issue(call.signed_in, now_ms=call.now_ms),
            "expires_at": moment(call.now_ms + TICKET_MS),
        }
        return Reply(answer, 201)

    async def typing(self, call: Call[TypingIn, Nothing]) -> Reply:
        """Notify the others who can see a channel that the caller is typing. Clients show it for eight seconds; it is
        not stored."""
        place = call.room_id, call.channel_id
        await self.context.gateway.ops.publish_typing(call.user_id, *place, call.body.thread_id, now_ms=call.now_ms)
        return Reply(status=204)

    async def presences(self, call: Call[Nothing, Nothing]) -> Reply:
        """List the presences of a room's connected members, up to 500. Members who block the caller or whom the caller
        blocks are left out."""
        ops = self.context.gateway.ops
        return Reply(await ops.presences_in(call.user_id, call.room_id, None, now_ms=call.now_ms))
