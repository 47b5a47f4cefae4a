"""Endpoints of files: announce an upload, send its bytes, complete it, and read the file.

Where clients can reach the object store, they use addresses that the store signs. A store on disk is reached through
the router, by paths that the router signs.
"""

import asyncio
import contextlib
import hmac
import logging
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from directory import storage
from objects import signatures
from objects.errors import CorruptObjectError, ObjectExistsError, ObjectNotFoundError
from objects.signatures import Grant
from objects.store import Content
from router import conditions, ranges
from router.context import AppContext
from router.errors import TooSlowError, UploadMismatchError
from router.room_access import Need
from router.routes import Access, Call, Reply, Route
from router.schemas import files as schemas
from router.schemas.fields import Nothing
from router.schemas.files import AnnounceUpload, ContentQuery, Headers, LinkView, SignedQuery, StorageView, UploadView
from router.schemas.messages import AttachmentView
from router.scopes import Scope
from router.streams import Download, Slots, Upload, seconds_for
from shard.actions import attachments
from shard.actions.attachments import Measured
from shard.errors import ConflictError, OutcomeUnknownError, ShardError
from shard.tables.attachments import IMAGES, Attachment

log = logging.getLogger(__name__)

ATTACHMENTS = "/v1/rooms/{room_id}/channels/{channel_id}/attachments"
ATTACHMENT = ATTACHMENTS + "/{attachment_id}"
UPLOAD_MS: Final = 3_600_000
"""Time within which an announced upload must begin."""
LINK_MS: Final = 900_000
"""Lifetime of a link: a page is painted at once, and a link that is found later must not work."""
KEY_SECRET_BYTES: Final = 16
"""Random bytes of an object's key, so that nobody can guess it."""
HEAD_BYTES: Final = 1_048_576
"""Size of the head that is inspected: cameras write previews and colour profiles of some 100 KB before a JPEG's
size."""


