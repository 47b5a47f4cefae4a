"""For operators: work upon one room that takes its time, begun here, watched, and cancelled."""

from dataclasses import dataclass

from directory import runs, shards
from directory.directory import Directory
from ids import RoomId
from router import cursors
from router.doors import People
from router.errors import FieldFault, InvalidError
from router.jobs import Jobs, Quarantine
from router.table import Call, Gate, Reply, Route
from router.views import fleet as views
from router.views.fleet import JobPageView, JobView
from router.wire.fields import Nothing, PageQuery
from router.wire.fleet import ReleaseQuery, StartJob
from shard.errors import ConflictError

JOBS = "/v1/operate/jobs"
JOB = JOBS + "/{job_id}"
QUARANTINE = "/v1/operate/shards/{room_id}/quarantine"


@dataclass(frozen=True, slots=True)
class Operations:
    """The endpoints and what they need."""

    directory: Directory
    people: People
    jobs: Jobs
    quarantine: Quarantine
    page_size_max: int

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of this part."""
        tag, gate, refusals = "operate", Gate.ADMIN, (409,)
        return (
            Route("POST", JOBS, self.start, "Begin a job", tag, JobView, 202, StartJob, refusals=(404, 409), gate=gate),
            Route("GET", JOBS, self.listed, "Jobs", tag, JobPageView, query=PageQuery, gate=gate),
            Route("GET", JOB, self.one, "How far a job is", tag, JobView, gate=gate),
            Route("DELETE", JOB, self.cancel, "Cancel a job", tag, JobView, gate=gate),
            Route(
                "DELETE", QUARANTINE, self.release, "Let a room out of quarantine", tag, None, 204, query=ReleaseQuery,
                refusals=refusals, gate=gate,
            ),
        )  # fmt: skip

    async def start(self, call: Call[StartJob, Nothing]) -> Reply:
        """Begin work upon a room, which goes on by itself."""
        if call.body.kind not in self.jobs.kinds:
            raise InvalidError([FieldFault("body.kind", f"one of {', '.join(sorted(self.jobs.kinds))}")])
        room_id = RoomId(call.body.room_id)
        async with self.directory.database.read() as reader:
            await shards.find(reader, room_id)
        run = await self.jobs.start(call.body.kind, room_id, by=call.user_id, origin=call.origin)
        return Reply(views.job(run), 202)

    async def listed(self, call: Call[Nothing, PageQuery]) -> Reply:
        """List jobs, newest first, those that ended too."""
        limit, place = cursors.size(call.query, self.page_size_max), cursors.read(call.query.cursor, 1)
        before = runs.START if place is None else place[0]
        async with self.directory.database.read() as reader:
            rows = await runs.list_page(reader, before=before, limit=limit + 1)
        page = rows[:limit]
        answer: JobPageView = {
            "jobs": [views.job(row) for row in page],
            "users": await self.people.of(row.started_by for row in page if row.started_by is not None),
            "next_cursor": cursors.write(page[-1].id) if len(rows) > limit else None,
        }
        return Reply(answer)

    async def one(self, call: Call[Nothing, Nothing]) -> Reply:
        """Return a job as it is now."""
        async with self.directory.database.read() as reader:
            return Reply(views.job(await runs.find(reader, call.path["job_id"])))

    async def cancel(self, call: Call[Nothing, Nothing]) -> Reply:
        """Have a job end before its next step, and return it as it is then; one that ended stays as it is."""
        return Reply(views.job(await self.jobs.cancel(call.path["job_id"])))

    async def release(self, call: Call[Nothing, ReleaseQuery]) -> Reply:
        """Let everybody into a room again, if it is sound by now or with `force`."""
        room_id = call.path["room_id"]
        async with self.directory.database.read() as reader:
            await shards.find(reader, room_id)
        seen = await self.quarantine.release(room_id, force=call.query.force, by=call.user_id, origin=call.origin)
        if seen is not None and seen.problems:
            raise ConflictError(
                f"The room is still broken: {'; '.join(seen.problems)}. Restore it from a backup first."
            )
        return Reply(status=204)
