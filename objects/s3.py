"""The object store in a bucket of an S3-compatible service: Ceph, MinIO, Cloudflare R2, AWS.

The only module that uses boto3. Every call has timeouts and a bounded number of attempts, and runs in bounded threads.
An object's SHA-256 is metadata beside it, because not every service keeps or compares a checksum of its own.
"""

import asyncio
import base64
import contextlib
import secrets
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime
from typing import Any, Final, NoReturn, Protocol

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from objects import contents, keys, lifecycles
from objects.errors import (
    BadContentError,
    CorruptObjectError,
    ObjectExistsError,
    ObjectNotFoundError,
    StoreFullError,
    StoreUnavailableError,
)
from objects.store import LIST_MAX, Content, Head, Reading, SignedUpload, Source, Store, attachment
from objects.threads import Threads

_SPOOL_BYTES_MAX: Final = 1024 * 1024
"""A larger upload is kept in a temporary file, not in memory, until its bytes were compared with the announced ones."""

PART_BYTES: Final = 16 * 1024 * 1024
"""Larger objects are sent in parts of this size, one in memory at a time; S3 takes 10,000 of at least 5 MiB."""

_SIGNED_SECONDS_MAX: Final = 7 * 24 * 3_600
"""The maximum of signature version 4."""

_RETRY_AFTER_SECONDS: Final = 5
_UNREADABLE: Final = (BotoCoreError, ResponseParserError, KeyError)
"""No response, or an unreadable one: a response with a truncated head lacks names that are looked up."""
_MISSING: Final = frozenset({"NoSuchKey", "NotFound", "404"})
_FULL: Final = frozenset({"QuotaExceeded", "InsufficientStorage", "ServiceQuotaExceeded", "XMinioStorageFull"})


def open_store(
    *,
    endpoint: str,
    bucket_name: str,
    region: str,
    access_key_id: str,
    secret_access_key: str,
    path_style: bool = True,
    threads: int = 8,
    operations_max: int = 64,
    connect_timeout_seconds: float = 5,
    read_timeout_seconds: float = 20,
    attempts_max: int = 3,
    part_bytes: int = PART_BYTES,
) -> "S3Store":
    """Open the store in an existing bucket. Nothing is sent yet, so a wrong setting raises no error here.

    `path_style` puts the bucket's name into the path instead of the host; R2, Ceph, MinIO and AWS take both.
    A call takes at most `attempts_max` times both timeouts, and the pauses of botocore's standard mode in between.
    """
    client = boto3.session.Session().client(
        "s3",
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id=access_key_id,
        aws_secret_access_key=secret_access_key,
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path" if path_style else "virtual", "payload_signing_enabled": True},
            # boto3 sends its own checksums in a trailer that Ceph and R2 did not understand; ours need none.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            retries={"mode": "standard", "total_max_attempts": attempts_max},
            connect_timeout=connect_timeout_seconds,
            read_timeout=read_timeout_seconds,
            max_pool_connections=operations_max,
        ),
    )
    running = Threads("objects-s3", count=threads, operations_max=operations_max)
    return S3Store(client, bucket_name, running, part_bytes=part_bytes)


