"""The settings of one installation: frozen, complete and checked, so that no other package checks or defaults a value.

The defaults of these fields are the only ones; rookery.toml repeats and explains them, and a test compares the two.
"""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    PrivateAttr,
    SecretStr,
    ValidationInfo,
    field_validator,
)

from config import documents, problems, variables
from config.errors import Problem, SettingsError
from config.values import (
    Cron,
    Day,
    FilePath,
    Flag,
    Host,
    Mailbox,
    Name,
    Network,
    Origin,
    Public,
    Rate,
    Url,
    text,
    whole,
    wrong,
)

DEFAULTS_PATH = Path(__file__).with_name("rookery.toml")
"""The documented defaults, shipped with the package; a new installation starts from a copy."""

SIZE_BYTES_MAX = 281_474_976_710_656
"""The largest possible SQLite database (sqlite.org/limits.html, 12)."""

FileStem = Annotated[
    str,
    PlainValidator(text(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}", "1 to 64 letters, digits, _ or -, not beginning with -")),
]
BucketName = Annotated[
    str,
    PlainValidator(
        text(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]", "3 to 63 lower-case letters, digits or -, with no - at either end")
    ),
]
Region = Annotated[str, PlainValidator(text(r"[a-z0-9-]{1,64}", 'a region such as "auto" or "eu-central-1"'))]
Percent = Annotated[int, PlainValidator(whole(1, 100))]
Count = Annotated[int, PlainValidator(whole(1, 10_000_000))]
Threads = Annotated[int, PlainValidator(whole(1, 256))]
Milliseconds = Annotated[int, PlainValidator(whole(1, 600_000))]


class Table(BaseModel):
    """A table of the file: unknown keys are refused, and nothing changes after it was read."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Server(Table):
    host: Host = "127.0.0.1"
    port: Annotated[int, PlainValidator(whole(0, 65_535))] = 8787
    data_dir: FilePath = Path("data")
    data_must_exist: Flag = False
    public_url: Origin | None = None
    allowed_origins: tuple[Origin, ...] = ()
    trusted_proxies: tuple[Network, ...] = ()
    shutdown_grace_seconds: Annotated[int, PlainValidator(whole(0, 600))] = 10
    connections_max: Count = 10_000
    connections_per_address_max: Count = 1_000
    keep_alive_seconds: Annotated[int, PlainValidator(whole(1, 3_600))] = 75
    websocket_frame_bytes_max: Annotated[int, PlainValidator(whole(1_024, 16_777_216))] = 65_536
    log_level: Literal["debug", "info", "warning", "error", "critical"] = "info"
    log_format: Literal["auto", "human", "json"] = "auto"
    registration: Literal["open", "closed"] = "open"
    session_days: Annotated[int, PlainValidator(whole(1, 365))] = 7
    slow_statement_ms: Annotated[int, PlainValidator(whole(0, 600_000))] = 500


class Database(Table):
    binding: Literal["DIRECTORY", "SHARDS"]
    database_name: FileStem
    migrations_dir: FilePath | None = None
    size_limit_bytes: Annotated[int, PlainValidator(whole(1_048_576, SIZE_BYTES_MAX))] = 10_000_000_000
    warn_percent: Percent = 80
    critical_percent: Annotated[Percent, Field(validate_default=True)] = 95

    @field_validator("critical_percent")
    @classmethod
    def _above_warn(cls, value: int, info: ValidationInfo) -> int:
        warn = info.data.get("warn_percent", 0)
        if value <= warn:
            raise wrong(f"more than warn_percent ({warn}), and at most 100")
        return value


class Bucket(Table):
    """Object storage; without `endpoint` it is a folder on disk. The keys never come from the file."""

    binding: Literal["ARCHIVE", "FILES"]
    bucket_name: BucketName
    endpoint: Origin | None = None
    region: Region = "auto"
    access_key_id: SecretStr | None = None
    secret_access_key: SecretStr | None = None


class Triggers(Table):
    crons: tuple[Cron, ...] = ("*/5 * * * *",)


class TokenBucket(Table):
    """A token bucket: tokens are added at a rate, up to `burst`; each request takes one."""

    per_second: Rate
    burst: Count


class Rates(Table):
    user: TokenBucket = TokenBucket(per_second=20, burst=60)
    address: TokenBucket = TokenBucket(per_second=100, burst=300)
    room: TokenBucket = TokenBucket(per_second=500, burst=2_000)
    credentials: TokenBucket = TokenBucket(per_second=0.2, burst=10)
    webhook: TokenBucket = TokenBucket(per_second=1, burst=30)
    frames: TokenBucket = TokenBucket(per_second=50, burst=300)


class Limits(Table):
    message_length_max: Annotated[int, PlainValidator(whole(1, 8_000))] = 8_000
    body_bytes_max: Annotated[int, PlainValidator(whole(1_024, 16_777_216))] = 65_536
    page_size_max: Annotated[int, PlainValidator(whole(1, 100))] = 100
    shards_open_max: Count = 128
    shard_queue_max: Count = 1_024
    shard_batch_max: Count = 256
    shard_writers: Threads = 16
    shard_readers: Threads = 2
    read_deadline_ms: Milliseconds = 1_000
    search_deadline_ms: Milliseconds = 250
    password_hash_threads: Threads = 2
    password_hash_queue_max: Count = 64
    session_cache_max: Count = 100_000
    room_members_max: Count = 500_000
    group_members_max: Annotated[int, PlainValidator(whole(2, 1_000))] = 10
    rooms_owned_max: Count = 100
    file_bytes_max: Annotated[int, PlainValidator(whole(1, 5_000_000_000))] = 25_000_000
    storage_user_bytes_max: Annotated[int, PlainValidator(whole(0, SIZE_BYTES_MAX))] = 50_000_000
    ipv6_prefix_length: Annotated[int, PlainValidator(whole(32, 128))] = 64
    rates: Rates = Rates()


class Webhooks(Table):
    allowed_networks: tuple[Network, ...] = ()
    allow_private_networks: Flag = False
    retry_days: Annotated[int, PlainValidator(whole(1, 30))] = 3


class Alerts(Table):
    """The receivers of alerts beside the log. The secrets never come from the file."""

    webhook_url: Url | None = None
    mail_to: tuple[Mailbox, ...] = ()
    mail_from: Mailbox = "rookery@localhost"
    smtp_host: Host = "localhost"
    smtp_port: Annotated[int, PlainValidator(whole(1, 65_535))] = 25
    smtp_security: Literal["none", "starttls", "tls"] = "none"
    disk_free_bytes_min: Annotated[int, PlainValidator(whole(1, SIZE_BYTES_MAX))] = 1_073_741_824
    smtp_username: Annotated[str, PlainValidator(text(r"[!-~]{1,256}", "a user name"))] | None = None
    _webhook_secret: SecretStr | None = PrivateAttr(default=None)
    _smtp_password: SecretStr | None = PrivateAttr(default=None)

    @property
    def webhook_secret(self) -> SecretStr | None:
        """The secret that signs alerts to the webhook; present whenever there is a webhook."""
        return self._webhook_secret

    @property
    def smtp_password(self) -> SecretStr | None:
        """The password of `smtp_username`; present whenever there is such a name."""
        return self._smtp_password

    def read_secrets(self, environ: Mapping[str, str]) -> list[Problem]:
        """Read the secrets that these settings need from variables, and return the problems with them."""
        found = []
        if self.webhook_url is not None:
            found.append(secret := variables.webhook_secret(environ))
            self._webhook_secret = None if isinstance(secret, Problem) else secret
        if self.smtp_username is not None:
            found.append(secret := variables.smtp_password(environ))
            self._smtp_password = None if isinstance(secret, Problem) else secret
        return [each for each in found if isinstance(each, Problem)]


class History(Table):
    """The retention of old messages in all rooms; 0 is never."""

    archive_after_days: Annotated[int, PlainValidator(whole(0, 36_500))] = 0
    delete_after_days: Annotated[int, PlainValidator(whole(0, 36_500))] = 0
    archive_at_percent: Annotated[int, PlainValidator(whole(0, 100))] = 90
    archive_cache_bytes_max: Annotated[int, PlainValidator(whole(268_435_456, SIZE_BYTES_MAX))] = 1_000_000_000
    scrub_bytes_per_minute: Annotated[int, PlainValidator(whole(0, SIZE_BYTES_MAX))] = 16_777_216


class Hibernation(Table):
    """The hibernation of unused rooms in object storage."""

    idle_days: Annotated[int, PlainValidator(whole(0, 36_500))] = 0


Binding = TypeVar("Binding", Database, Bucket)


def _each_once(bindings: tuple[Binding, ...], names: tuple[str, ...]) -> tuple[Binding, ...]:
    found = [binding.binding for binding in bindings]
    if sorted(found) != sorted(names):
        # An environment without bindings is the usual reason: it has none of the top level's.
        given = ", ".join(found) or "no binding (an environment inherits none)"
        raise wrong(f"{' and '.join(names)} exactly once", found=given)
    return bindings


class Settings(Table):
    name: Name = "rookery"
    compatibility_date: Day = date(2026, 11, 20)
    vars: Mapping[str, Public] = Field(default_factory=dict)
    server: Server = Server()
    d1_databases: tuple[Database, ...] = (
        Database(binding="DIRECTORY", database_name="directory"),
        Database(binding="SHARDS", database_name="shards"),
    )
    r2_buckets: tuple[Bucket, ...] = (
        Bucket(binding="ARCHIVE", bucket_name="archive"),
        Bucket(binding="FILES", bucket_name="files"),
    )
    triggers: Triggers = Triggers()
    limits: Limits = Limits()
    webhooks: Webhooks = Webhooks()
    alerts: Alerts = Field(default_factory=Alerts)
    history: History = History()
    hibernation: Hibernation = Hibernation()
    _notices: tuple[str, ...] = PrivateAttr(default=())

    def model_post_init(self, context: Any, /) -> None:
        self._notices = context or ()

    @field_validator("d1_databases")
    @classmethod
    def _both_databases(cls, value: tuple[Database, ...]) -> tuple[Database, ...]:
        return _each_once(value, ("DIRECTORY", "SHARDS"))

    @field_validator("r2_buckets")
    @classmethod
    def _each_bucket(cls, value: tuple[Bucket, ...]) -> tuple[Bucket, ...]:
        """Require ARCHIVE; without a binding FILES, files are in a folder: settings of older releases stay valid."""
        names = ("ARCHIVE", "FILES") if any(bucket.binding == "FILES" for bucket in value) else ("ARCHIVE",)
        found = _each_once(value, names)
        if len({(bucket.endpoint, bucket.bucket_name) for bucket in found}) < len(found):
            raise wrong("a bucket_name for each", found="one bucket for both")
        return found

    @property
    def directory(self) -> Database:
        """The binding of the central database."""
        return next(database for database in self.d1_databases if database.binding == "DIRECTORY")

    @property
    def shards(self) -> Database:
        """The binding of the rooms' databases."""
        return next(database for database in self.d1_databases if database.binding == "SHARDS")

    @property
    def archive(self) -> Bucket:
        """The binding of the archive."""
        return next(bucket for bucket in self.r2_buckets if bucket.binding == "ARCHIVE")

    @property
    def files(self) -> Bucket:
        """The binding of the files of messages."""
        unnamed = Bucket(binding="FILES", bucket_name="files")
        return next((bucket for bucket in self.r2_buckets if bucket.binding == "FILES"), unnamed)

    @property
    def notices(self) -> tuple[str, ...]:
        """Warnings for start-up, one sentence each, about top-level keys that the chosen environment does not use."""
        return self._notices


def load(path: Path | None, *, environment: str | None = None, environ: Mapping[str, str]) -> Settings:
    """Read the settings of `path` (None: the defaults), as the named environment and the variables change them.

    Environments work as wrangler's do (config/rookery.toml says how). Relative paths become absolute from the file's
    folder, or from the current folder for the defaults. Raises SettingsError with all problems.
    """
    source = "settings" if path is None else str(path)
    document = documents.Document() if path is None else documents.read(path)
    found = [*document.problems, *document.unknown_environment(environment)]
    for name in (None, *document.environments):
        if name != environment:
            _, more = _validate(document.overlay(name))
            found += more
    chosen = document.overlay(environment if environment in document.environments else None)
    overrides, unknown = variables.server(environ, Server)
    settings, more = _validate(chosen.with_server(overrides))
    keys: dict[str, dict[str, SecretStr]] = {}
    for binding in variables.BUCKET_KEYS:
        keys[binding], missing = variables.bucket_keys(environ, binding, needed=chosen.has_endpoint(binding))
        more += missing
    if settings is not None:
        more += settings.alerts.read_secrets(environ)
    found += [*more, *unknown]
    if found or settings is None:
        raise SettingsError(source, dict.fromkeys(found))
    return _complete(settings, (Path() if path is None else path.parent).absolute(), keys)


def _validate(overlay: documents.Overlay) -> tuple[Settings | None, list[Problem]]:
    settings, errors = problems.validate(Settings, overlay.values, context=overlay.notices)
    return settings, [problems.explain(Settings, error, overlay.place) for error in errors]


def _complete(settings: Settings, folder: Path, keys: Mapping[str, Mapping[str, SecretStr]]) -> Settings:
    """Return the settings with absolute paths and with the keys of buckets."""
    databases = tuple(
        database.model_copy(update={"migrations_dir": database.migrations_dir and folder / database.migrations_dir})
        for database in settings.d1_databases
    )
    update = {
        "server": settings.server.model_copy(update={"data_dir": folder / settings.server.data_dir}),
        "d1_databases": databases,
        "r2_buckets": tuple(bucket.model_copy(update=keys[bucket.binding]) for bucket in settings.r2_buckets),
    }
    return settings.model_copy(update=update)
