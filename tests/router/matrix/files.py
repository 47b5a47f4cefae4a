"""Files: uploads are their makers', files of messages are for those who read these; who has a link needs no more."""

from urllib.parse import parse_qsl, urlsplit

from tests.router import uploads
from tests.router.matrix.rows import CHANNEL, EVERYBODY, SIGNED_IN, Row, Rows, inside
from tests.router.matrix.worlds import World

ATTACHMENT = CHANNEL + "/attachments/{attachment_id}"
UPLOAD = {"attachment_id": "upload_id"}
SIGNED = ("type", "size", "sha256", "name", "expires", "signature")
FORGED = {name: "{link_" + name + "}" for name in SIGNED} | {"signature": "0" * 64}

ROWS: Rows = {
    ("POST", CHANNEL + "/attachments"): Row(inside(201), uploads.announced()),
    ("POST", ATTACHMENT + "/complete"): Row(inside(200, 404), at=UPLOAD),
    ("DELETE", ATTACHMENT): Row(inside(204, 404), at=UPLOAD, fresh=True),
    ("GET", ATTACHMENT + "/content"): Row(inside(200)),
    ("GET", ATTACHMENT + "/link"): Row(inside(200)),
    ("PUT", "/v1/uploads/{room_id}/{file}"): Row(EVERYBODY.replace("200", "403"), params=FORGED),
    ("GET", "/v1/files/{room_id}/{file}"): Row(EVERYBODY, params={name: "{link_" + name + "}" for name in SIGNED}),
    ("GET", "/v1/users/me/storage"): Row(SIGNED_IN),
}


def furnish(world: World) -> None:
    """Have the owner upload a file and send another, where all see it and where only the owner does."""
    owner = world.people["owner"]
    for ids, channel_id in ((world.ids, world.ids["channel_id"]), (world.hidden, world.hidden["channel_id"])):
        channel = f"{world.room.path}/channels/{channel_id}"
        sent = uploads.send(owner, channel)
        ids.update(attachment_id=sent["attachments"][0]["id"], upload_id=uploads.begin(owner, channel))
    link = urlsplit(
        owner.get(
            f"{world.room.path}/channels/{world.ids['channel_id']}/attachments/{world.ids['attachment_id']}/link"
        )["url"]
    )
    world.ids["file"] = link.path.rpartition("/")[2]
    world.ids.update({f"link_{name}": value for name, value in parse_qsl(link.query, keep_blank_values=True)})