class S3Store(Store):
    """Objects in a bucket; clients access them through signed URLs."""

    def __init__(self, client: Any, bucket_name: str, threads: Threads, *, part_bytes: int = PART_BYTES) -> None:
        self._client = client
        self._bucket_name = bucket_name
        self._threads = threads
        self._part_bytes = part_bytes
        self._large = asyncio.Lock()

    async def put(self, key: str, source: Source, content: Content) -> None:
        keys.check(key)
        with self._threads.operation(), tempfile.SpooledTemporaryFile(_SPOOL_BYTES_MAX) as spool:

            def write(chunk: bytes) -> None:
                with contents.disk_faults():
                    spool.write(chunk)

            await contents.receive(source, content, write, self._threads)
            # radosgw 16 ignores the condition of uploads in parts: the lock at least prevents two at once from here.
            async with self._large if self._is_large(content) else contextlib.nullcontext():
                await self._threads.run(self._put, key, spool, content)

    def _is_large(self, content: Content) -> bool:
        return content.size_bytes > self._part_bytes

    def _put(self, key: str, spool: "tempfile.SpooledTemporaryFile[bytes]", content: Content) -> None:
        with contents.disk_faults():
            spool.seek(0)
        put_id = secrets.token_hex(16)
        said = {"ContentType": content.content_type, "Metadata": {"sha256": content.sha256, "put-id": put_id}}
        try:
            if self._is_large(content):
                self._put_parts(key, spool, said)
            else:
                self._client.put_object(
                    Bucket=self._bucket_name,
                    Key=key,
                    Body=spool,
                    ContentLength=content.size_bytes,
                    IfNoneMatch="*",
                    **said,
                )
        except ClientError as error:
            # A repeated attempt may find the object that the first one stored before its response was lost.
            is_repeated = error.response["ResponseMetadata"].get("RetryAttempts", 0) > 0
            is_met = _status(error) == 412 or error.response["Error"].get("Code") == "NoSuchUpload"
            if not (is_repeated and is_met and self._put_id(key) == put_id):
                _raise(error, key)
        except _UNREADABLE as error:
            _raise(error, key)

    def _put_parts(self, key: str, spool: "tempfile.SpooledTemporaryFile[bytes]", said: dict[str, Any]) -> None:
        """Send an object in parts, none of which is visible before the last step."""
        place = {"Bucket": self._bucket_name, "Key": key}
        # Checked before too: not every service obeys the condition of the last step.
        if self._is_there(key):
            raise ObjectExistsError(key)
        place["UploadId"] = self._client.create_multipart_upload(**place, **said)["UploadId"]
        parts: list[dict[str, Any]] = []
        try:
            while part := self._read_part(spool):
                number = len(parts) + 1
                answer = self._client.upload_part(**place, PartNumber=number, Body=part, ContentLength=len(part))
                parts.append({"ETag": answer["ETag"], "PartNumber": number})
            self._client.complete_multipart_upload(**place, MultipartUpload={"Parts": parts}, IfNoneMatch="*")
        except BaseException:
            with contextlib.suppress(ClientError, *_UNREADABLE):
                self._client.abort_multipart_upload(**place)
            raise

    def _read_part(self, spool: "tempfile.SpooledTemporaryFile[bytes]") -> bytes:
        with contents.disk_faults():
            return spool.read(self._part_bytes)

    def _is_there(self, key: str) -> bool:
        try:
            self._put_id(key)
        except ObjectNotFoundError:
            return False
        return True

    def _put_id(self, key: str) -> str | None:
        with _faults(key):
            answer = self._client.head_object(Bucket=self._bucket_name, Key=key)
        found: str | None = answer["Metadata"].get("put-id")
        return found

    @contextlib.asynccontextmanager
    async def open(self, key: str, *, start: int = 0, size_bytes: int | None = None) -> AsyncIterator[Reading]:
        keys.check(key)
        opened = _Opened(self._client, self._bucket_name, key)
        with self._threads.operation():
            try:
                head, length = await self._threads.run(opened.begin, start, size_bytes)
                async with contextlib.aclosing(contents.give(opened, head, length, self._threads)) as chunks:
                    yield Reading(head, chunks)
            finally:
                await self._threads.run(opened.close)

    async def head(self, key: str) -> Head:
        keys.check(key)
        with self._threads.operation():
            return await self._threads.run(_head, self._client, self._bucket_name, key)

    async def list(self, prefix: str, *, after: str = "", limit: int = LIST_MAX) -> Sequence[str]:
        keys.check_prefix(prefix)
        keys.check_prefix(after)
        assert 1 <= limit <= LIST_MAX
        found: list[str] = []
        with self._threads.operation():
            is_more = True
            while is_more and len(found) < limit:
                page, is_more = await self._threads.run(self._page, prefix, after, limit - len(found))
                # Other programs may keep objects in the bucket whose keys are not ours.
                found += filter(keys.is_key, page)
                after = page[-1] if page else after
        return found

    def _page(self, prefix: str, after: str, limit: int) -> tuple[Sequence[str], bool]:
        with _faults(prefix):
            answer = self._client.list_objects_v2(
                Bucket=self._bucket_name, Prefix=prefix, StartAfter=after, MaxKeys=limit
            )
        page = [entry["Key"] for entry in answer.get("Contents", ())]
        return page, bool(page) and answer["IsTruncated"]

    async def delete(self, key: str) -> None:
        keys.check(key)
        with self._threads.operation():
            await self._threads.run(self._remove, key)

    def _remove(self, key: str) -> None:
        with _faults(key):
            self._client.delete_object(Bucket=self._bucket_name, Key=key)

    async def forget_unfinished(self, *, after_days: int) -> bool:
        assert after_days >= 1
        with self._threads.operation():
            return await self._threads.run(self._forget_unfinished, after_days)

    def _forget_unfinished(self, after_days: int) -> bool:
        try:
            rules = lifecycles.with_unfinished(self._rules(), after_days=after_days)
            self._client.put_bucket_lifecycle_configuration(
                Bucket=self._bucket_name, LifecycleConfiguration={"Rules": rules}
            )
        except ClientError as error:
            if _status(error) >= 500:
                _raise(error, "")
            return False
        except _UNREADABLE as error:
            _raise(error, "")
        return True

    def _rules(self) -> Sequence[dict[str, Any]]:
        try:
            answer = self._client.get_bucket_lifecycle_configuration(Bucket=self._bucket_name)
        except ClientError as error:
            if error.response["Error"].get("Code") == "NoSuchLifecycleConfiguration":
                return []
            raise
        rules: Sequence[dict[str, Any]] = answer.get("Rules", [])
        return rules

    def sign_put(self, key: str, content: Content, *, now_ms: int, expires_at: int) -> SignedUpload | None:
        """Sign the exact length, type and hash, and that the key must be free, as headers that the client sends.

        Ceph 16 does not compare `x-amz-checksum-sha256` with the bytes; AWS, R2 and MinIO document that they do.
        """
        keys.check(key)
        checksum = _base64(content.sha256)
        params = {
            "Bucket": self._bucket_name,
            "Key": key,
            "ContentLength": content.size_bytes,
            "ContentType": content.content_type,
            "Metadata": {"sha256": content.sha256},
            "ChecksumSHA256": checksum,
            "IfNoneMatch": "*",
        }
        headers = {
            "content-length": str(content.size_bytes),
            "content-type": content.content_type,
            "x-amz-meta-sha256": content.sha256,
            "x-amz-checksum-sha256": checksum,
            "if-none-match": "*",
        }
        return SignedUpload(self._sign("put_object", params, now_ms=now_ms, expires_at=expires_at), headers)

    def sign_get(self, key: str, *, filename: str, content_type: str, now_ms: int, expires_at: int) -> str | None:
        keys.check(key)
        params = {
            "Bucket": self._bucket_name,
            "Key": key,
            "ResponseContentDisposition": attachment(filename),
            "ResponseContentType": content_type,
        }
        return self._sign("get_object", params, now_ms=now_ms, expires_at=expires_at)

    def _sign(self, operation: str, params: dict[str, Any], *, now_ms: int, expires_at: int) -> str:
        seconds = (expires_at - now_ms) // 1_000
        assert 1 <= seconds <= _SIGNED_SECONDS_MAX
        url: str = self._client.generate_presigned_url(operation, Params=params, ExpiresIn=seconds)
        return url

    async def close(self) -> None:
        await self._threads.close()
        self._client.close()


