"""Files over HTTP: from the announcement to the download, and everything that is refused on the way."""

import hashlib
from typing import Any

import pytest

from tests.router.clients import Client, Room
from tests.router.uploads import JPEG, PNG, announced, put, send, upload

TEXT = b"Moss keeps warm.\n" * 40


@pytest.fixture
def room(owner: Client, other: Client) -> Room:
    """A community with two people in it."""
    made = owner.found()
    owner.admit(made, other)
    return made


def test_a_file_goes_from_one_to_the_other(owner: Client, other: Client, room: Room) -> None:
    """What one announces, sends, completes and attaches, another finds in the message and reads, byte for byte."""
    asked = owner.post(f"{room.general}/attachments", announced())
    assert asked["upload"]["method"] == "PUT"
    assert put(owner, asked, PNG).status_code == 204
    path = f"{room.general}/attachments/{asked['attachment']['id']}"
    done = owner.post(f"{path}/complete")
    assert (done["width"], done["height"], done["size_bytes"]) == (3, 2, len(PNG))
    assert owner.post(f"{path}/complete") == done
    sent = owner.post(f"{room.general}/messages", {"attachment_ids": [done["id"]], "nonce": "n"})
    assert (sent["content"], sent["content_type"], sent["attachments"]) == ("", "image", [done])
    again = owner.ask("POST", f"{room.general}/messages", {"attachment_ids": [done["id"]], "nonce": "n"})
    assert (again.status_code, again.json()) == (200, sent)
    read = other.get(f"{room.general}/messages")["messages"][0]
    assert read == sent
    response = other.ask("GET", read["attachments"][0]["url"])
    assert (response.status_code, response.content) == (200, PNG)
    assert response.headers["content-type"] == "image/png"
    assert response.headers["content-disposition"].startswith('attachment; filename="nest.png"')
    assert response.headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert response.headers["etag"] == f'"{hashlib.sha256(PNG).hexdigest()}"'


def test_ten_files_and_no_more(owner: Client, room: Room) -> None:
    """A message has up to ten files, each once, in the order in which it names them, with words or without."""
    ids = [upload(owner, room.general, str(number).encode(), mime_type="text/plain") for number in range(11)]
    for wrong in (ids, [ids[0], ids[0]]):
        assert owner.refused("POST", f"{room.general}/messages", {"attachment_ids": wrong}).status == 422
    for nothing in ({"content": ""}, {"content": " ", "attachment_ids": []}, {}):
        assert "body.content" in owner.refused("POST", f"{room.general}/messages", nothing).errors
    wanted = ids[:10][::-1]
    sent = owner.post(f"{room.general}/messages", {"attachment_ids": wanted, "content": "all"})
    assert [file["id"] for file in sent["attachments"]] == wanted
    read = owner.get(f"{room.general}/messages")["messages"][0]
    assert (read["attachments"], read["content_type"]) == (sent["attachments"], "file")


def test_a_part_of_a_file_is_read(owner: Client, room: Room) -> None:
    """A range is answered as such, with If-Range of this file only, and one behind the end is refused."""
    file = send(owner, room.general, TEXT, mime_type="text/plain")["attachments"][0]
    whole = owner.ask("GET", file["url"])
    assert (whole.content, whole.headers["accept-ranges"]) == (TEXT, "bytes")
    part = owner.ask("GET", file["url"], headers={"range": "bytes=5-9", "if-range": whole.headers["etag"]})
    assert (part.status_code, part.content) == (206, TEXT[5:10])
    assert part.headers["content-range"] == f"bytes 5-9/{len(TEXT)}"
    other = owner.ask("GET", file["url"], headers={"range": "bytes=5-9", "if-range": '"x"'})
    assert (other.status_code, other.content) == (200, TEXT)
    behind = owner.ask("GET", file["url"], headers={"range": f"bytes={len(TEXT)}-"})
    assert (behind.status_code, behind.headers["content-range"]) == (416, f"bytes */{len(TEXT)}")
    head = owner.ask("HEAD", file["url"])
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(TEXT)))
    for header in ("bytes=5-9", f"bytes={len(TEXT)}-"):
        ranged = owner.ask("HEAD", file["url"], headers={"range": header})
        assert (ranged.status_code, ranged.headers["content-length"]) == (200, str(len(TEXT)))
        assert "content-range" not in ranged.headers