@dataclass(frozen=True, slots=True)
class Files:
    """The endpoints and what they need; `freed` is called with rooms in which something is to be removed."""

    context: AppContext
    slots: Slots = field(default_factory=Slots)
    examined: set[str] = field(default_factory=set)

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of this part."""
        tag, read, write = "files", Scope.MESSAGES_READ, Scope.MESSAGES_WRITE
        return (
            Route(
                "POST", ATTACHMENTS, self.announce, "Announce an upload", tag, UploadView, 201, AnnounceUpload,
                or_status=200, refusals=(409,), room=Need.TALK, scope=write,
            ),
            Route(
                "POST", ATTACHMENT + "/complete", self.complete, "Complete an upload", tag, AttachmentView,
                refusals=(409,), room=Need.WRITE, scope=write,
            ),
            Route(
                "DELETE", ATTACHMENT, self.cancel, "Cancel an upload", tag, None, 204, refusals=(409,), room=Need.FREE,
                scope=write,
            ),
            Route(
                "GET", ATTACHMENT + "/content", self.content, "Read a file", tag, bytes, query=ContentQuery,
                also=(206, 302, 304), refusals=(412, 416), media_type="*/*", room=Need.READ, scope=read,
            ),
            Route(
                "GET", ATTACHMENT + "/link", self.link, "Create a link to a file", tag, LinkView, room=Need.READ,
                scope=read,
            ),
            Route(
                "PUT", "/v1/uploads/{room_id}/{file}", self.receive, "Send the bytes of an upload", tag, None, 204,
                query=SignedQuery, access=Access.OPEN, is_upload=True, refusals=(408,),
            ),
            Route(
                "GET", "/v1/files/{room_id}/{file}", self.linked, "Read a file by its link", tag, bytes,
                query=SignedQuery, access=Access.OPEN, also=(206, 304), refusals=(412, 416), media_type="*/*",
            ),
            Route(
                "GET", "/v1/users/me/storage", self.storage, "Get my storage use", tag, StorageView,
                scope=Scope.USERS_READ,
            ),
        )  # fmt: skip

    async def announce(self, call: Call[AnnounceUpload, Nothing]) -> Reply:
        """Announce an upload of exactly these bytes to a channel. Needs `attach_files`.

        Its size counts as stored from now on. An upload that no message uses is removed after a day. Returns 201, or
        200 with the same upload and a new address for its bytes when its nonce was sent before.
        """
        announced, secret = call.body.announced(), self._key_secret(call)
        known = await call.room.read(attachments.find_announced, call.channel_id, announced, secret=secret)
        if known is not None:
            return await self._repeated(call, known)
        async with self.context.directory.database.write() as writer:
            used_bytes = await storage.reserve(
                writer,
                call.user_id,
                call.room_id,
                announced.size_bytes,
                user_bytes_max=self.context.options.storage_user_bytes_max,
                now_ms=call.now_ms,
            )
        try:
            upload = await call.room.write(attachments.announce_once, call.channel_id, announced, secret=secret)
        except OutcomeUnknownError:
            raise
        except ShardError:
            await self._release(call, announced.size_bytes)
            raise
        if not upload.is_new:  # its first request was under way
            await self._release(call, announced.size_bytes)
            return await self._repeated(call, upload.file)
        return Reply(self._announced(call, upload.file, used_bytes), 201)

    async def _release(self, call: Call[AnnounceUpload, Nothing], size_bytes: int) -> None:
        async with self.context.directory.database.write() as writer:
            await storage.release(writer, call.room_id, {call.user_id: size_bytes})

    async def _repeated(self, call: Call[AnnounceUpload, Nothing], upload: Attachment) -> Reply:
        async with self.context.directory.database.read() as reader:
            used_bytes = await storage.used(reader, call.user_id)
        return Reply(self._announced(call, upload, used_bytes))

    def _announced(self, call: Call[AnnounceUpload, Nothing], upload: Attachment, used_bytes: int) -> UploadView:
        return {
            "attachment": schemas.attachment(call.room_id, upload),
            "upload": self._sending(upload, call.now_ms),
            "storage": self._storage(used_bytes),
        }

    def _key_secret(self, call: Call[AnnounceUpload, Nothing]) -> str:
        """Return the secret of an upload's key: random, or by its nonce, so that repeating the nonce finds the upload.

        Nobody who lacks the server's own secret can compute it.
        """
        if call.body.nonce is None:
            return secrets.token_hex(KEY_SECRET_BYTES)
        told = f"upload\0{call.room_id}\0{call.channel_id}\0{call.user_id}\0{call.body.nonce}"
        return hmac.digest(self._secret, told.encode(), "sha256")[:KEY_SECRET_BYTES].hex()

    @property
    def _secret(self) -> bytes:
        return self.context.options.link_secret

    def _sending(self, upload: Attachment, now_ms: int) -> schemas.SendingView:
        content, expires_at = _content(upload), now_ms + UPLOAD_MS
        signed = self.context.store.sign_put(upload.object_key, content, now_ms=now_ms, expires_at=expires_at)
        if signed is not None:
            return schemas.sending(signed.url, signed.headers, expires_at)
        grant = Grant("PUT", upload.object_key, content, "", expires_at)
        url = f"{_path('uploads', upload.object_key)}?{signatures.sign(grant, self._secret)}"
        return schemas.sending(url, {"content-type": content.content_type}, expires_at)

    async def receive(self, call: Call[Upload, SignedQuery]) -> Reply:
        """Send the bytes of an upload to a server that stores files itself. The signed address is the only permission
        that is needed."""
        body, grant = call.body, await self._granted("PUT", call)
        if body.content_type != grant.content.content_type:
            raise UploadMismatchError(f"Send the header Content-Type: {grant.content.content_type}.")
        if body.size_bytes not in (None, grant.content.size_bytes):
            raise UploadMismatchError(f"The announced file has {grant.content.size_bytes} bytes.")
        with self.slots.taken(call.network), contextlib.suppress(ObjectExistsError):
            try:
                async with asyncio.timeout(seconds_for(grant.content.size_bytes)):
                    await self.context.store.put(grant.key, body.chunks, grant.content)
            except TimeoutError:
                raise TooSlowError("The file did not come within its time; send it again.") from None
        return Reply(status=204)

    async def complete(self, call: Call[Nothing, Nothing]) -> Reply:
        """Complete an upload after its bytes were sent. The server compares them with the announcement.

        Its bytes decide which image it is, if any, and how large: `mime_type` can become another one. After this a
        message can have it.
        """
        asked = (call.channel_id, call.attachment_id)
        upload = await call.room.read(attachments.get_upload, *asked)
        if upload.state == "pending":
            with self._alone(upload.object_key), self.slots.taken(call.network):
                head = await self._verified(upload)
            measured = await self._measured(upload.mime_type, head)
            upload = await call.room.write(attachments.complete_upload, *asked, measured)
        return Reply(schemas.attachment(call.room_id, upload))

    async def _measured(self, mime_type: str, head: bytes) -> Measured:
        """Look for an image in what was announced as one, of any type, or as nothing in particular.

        What is announced as an image that browsers are shown, and is none of them, becomes a plain file.
        """
        if not (mime_type.startswith("image/") or mime_type == schemas.OPAQUE):
            return Measured()
        found = await self.context.inspect(head)
        if found is not None:
            found_type, width, height = found
            return Measured(width, height, found_type)
        return Measured(mime_type=schemas.OPAQUE if mime_type in IMAGES else None)

    @contextlib.contextmanager
    def _alone(self, key: str) -> Iterator[None]:
        """Prevent that one upload is read through several times at once."""
        if key in self.examined:
            raise ConflictError("This upload is being completed.")
        self.examined.add(key)
        try:
            yield
        finally:
            self.examined.remove(key)

    async def _verified(self, upload: Attachment) -> bytes:
        """Read stored bytes through, which verifies them, and return the first ones; bytes other than announced are
        removed."""
        head = bytearray()
        try:
            async with self.context.store.open(upload.object_key) as reading:
                async for chunk in reading.chunks:
                    head += chunk[: HEAD_BYTES - len(head)]
        except ObjectNotFoundError:
            raise ConflictError("The bytes of this upload were not sent yet.") from None
        except CorruptObjectError:
            await self.context.store.delete(upload.object_key)
            raise UploadMismatchError("The bytes that were sent are not the announced ones; send them again.") from None
        if reading.head.content != _content(upload):
            await self.context.store.delete(upload.object_key)
            raise UploadMismatchError("What was sent is not what was announced; send it again.")
        return bytes(head)

    async def cancel(self, call: Call[Nothing, Nothing]) -> Reply:
        """Cancel one of the caller's uploads that no message uses. Its bytes are removed."""
        await call.room.write(attachments.cancel_upload, call.channel_id, call.attachment_id)
        self.context.freed(call.room_id)
        return Reply(status=204)

    async def content(self, call: Call[Nothing, ContentQuery]) -> Reply:
        """Read a file of a message, or a range of it. Redirects with 302 to the object store where clients can reach
        it."""
        file = await self._file(call)
        expires_at = call.now_ms + LINK_MS
        url = self._signed_by_store(file, call.now_ms, expires_at)
        if url is not None:
            return Reply(status=302, headers=((b"location", url.encode()),))
        headers = schemas.headers(file.filename, file.mime_type, inline=call.query.inline, fresh_seconds=0)
        return await self._read(call, file.object_key, headers)

    async def link(self, call: Call[Nothing, Nothing]) -> Reply:
        """Return an address of a file of a message that a browser can load without a session, for 15 minutes."""
        file = await self._file(call)
        expires_at = call.now_ms + LINK_MS
        url = self._signed_by_store(file, call.now_ms, expires_at)
        if url is None:
            grant = Grant("GET", file.object_key, _content(file), file.filename, expires_at)
            url = f"{_path('files', file.object_key)}?{signatures.sign(grant, self._secret)}"
        return Reply(schemas.link(url, expires_at))

    async def _file(self, call: Call[Nothing, Any]) -> Attachment:
        return await call.room.read(attachments.open_file, call.channel_id, call.attachment_id)

    def _signed_by_store(self, file: Attachment, now_ms: int, expires_at: int) -> str | None:
        served, name = schemas.served_type(file.mime_type), file.filename
        return self.context.store.sign_get(
            file.object_key, filename=name, content_type=served, now_ms=now_ms, expires_at=expires_at
        )

    async def linked(self, call: Call[Nothing, SignedQuery]) -> Reply:
        """Read a file, or a range of it, by a link. The link works as long as the file's message exists."""
        grant = await self._granted("GET", call)
        headers = schemas.headers(
            grant.filename,
            grant.content.content_type,
            inline=call.query.inline,
            fresh_seconds=(grant.expires_at - call.now_ms) // 1000,
        )
        return await self._read(call, grant.key, headers)

    async def _granted(self, method: str, call: Call[Any, SignedQuery]) -> Grant:
        """Return what a signed address grants; the signature is checked first, so that the answer does not reveal which
        rooms exist."""
        key, query = f"rooms/{call.room_id}/{call.file}", call.query.model_dump(exclude={"inline"})
        grant = signatures.check(method, key, query, secret=self._secret, now_ms=call.now_ms)
        room = await self.context.rooms.readable(call.room_id)
        await self.context.pool.read(room.room_id, attachments.require_key, key)
        return grant

    async def _read(self, call: Call[Nothing, Any], key: str, headers: Headers) -> Reply:
        async with contextlib.AsyncExitStack() as stack:
            stack.enter_context(self.slots.taken(call.network))
            try:
                content = (await self.context.store.head(key)).content
                etag = f'"{content.sha256}"'.encode()
                headers = (*headers, (b"etag", etag))
                if conditions.is_unchanged(call.conditions, etag=etag):
                    return Reply(status=304, headers=schemas.unchanged(headers))
                asked = call.conditions
                part = ranges.read(asked.range, asked.if_range, etag=etag, whole_bytes=content.size_bytes)
                start, size_bytes = part or (0, content.size_bytes)
                opened = self.context.store.open(key, start=start, size_bytes=None if part is None else size_bytes)
                reading = await stack.enter_async_context(opened)
            except (ObjectNotFoundError, CorruptObjectError) as error:
                log.warning("a file is missing or damaged", extra={"key": key, "reason": str(error)})
                self.context.missed(call.room_id)
                raise
            if part is not None:
                headers = (*headers, (b"content-range", part.header(content.size_bytes)))
            download = Download(reading.chunks, size_bytes, stack.pop_all().aclose)
            return Reply(download, 200 if part is None else 206, headers)

    async def storage(self, call: Call[Nothing, Nothing]) -> Reply:
        """Return how many bytes of files the caller stores, including uploads that no message uses yet."""
        async with self.context.directory.database.read() as reader:
            used_bytes = await storage.used(reader, call.user_id)
        return Reply(self._storage(used_bytes))

    def _storage(self, used_bytes: int) -> StorageView:
        options = self.context.options
        return schemas.storage(used_bytes, options.storage_user_bytes_max, options.bounds.file_bytes_max)


def _content(file: Attachment) -> Content:
    return Content(file.mime_type, file.size_bytes, file.sha256)


def _path(way: str, key: str) -> str:
    return f"/v1/{way}/{key.removeprefix('rooms/')}"
