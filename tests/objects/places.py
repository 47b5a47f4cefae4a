"""Stores of tests, each as a place where a test can also reach behind the store's back."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from objects import folders, s3
from objects.store import Store
from tests.objects.radosgw import Radosgw


@dataclass(frozen=True, slots=True)
class Place:
    """A store, and `overwrite(key, data)`, which changes an object's bytes and leaves what is said of them."""

    store: Store
    overwrite: Callable[[str, bytes], None]
    prefix_length: int = 0


@dataclass(frozen=True, slots=True)
class Bucket:
    """An empty bucket of a running server."""

    server: Radosgw
    name: str

    def open(self, **options: float) -> s3.S3Store:
        """Open the store in the bucket."""
        return self.open_at(self.server.endpoint, **options)

    def open_at(self, endpoint: str, **options: float) -> s3.S3Store:
        """Open the store in the bucket through another endpoint."""
        return s3.open_store(
            endpoint=endpoint,
            bucket_name=self.name,
            region=self.server.region,
            access_key_id=self.server.access_key_id,
            secret_access_key=self.server.secret_access_key,
            **options,  # type: ignore[arg-type]
        )

    def overwrite(self, key: str, data: bytes) -> None:
        """Put other bytes under a key, with the old type and metadata."""
        head = self.server.client.head_object(Bucket=self.name, Key=key)
        said = {"ContentType": head["ContentType"], "Metadata": head["Metadata"]}
        self.server.client.put_object(Bucket=self.name, Key=key, Body=data, **said)

    def clear(self) -> None:
        """Remove everything."""
        for entry in self.server.client.list_objects_v2(Bucket=self.name).get("Contents", ()):
            self.server.client.delete_object(Bucket=self.name, Key=entry["Key"])
        for upload in self.unfinished():
            self.server.client.abort_multipart_upload(Bucket=self.name, Key=upload["Key"], UploadId=upload["UploadId"])

    def unfinished(self) -> list[dict[str, str]]:
        """Return the uploads in parts that were begun and not ended."""
        found: list[dict[str, str]] = self.server.client.list_multipart_uploads(Bucket=self.name).get("Uploads", [])
        return found


def overwrite(folder: Path, key: str, data: bytes) -> None:
    """Replace what follows the first line of an object's file."""
    path = folders.path_of(folder, key)
    line, _, _ = path.read_bytes().partition(b"\n")
    path.write_bytes(line + b"\n" + data)