@pytest.mark.parametrize("way", ["content", "link"])
def test_a_file_that_one_has_is_not_sent_again(owner: Client, room: Room, way: str) -> None:
    """If-None-Match with the file's ETag is 304 and no byte; If-Match with others is 412; both before any range."""
    url = send(owner, room.general, TEXT, mime_type="text/plain")["attachments"][0]["url"]
    if way == "link":
        url = owner.get(url.replace("/content", "/link"))["url"]
    etag = owner.ask("GET", url).headers["etag"]
    for method, known in [("GET", etag), ("HEAD", etag), ("GET", f'"x", W/{etag}'), ("GET", "*")]:
        answer = owner.ask(method, url, headers={"if-none-match": known, "range": "bytes=0-3"})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
        assert (answer.headers["cache-control"][:8], answer.headers["vary"]) == ("private,", "Origin")
    for other in ('"x"', etag.strip('"'), etag[:-2] + '"', ""):
        assert owner.ask("GET", url, headers={"if-none-match": other}).content == TEXT
    for wrong in ('"x"', f"W/{etag}", '"x", "y"'):
        both = {"if-match": wrong, "if-none-match": etag}
        assert owner.refused("GET", url, headers=both).type == "precondition-failed"
    for right in (etag, f'"x", {etag}', "*"):
        assert owner.ask("GET", url, headers={"if-match": right, "range": "bytes=0-3"}).content == TEXT[:4]
    dated = {"if-modified-since": "Fri, 20 Nov 2099 14:00:00 GMT"}
    assert owner.ask("GET", url, headers=dated).status_code == 200


def test_a_browser_keeps_a_file_as_long_as_its_link_lasts(owner: Client, nobody: Client, room: Room) -> None:
    """A link's file is fresh for what is left of its time, any other is asked for each time; no cache shares it."""
    url = send(owner, room.general)["attachments"][0]["url"]
    told = owner.ask("GET", url).headers
    assert (told["cache-control"], told["vary"]) == ("private, no-cache", "Origin")
    link = owner.get(url.replace("/content", "/link"))["url"]
    for headers in ({}, {"range": "bytes=0-3"}):
        kind, _, age = nobody.ask("GET", link, headers=headers).headers["cache-control"].partition(", max-age=")
        assert kind == "private"
        assert 800 <= int(age) < 900
    assert nobody.ask("GET", link[:-1] + ("0" if link[-1] != "0" else "1")).headers["cache-control"] == "no-store"


def test_a_link_needs_no_session(owner: Client, nobody: Client, room: Room) -> None:
    """Whoever has a link reads the file, whole or in part, for a while; who altered it does not."""
    path = f"{room.general}/attachments/{send(owner, room.general)['attachments'][0]['id']}"
    link = owner.get(f"{path}/link")["url"]
    assert nobody.ask("GET", link).content == PNG
    assert nobody.ask("GET", link, headers={"range": "bytes=0-3"}).content == PNG[:4]
    assert nobody.ask("GET", f"{link}&inline=1").headers["content-disposition"].startswith("inline")
    assert nobody.refused("GET", f"{path}/content").status == 401
    for altered in (
        link[:-1] + "0",
        link.replace("name=nest", "name=best"),
        link.replace("image%2Fpng", "text%2Fhtml"),
    ):
        if altered != link:
            assert nobody.refused("GET", altered).type == "link-refused"


