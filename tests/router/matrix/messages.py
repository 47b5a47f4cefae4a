"""Talk: what is said in a channel is for those who see it."""

from tests.router.matrix.rows import CHANNEL, MESSAGE, ROOM, Row, Rows, inside

# A row of a message is the owner's: nobody else edits it, and who manages messages deletes it.

ROWS: Rows = {
    ("POST", CHANNEL + "/messages"): Row(inside(201), {"content": "hello"}),
    ("GET", CHANNEL + "/messages"): Row(inside(200)),
    ("GET", MESSAGE): Row(inside(200)),
    ("PATCH", MESSAGE): Row(inside(200, 403), {"content": "{role}"}),
    ("DELETE", MESSAGE): Row(inside(204, 204, 403), fresh=True),
    ("GET", MESSAGE + "/history"): Row(inside(200)),
    ("POST", CHANNEL + "/messages/bulk-delete"): Row(inside(200, 200, 403), {"ids": ["{message_id}"]}),
    ("POST", CHANNEL + "/messages/move"): Row(inside(200, 200, 403), {"ids": ["{message_id}"], "thread_id": None}),
    ("GET", ROOM + "/system-channel"): Row(inside(200)),
    ("PUT", ROOM + "/system-channel"): Row(inside(200, 200, 403), {"channel_id": "{channel_id}"}),
}
