"""What goes with the gateway over HTTP: tickets for pages, typing, and who is there."""

from dataclasses import dataclass

from router.gateway.acts import Acts
from router.gateway.tickets import TICKET_MS, Tickets
from router.scopes import Scope
from router.table import Call, Reply, Route
from router.views.gateway import PresenceListView, TicketView
from router.views.values import moment
from router.wire.fields import Nothing
from router.wire.gateway import TypingIn

ROOM = "/v1/rooms/{room_id}"


@dataclass(frozen=True, slots=True)
class Live:
    """The endpoints and what they need."""

    acts: Acts
    tickets: Tickets

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of this part."""
        return (
            Route("POST", "/v1/gateway/tickets", self.ticket, "A ticket for the gateway", "gateway", TicketView, 201),
            Route(
                "POST", ROOM + "/channels/{channel_id}/typing", self.typing, "Say that I am writing", "gateway", None,
                204, TypingIn, refusals=(409,), scope=Scope.MESSAGES_WRITE,
            ),
            Route(
                "GET", ROOM + "/presences", self.presences, "Who is there", "gateway", PresenceListView,
                scope=Scope.MESSAGES_READ,
            ),
        )  # fmt: skip

    async def ticket(self, call: Call[Nothing, Nothing]) -> Reply:
        """Return a ticket that stands for the caller's session at the gateway, once and within thirty seconds."""
        assert call.viewer is not None, "the gate lets in nobody without a session"
        answer: TicketView = {
            "ticket": self.tickets.issue(call.viewer, now_ms=call.now_ms),
            "expires_at": moment(call.now_ms + TICKET_MS),
        }
        return Reply(answer, 201)

    async def typing(self, call: Call[TypingIn, Nothing]) -> Reply:
        """Tell the others who see a channel that the caller is writing; shown for eight seconds, and never kept."""
        place = call.path["room_id"], call.path["channel_id"]
        await self.acts.type(call.user_id, *place, call.body.thread_id, now_ms=call.now_ms)
        return Reply(status=204)

    async def presences(self, call: Call[Nothing, Nothing]) -> Reply:
        """Tell who of a room is connected and how present, up to 500 people; not those who block the caller or whom the
        caller blocks."""
        return Reply(await self.acts.present(call.user_id, call.path["room_id"], None, now_ms=call.now_ms))