@pytest.mark.security
@pytest.mark.parametrize(
    "mime_type",
    ["text/html", "image/svg+xml", "application/xhtml+xml", "text/javascript", "text/xml", "application/pdf"],
)
def test_what_a_browser_could_run_is_saved(owner: Client, nobody: Client, room: Room, mime_type: str) -> None:
    """Pages, drawings and scripts are never shown, whatever is asked for, and are no type that a browser runs."""
    page = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
    sent = send(owner, room.general, page, mime_type=mime_type, filename="page.html")
    assert sent["content_type"] == "file"
    url = sent["attachments"][0]["url"]
    link = owner.get(url.replace("/content", "/link"))["url"]
    for response in (owner.ask("GET", f"{url}?inline=1"), nobody.ask("GET", f"{link}&inline=1")):
        assert response.content == page
        assert response.headers["content-type"] == "application/octet-stream"
        assert response.headers["content-disposition"].startswith("attachment")
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["content-security-policy"] == "sandbox; default-src 'none'"


@pytest.mark.security
@pytest.mark.parametrize("mime_type", ["image/png", "image/jpeg", "image/gif", "image/webp"])
def test_an_image_is_what_it_says(owner: Client, room: Room, mime_type: str) -> None:
    """What is announced as an image and is none, or another, is never served as what it is not, and is not lost."""
    fakes = [b"<html><script>alert(1)</script></html>" + bytes(60), b"GIF89a\0\0\0\0" + bytes(60)]
    fakes += [PNG[:16] + b"\xff" * 8 + bytes(60)]
    for fake in fakes:
        sent = send(owner, room.general, fake, mime_type=mime_type)
        (file,) = sent["attachments"]
        assert (file["mime_type"], file["width"], sent["content_type"]) == ("application/octet-stream", None, "file")
        answer = owner.ask("GET", f"{file['url']}?inline=1")
        assert (answer.content, answer.headers["content-type"]) == (fake, "application/octet-stream")
        assert answer.headers["content-disposition"].startswith("attachment")


@pytest.mark.parametrize(
    ("announced_as", "data", "known_as"),
    [
        ("image/jpeg", PNG, "image/png"),
        ("image/jpg", PNG, "image/png"),
        ("image/x-png", PNG, "image/png"),
        ("application/octet-stream", PNG, "image/png"),
        ("image/heic", JPEG, "image/jpeg"),
        ("image/jpg", JPEG, "image/jpeg"),
        ("image/png", JPEG, "image/jpeg"),
        ("image/pjpeg; x=y", JPEG, "image/jpeg"),
        ("image/heic", TEXT, "image/heic"),
        ("text/plain", PNG, "text/plain"),
    ],
)
def test_the_bytes_decide_the_type(owner: Client, room: Room, announced_as: str, data: bytes, known_as: str) -> None:
    """An image is what its bytes are under any image's type, keeps its name, and is shown and told as such."""
    sent = send(owner, room.general, data, mime_type=announced_as, filename="nest.jpg")
    (file,) = sent["attachments"]
    is_image = known_as in ("image/png", "image/jpeg")
    assert (file["mime_type"], file["filename"]) == (known_as, "nest.jpg")
    assert (file["width"], file["height"]) == ((3, 2) if is_image else (None, None))
    assert sent["content_type"] == ("image" if is_image else "file")
    link = owner.get(file["url"].replace("/content", "/link"))["url"]
    for url in (f"{file['url']}?inline=1", f"{link}&inline=1"):
        answer = owner.ask("GET", url)
        assert answer.content == data
        assert answer.headers["content-type"] == (known_as if is_image else "application/octet-stream")
        assert answer.headers["content-disposition"].startswith("inline" if is_image else "attachment")
    assert owner.get(f"{room.general}/messages")["messages"][0] == sent


def test_a_turned_picture_has_the_size_that_is_shown(owner: Client, room: Room) -> None:
    """A photo that its EXIF turns by a quarter is as wide as it is shown."""
    block = b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0" + bytes(4)
    turned = JPEG[:2] + b"\xff\xe1" + (len(block) + 2).to_bytes(2) + block + JPEG[2:]
    (file,) = send(owner, room.general, turned, mime_type="image/jpeg")["attachments"]
    assert (file["width"], file["height"]) == (2, 3)