class _Opened:
    """The body of a response that is being read."""

    def __init__(self, client: Any, bucket_name: str, key: str) -> None:
        self._client = client
        self._bucket_name = bucket_name
        self._key = key
        self._body: _Body | None = None

    def begin(self, start: int, size_bytes: int | None) -> tuple[Head, int]:
        """Request the object or a range, and return its head and the count of bytes that follow."""
        if size_bytes == 0:
            return _head(self._client, self._bucket_name, self._key), 0
        asked = {"Bucket": self._bucket_name, "Key": self._key}
        is_range = start > 0 or size_bytes is not None
        if is_range:
            asked["Range"] = f"bytes={start}-{'' if size_bytes is None else start + size_bytes - 1}"
        try:
            answer = self._client.get_object(**asked)
        except ClientError as error:
            if is_range and _status(error) == 416:
                return _head(self._client, self._bucket_name, self._key), 0
            _raise(error, self._key)
        except _UNREADABLE as error:
            _raise(error, self._key)
        with _faults(self._key):
            self._body = answer["Body"]
            length: int = answer["ContentLength"]
            size = int(answer["ContentRange"].rpartition("/")[2]) if is_range else length
            return _head_of(self._key, answer, size), length

    def read(self, size: int, /) -> bytes:
        assert self._body is not None
        with _faults(self._key):
            return self._body.read(size)

    def close(self) -> None:
        if self._body is not None:
            self._body.close()


class _Body(Protocol):
    def read(self, size: int, /) -> bytes: ...
    def close(self) -> None: ...


def _head(client: Any, bucket_name: str, key: str) -> Head:
    with _faults(key):
        try:
            answer = client.head_object(Bucket=bucket_name, Key=key)
        except ClientError as error:
            if _status(error) == 404:
                # The response to HEAD has no body that tells a missing object from a missing bucket.
                client.get_object(Bucket=bucket_name, Key=key, Range="bytes=0-0")["Body"].close()
            raise
        return _head_of(key, answer, answer["ContentLength"])


def _head_of(key: str, answer: Any, size_bytes: int) -> Head:
    stored: datetime = answer["LastModified"]
    try:
        content = Content(answer.get("ContentType", ""), size_bytes, answer["Metadata"].get("sha256", ""))
    except BadContentError as error:
        raise CorruptObjectError(key, f"its type or hash is not what Rookery stores: {error}") from None
    return Head(key, content, int(stored.timestamp() * 1_000))


def _base64(sha256: str) -> str:
    return base64.b64encode(bytes.fromhex(sha256)).decode()


def _status(error: ClientError) -> int:
    status: int = error.response["ResponseMetadata"].get("HTTPStatusCode", 0)
    return status


@contextlib.contextmanager
def _faults(key: str) -> Iterator[None]:
    """Translate errors of boto3 into errors of the store."""
    try:
        yield
    except (ClientError, *_UNREADABLE) as error:
        _raise(error, key)


def _raise(error: Exception, key: str) -> NoReturn:
    if not isinstance(error, ClientError):
        message = f"The object store cannot be reached: {error}"
        raise StoreUnavailableError(message, retry_after_seconds=_RETRY_AFTER_SECONDS) from error
    code = error.response["Error"].get("Code", "")
    status = _status(error)
    if code in _MISSING:
        raise ObjectNotFoundError(key) from error
    if status == 412:
        raise ObjectExistsError(key) from error
    if code in _FULL or status == 507:
        raise StoreFullError(f"The object store answered {code}; give the bucket more space.") from error
    message = f"The object store answered {status} {code}; if it stays, check endpoint, bucket, region and keys."
    raise StoreUnavailableError(message, retry_after_seconds=_RETRY_AFTER_SECONDS) from error
