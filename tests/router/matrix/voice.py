"""Voice: for those who see its channel; its records are kept by who manages channels, or a bot that may."""

from tests.router.matrix.rows import CHANNEL, ROOM, Row, Rows, inside
from tests.router.matrix.worlds import World

VOICE = CHANNEL + "/voice"
AT = {"channel_id": "voice_channel_id"}

ROWS: Rows = {
    ("GET", ROOM + "/voice"): Row(inside(200)),
    ("GET", VOICE): Row(inside(200), at=AT),
    ("POST", VOICE + "/join"): Row(inside(200), at=AT),
    ("POST", VOICE + "/leave"): Row(inside(204), at=AT),
    ("GET", VOICE + "/sessions"): Row(inside(200), at=AT),
    ("PATCH", VOICE + "/sessions/{voice_session_id}"): Row(
        inside(200, 200, 403, 200), {"recording_url": "https://example.org/{role}.ogg"}, at=AT
    ),
}


def furnish(world: World) -> None:
    """Have the owner speak in a channel that all see and then in one that only the owner does."""
    owner = world.people["owner"]
    hidden = owner.post(f"{world.room.path}/channels", {"name": "whispers", "type": "voice", "is_private": True})
    for ids, channel_id in ((world.ids, world.room.channels["voice"]), (world.hidden, hidden["id"])):
        joined = owner.post(f"{world.room.path}/channels/{channel_id}/voice/join")
        ids.update(voice_channel_id=channel_id, voice_session_id=joined["session"]["id"])