@pytest.mark.parametrize("mime_type", ["text/plain", "application/octet-stream", "image/png"])
def test_an_empty_file_is_a_file(owner: Client, room: Room, mime_type: str) -> None:
    """A file without a byte is announced, sent, attached and read as any other; a range of it is none."""
    sent = send(owner, room.general, b"", mime_type=mime_type, filename="__init__.py")
    (file,) = sent["attachments"]
    assert (file["size_bytes"], sent["content_type"]) == (0, "file")
    link = owner.get(file["url"].replace("/content", "/link"))["url"]
    for url in (file["url"], link):
        answer = owner.ask("GET", url)
        assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "0")
        assert owner.refused("GET", url, headers={"range": "bytes=0-"}).type == "range-refused"
    owner.did("DELETE", f"{room.general}/messages/{sent['id']}")


@pytest.mark.security
def test_only_the_announced_bytes_are_taken(owner: Client, room: Room) -> None:
    """Other bytes, more, fewer, or of another type are refused, and the right ones are taken afterwards, and again."""
    asked = owner.post(f"{room.general}/attachments", announced())
    path = f"{room.general}/attachments/{asked['attachment']['id']}"
    for wrong in (PNG[:-1] + b"x", PNG + b"x", PNG[:-1], b""):
        assert put(owner, asked, wrong).status_code == 422
        assert owner.refused("POST", f"{path}/complete").type == "conflict"
    assert put(owner, asked, PNG, headers={"content-type": "text/html"}).status_code == 422
    chunked = owner.http.put(
        asked["upload"]["url"], content=iter([PNG[:9], PNG[9:], b"x"]), headers={"content-type": "image/png"}
    )
    assert (chunked.status_code, chunked.json()["type"]) == (422, "/docs#problem-upload-mismatch")
    assert put(owner, asked, PNG, headers={"content-encoding": "gzip"}).status_code == 415
    assert put(owner, asked, PNG).status_code == 204
    assert put(owner, asked, PNG).status_code == 204
    assert put(owner, asked, PNG[:-1] + b"x").status_code == 422
    assert owner.post(f"{path}/complete")["width"] == 3


@pytest.mark.security
def test_an_upload_is_for_whom_it_was_signed(owner: Client, room: Room) -> None:
    """A forged, altered or borrowed signature takes nothing, and neither does one whose upload was cancelled."""
    asked, second = (owner.post(f"{room.general}/attachments", announced()) for _ in range(2))
    url, elsewhere = asked["upload"]["url"], second["upload"]["url"]
    path = url.partition("?")[0]
    forged = [
        f"{path}?{elsewhere.partition('?')[2]}",
        url.replace("size=", "size=1"),
        url.replace("expires=1", "expires=2"),
        url[:-64] + "0" * 64,
    ]
    assert owner.with_token(None).refused("GET", url.replace("/v1/uploads/", "/v1/files/")).type == "link-refused"
    for wrong in forged:
        response = owner.with_token(None).ask("PUT", wrong, content=PNG, headers={"content-type": "image/png"})
        assert (response.status_code, response.json()["type"]) == (403, "/docs#problem-link-refused")
    assert owner.with_token(None).refused("PUT", path).status == 422
    owner.did("DELETE", f"{room.general}/attachments/{asked['attachment']['id']}")
    assert put(owner, asked, PNG).status_code == 404
    assert put(owner, second, PNG).status_code == 204


@pytest.mark.security
@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Windows\\evil.exe", "evil.exe"),
        ("a\r\nSet-Cookie: x=1.png", "aSet-Cookie: x=1.png"),
        ("photo\u202egpj.exe", "photogpj.exe"),
        ("..", "file"),
        ("/", "file"),
        (".bashrc", ".bashrc"),
        ('quote".png', 'quote".png'),
        ("e\u0301.png", "\u00e9.png"),
        ("  x .. ", "x"),
    ],
)
def test_a_name_cannot_play_tricks(owner: Client, room: Room, given: str, kept: str) -> None:
    """Paths, line ends, and what turns the reading are taken out of names, and headers carry what is left safely."""
    file = send(owner, room.general, TEXT, filename=given, mime_type="text/plain")["attachments"][0]
    assert file["filename"] == kept
    disposition = owner.ask("GET", file["url"]).headers["content-disposition"]
    assert disposition.count('"') == 2
    assert disposition.isascii()
    assert "filename*=UTF-8''" in disposition


