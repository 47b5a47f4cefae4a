"""Files of messages: announced, sent to object storage, completed, and read again.

Where clients reach the object store themselves, they are sent there by signed addresses; a store on disk is reached
through the router, by paths that it signs itself.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from directory import storage
from directory.directory import Directory
from ids import RoomId
from objects import signatures
from objects.errors import CorruptObjectError, ObjectExistsError, ObjectNotFoundError
from objects.signatures import Grant
from objects.store import Content, Store
from router import images, ranges
from router.doors import RoomDoor
from router.errors import FieldFault, InvalidError, TooSlowError, UploadMismatchError
from router.scopes import Scope
from router.streams import Download, Slots, Upload, seconds_for
from router.table import Call, Gate, Reply, Route
from router.views import files as views
from router.views.files import LinkView, StorageView, UploadView
from router.views.talk import AttachmentView
from router.wire.fields import Nothing
from router.wire.files import AnnounceUpload, ContentQuery, SignedQuery
from shard.acts import attaching
from shard.acts.attaching import Measured
from shard.attachments import IMAGES, Attachment
from shard.errors import ConflictError, OutcomeUnknownError, ShardError
from shard.pool import ShardPool

log = logging.getLogger(__name__)

ATTACHMENTS = "/v1/rooms/{room_id}/channels/{channel_id}/attachments"
ATTACHMENT = ATTACHMENTS + "/{attachment_id}"
UPLOAD_MS: Final = 3_600_000
"""How long an announced upload may be begun."""
LINK_MS: Final = 900_000
"""How long a link answers: a page is painted at once, and whoever finds it later is not let in by it."""
KEY_SECRET_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Files:
    """The endpoints and what they need; `freed` is told of rooms in which something is to be removed."""

    directory: Directory
    pool: ShardPool
    door: RoomDoor
    store: Store
    freed: Callable[[RoomId], None]
    file_bytes_max: int
    user_bytes_max: int
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    """Signs the paths of a store on disk; they end with the process."""
    slots: Slots = field(default_factory=Slots)
    examined: set[str] = field(default_factory=set)

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of this part."""
        tag, read, write = "files", Scope.MESSAGES_READ, Scope.MESSAGES_WRITE
        return (
            Route(
                "POST", ATTACHMENTS, self.announce, "Ask for an upload", tag, UploadView, 201, AnnounceUpload,
                refusals=(409,), scope=write,
            ),
            Route(
                "POST", ATTACHMENT + "/complete", self.complete, "Complete an upload", tag, AttachmentView,
                refusals=(409,), scope=write,
            ),
            Route(
                "DELETE", ATTACHMENT, self.cancel, "Cancel an upload", tag, None, 204, refusals=(409,), scope=write
            ),
            Route(
                "GET", ATTACHMENT + "/content", self.content, "Read a file", tag, bytes, query=ContentQuery,
                also=(206, 302), refusals=(416,), media_type="*/*", scope=read,
            ),
            Route("GET", ATTACHMENT + "/link", self.link, "Get a link to a file", tag, LinkView, scope=read),
            Route(
                "PUT", "/v1/uploads/{room_id}/{file}", self.receive, "Send the bytes of an upload", tag, None, 204,
                query=SignedQuery, gate=Gate.OPEN, is_upload=True, refusals=(408,),
            ),
            Route(
                "GET", "/v1/files/{room_id}/{file}", self.linked, "Read a file by its link", tag, bytes,
                query=SignedQuery, gate=Gate.OPEN, also=(206,), refusals=(416,), media_type="*/*",
            ),
            Route(
                "GET", "/v1/users/me/storage", self.storage, "See what I store", tag, StorageView,
                scope=Scope.USERS_READ,
            ),
        )  # fmt: skip

    async def announce(self, call: Call[AnnounceUpload, Nothing]) -> Reply:
        """Ask for an upload of exactly these bytes to a channel. Needs attach_files.

        What it will take counts as stored from now on; without a message it is removed after a day.
        """
        announced = call.body.announced()
        if announced.size_bytes > self.file_bytes_max:
            raise InvalidError([FieldFault("body.size_bytes", f"at most {self.file_bytes_max}")])
        room = await self.door.reach_for_talking(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        asked = (room.room_id, call.user_id, call.path["channel_id"])
        await self.pool.read(asked[0], attaching.require_upload, *asked[1:], now_ms=call.now_ms)
        async with self.directory.database.write() as writer:
            used_bytes = await storage.reserve(
                writer,
                call.user_id,
                room.room_id,
                announced.size_bytes,
                user_bytes_max=self.user_bytes_max,
                now_ms=call.now_ms,
            )
        secret = secrets.token_hex(KEY_SECRET_BYTES)
        try:
            upload = await self.pool.write(
                asked[0], attaching.announce_upload, *asked[1:], announced, secret=secret, now_ms=call.now_ms
            )
        except OutcomeUnknownError:
            raise
        except ShardError:
            async with self.directory.database.write() as writer:
                await storage.release(writer, room.room_id, {call.user_id: announced.size_bytes})
            raise
        answer: UploadView = {
            "attachment": views.attachment(room.room_id, upload),
            "upload": self._sending(upload, call.now_ms),
            "storage": views.storage(used_bytes, self.user_bytes_max, self.file_bytes_max),
        }
        return Reply(answer, 201)

    def _sending(self, upload: Attachment, now_ms: int) -> views.SendingView:
        content, expires_at = _content(upload), now_ms + UPLOAD_MS
        signed = self.store.sign_put(upload.object_key, content, now_ms=now_ms, expires_at=expires_at)
        if signed is not None:
            return views.sending(signed.url, signed.headers, expires_at)
        grant = Grant("PUT", upload.object_key, content, "", expires_at)
        url = f"{_path('uploads', upload.object_key)}?{signatures.sign(grant, self.secret)}"
        return views.sending(url, {"content-type": content.content_type}, expires_at)

    async def receive(self, call: Call[Upload, SignedQuery]) -> Reply:
        """Send the bytes of an upload to a server that stores files itself; the address is the permission for it."""
        key, body = _key(call.path), call.body
        grant = self._granted("PUT", key, call)
        room = await self.door.reach(call.path["room_id"])
        await self.pool.read(room.room_id, attaching.require_key, key)
        if body.content_type != grant.content.content_type:
            raise UploadMismatchError(f"Send the header Content-Type: {grant.content.content_type}.")
        if body.size_bytes not in (None, grant.content.size_bytes):
            raise UploadMismatchError(f"The announced file has {grant.content.size_bytes} bytes.")
        with self.slots.taken(call.address), contextlib.suppress(ObjectExistsError):
            try:
                async with asyncio.timeout(seconds_for(grant.content.size_bytes)):
                    await self.store.put(key, body.chunks, grant.content)
            except TimeoutError:
                raise TooSlowError("The file did not come within its time; send it again.") from None
        return Reply(status=204)

    async def complete(self, call: Call[Nothing, Nothing]) -> Reply:
        """Say that the bytes of an upload were sent; the server compares them with what was announced.

        An image has to be one of its type; its size is told. After this a message can have it.
        """
        room = await self.door.reach_for_writing(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        asked = (call.user_id, call.path["channel_id"], call.path["attachment_id"])
        upload = await self.pool.read(room.room_id, attaching.get_upload, *asked, now_ms=call.now_ms)
        if upload.state == "pending":
            with self._alone(upload.object_key), self.slots.taken(call.address):
                head = await self._verified(upload)
            measured = Measured()
            if upload.mime_type in IMAGES:
                size = images.measure(upload.mime_type, head)
                if size is None:
                    await self.pool.write(room.room_id, attaching.cancel_upload, *asked, now_ms=call.now_ms)
                    self.freed(room.room_id)
                    raise UploadMismatchError(f"This is no {upload.mime_type}, or one that is absurdly large.")
                measured = Measured(*size)
            upload = await self.pool.write(
                room.room_id, attaching.complete_upload, *asked, measured, now_ms=call.now_ms
            )
        return Reply(views.attachment(room.room_id, upload))

    @contextlib.contextmanager
    def _alone(self, key: str) -> Iterator[None]:
        """Keep one upload from being read through many times at once."""
        if key in self.examined:
            raise ConflictError("This upload is being completed.")
        self.examined.add(key)
        try:
            yield
        finally:
            self.examined.remove(key)

    async def _verified(self, upload: Attachment) -> bytes:
        """Read stored bytes through, which verifies them, and return the first; others than announced are removed."""
        head = bytearray()
        try:
            async with self.store.open(upload.object_key) as reading:
                async for chunk in reading.chunks:
                    head += chunk[: images.HEAD_BYTES - len(head)]
        except ObjectNotFoundError:
            raise ConflictError("The bytes of this upload were not sent yet.") from None
        except CorruptObjectError:
            await self.store.delete(upload.object_key)
            raise UploadMismatchError("The bytes that were sent are not the announced ones; send them again.") from None
        if reading.head.content != _content(upload):
            await self.store.delete(upload.object_key)
            raise UploadMismatchError("What was sent is not what was announced; send it again.")
        return bytes(head)

    async def cancel(self, call: Call[Nothing, Nothing]) -> Reply:
        """Give up an upload of one's own that no message has; its bytes are removed."""
        room = await self.door.reach_for_freeing(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        await self.pool.write(
            room.room_id,
            attaching.cancel_upload,
            call.user_id,
            call.path["channel_id"],
            call.path["attachment_id"],
            now_ms=call.now_ms,
        )
        self.freed(room.room_id)
        return Reply(status=204)

    async def content(self, call: Call[Nothing, ContentQuery]) -> Reply:
        """Read a file of a message, or a range of it. Where the object store can be reached, the answer leads there."""
        file = await self._file(call)
        expires_at = call.now_ms + LINK_MS
        url = self._signed_by_store(file, call.now_ms, expires_at)
        if url is not None:
            return Reply(status=302, headers=((b"location", url.encode()),))
        return await self._read(call, file.object_key, file.filename, file.mime_type, inline=call.query.inline)

    async def link(self, call: Call[Nothing, Nothing]) -> Reply:
        """Get an address of a file of a message that a browser can load without a session, for 15 minutes."""
        file = await self._file(call)
        expires_at = call.now_ms + LINK_MS
        url = self._signed_by_store(file, call.now_ms, expires_at)
        if url is None:
            grant = Grant("GET", file.object_key, _content(file), file.filename, expires_at)
            url = f"{_path('files', file.object_key)}?{signatures.sign(grant, self.secret)}"
        return Reply(views.link(url, expires_at))

    async def _file(self, call: Call[Nothing, Any]) -> Attachment:
        room = await self.door.reach(call.path["room_id"])
        asked = (call.user_id, call.path["channel_id"], call.path["attachment_id"])
        return await self.pool.read(room.room_id, attaching.open_file, *asked, now_ms=call.now_ms)

    def _signed_by_store(self, file: Attachment, now_ms: int, expires_at: int) -> str | None:
        served, name = views.served_type(file.mime_type), file.filename
        return self.store.sign_get(
            file.object_key, filename=name, content_type=served, now_ms=now_ms, expires_at=expires_at
        )

    async def linked(self, call: Call[Nothing, SignedQuery]) -> Reply:
        """Read a file by the link that its reader was given, or a range of it, as long as its message is there."""
        grant = self._granted("GET", _key(call.path), call)
        room = await self.door.reach(call.path["room_id"])
        await self.pool.read(room.room_id, attaching.require_key, grant.key)
        return await self._read(call, grant.key, grant.filename, grant.content.content_type, inline=call.query.inline)

    def _granted(self, method: str, key: str, call: Call[Any, SignedQuery]) -> Grant:
        query = call.query.model_dump(exclude={"inline"})
        return signatures.check(method, key, query, secret=self.secret, now_ms=call.now_ms)

    async def _read(self, call: Call[Nothing, Any], key: str, filename: str, mime_type: str, *, inline: bool) -> Reply:
        async with contextlib.AsyncExitStack() as stack:
            stack.enter_context(self.slots.taken(call.address))
            try:
                content = (await self.store.head(key)).content
                etag = f'"{content.sha256}"'.encode()
                part = ranges.read(call.range, call.if_range, etag=etag, whole_bytes=content.size_bytes)
                start, size_bytes = part or (0, content.size_bytes)
                opened = self.store.open(key, start=start, size_bytes=None if part is None else size_bytes)
                reading = await stack.enter_async_context(opened)
            except (ObjectNotFoundError, CorruptObjectError) as error:
                log.warning("a file is missing or damaged", extra={"key": key, "reason": str(error)})
                raise
            headers = views.headers(filename, mime_type, etag, inline=inline)
            if part is not None:
                headers = (*headers, (b"content-range", part.header(content.size_bytes)))
            download = Download(reading.chunks, size_bytes, stack.pop_all().aclose)
            return Reply(download, 200 if part is None else 206, headers)

    async def storage(self, call: Call[Nothing, Nothing]) -> Reply:
        """See how many bytes of files one stores, uploads that no message has yet included."""
        async with self.directory.database.read() as reader:
            used_bytes = await storage.used(reader, call.user_id)
        return Reply(views.storage(used_bytes, self.user_bytes_max, self.file_bytes_max))


def _content(file: Attachment) -> Content:
    return Content(file.mime_type, file.size_bytes, file.sha256)


def _path(way: str, key: str) -> str:
    return f"/v1/{way}/{key.removeprefix('rooms/')}"


def _key(path: Any) -> str:
    return f"rooms/{path['room_id']}/{path['file']}"