@pytest.mark.parametrize(
    "wrong",
    [
        {"size_bytes": -1},
        {"size_bytes": 25_000_001},
        {"size_bytes": 2**63},
        {"size_bytes": "5"},
        {"sha256": "0" * 63},
        {"sha256": "G" * 64},
        {"sha256": "A" * 64},
        {"mime_type": "html"},
        {"mime_type": "text/\r\nhtml"},
        {"mime_type": "a/" + "b" * 126},
        {"filename": ""},
        {"filename": "x" * 256},
        {"object_key": "rooms/1/x"},
    ],
)
def test_what_cannot_be_uploaded_is_refused(owner: Client, room: Room, wrong: dict[str, Any]) -> None:
    """Absurd sizes, hashes that are none, types and names that cannot be, and unknown fields are 422."""
    assert owner.refused("POST", f"{room.general}/attachments", announced() | wrong).status == 422
    assert owner.post(f"{room.general}/attachments", announced(mime_type="Audio/WebM; codecs=opus"))["upload"][
        "headers"
    ] == {"content-type": "audio/webm"}


@pytest.mark.security
def test_ids_of_elsewhere_lead_to_no_file(owner: Client, other: Client, room: Room) -> None:
    """Files and uploads of other rooms, channels and people are as none, to read, complete, cancel or send."""
    elsewhere = owner.found()
    sibling = f"{room.path}/channels/{room.channels['announcements']}"
    attached, waiting = (send(owner, room.general)["attachments"][0]["id"], upload(owner, room.general))
    theirs = upload(other, room.general)
    reads = [(sibling, attached), (elsewhere.general, attached), (room.general, waiting), (room.general, theirs)]
    for channel, attachment_id in (*reads, (room.general, "1")):
        for way in ("content", "link"):
            assert owner.refused("GET", f"{channel}/attachments/{attachment_id}/{way}") == owner.refused(
                "GET", f"{room.general}/attachments/1/{way}"
            )
    acts = [(sibling, waiting), (elsewhere.general, waiting), (room.general, theirs), (room.general, "1")]
    for channel, attachment_id in acts:
        path = f"{channel}/attachments/{attachment_id}"
        for refusal in (
            owner.refused("POST", f"{path}/complete"),
            owner.refused("DELETE", path),
            owner.refused("POST", f"{channel}/messages", {"attachment_ids": [attachment_id]}),
        ):
            assert (refusal.status, refusal.detail) == (404, "There is no such attachment, or you may not see it.")
    assert owner.post(f"{room.general}/messages", {"attachment_ids": [waiting]})["attachments"]


def test_a_deleted_message_has_no_file(owner: Client, other: Client, room: Room) -> None:
    """With its message a file is gone for everybody, and cannot be sent again."""
    sent = send(owner, room.general)
    (file,) = sent["attachments"]
    assert other.ask("GET", file["url"]).status_code == 200
    owner.did("DELETE", f"{room.general}/messages/{sent['id']}")
    for person in (owner, other):
        assert person.refused("GET", file["url"]).status == 404
    assert owner.refused("POST", f"{room.general}/messages", {"attachment_ids": [file["id"]]}).status == 404


def test_blocked_people_get_no_files(nobody: Client) -> None:
    """Who may not write to somebody uploads nothing to them either, and reads what was sent before."""
    anna, ben = nobody.register("files_anna"), nobody.register("files_ben")
    made = anna.did("PUT", f"/v1/users/{ben.id}/chat")
    chat = f"/v1/rooms/{made['room']['id']}/channels/{made['channels'][0]['id']}"
    file = send(anna, chat)["attachments"][0]
    ben.did("PUT", f"/v1/users/me/blocks/{anna.id}")
    assert anna.refused("POST", f"{chat}/attachments", announced()).status == 403
    for person in (anna, ben):
        assert person.ask("GET", file["url"]).content == PNG
