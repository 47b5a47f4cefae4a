"""Endpoints of jobs, for operators: long-running work on one room, started, monitored and cancelled."""

from dataclasses import dataclass

from directory import runs, shards
from ids import RoomId
from router.context import AppContext
from router.errors import FieldFault, InvalidError
from router.routes import Access, Call, Reply, Route
from router.schemas import fleet as schemas
from router.schemas import pages
from router.schemas.fields import Nothing, PageQuery
from router.schemas.fleet import JobPageView, JobView, ReleaseQuery, StartJob
from shard.errors import ConflictError

JOBS = "/v1/operate/jobs"
JOB = JOBS + "/{job_id}"
QUARANTINE = "/v1/operate/shards/{room_id}/quarantine"


@dataclass(frozen=True, slots=True)
class Operations:
    """The endpoints and what they need."""

    context: AppContext

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of this part."""
        tag, access, refusals = "operate", Access.ADMIN, (409,)
        return (
            Route(
                "POST", JOBS, self.start, "Start a job", tag, JobView, 202, StartJob, refusals=(404, 409),
                access=access,
            ),
            Route("GET", JOBS, self.listed, "List jobs", tag, JobPageView, query=PageQuery, access=access),
            Route("GET", JOB, self.one, "Get a job", tag, JobView, access=access),
            Route("DELETE", JOB, self.cancel, "Cancel a job", tag, JobView, access=access),
            Route(
                "DELETE", QUARANTINE, self.release, "Release a room from quarantine", tag, None, 204,
                query=ReleaseQuery, refusals=refusals, access=access,
            ),
        )  # fmt: skip

    async def start(self, call: Call[StartJob, Nothing]) -> Reply:
        """Start a job on a room. Returns 202; the job continues in the background."""
        if call.body.kind not in self.context.jobs.kinds:
            raise InvalidError([FieldFault("body.kind", f"one of {', '.join(sorted(self.context.jobs.kinds))}")])
        room_id = RoomId(call.body.room_id)
        async with self.context.directory.database.read() as reader:
            await shards.find(reader, room_id)
        run = await self.context.jobs.start(call.body.kind, room_id, by=call.user_id, client=call.client)
        return Reply(schemas.job(run), 202)

    async def listed(self, call: Call[Nothing, PageQuery]) -> Reply:
        """List jobs, newest first, including those that ended."""
        limit, place = call.query.limit, call.query.place
        before = runs.START if place is None else place[0]
        async with self.context.directory.database.read() as reader:
            rows = await runs.list_page(reader, before=before, limit=limit + 1)
        page = rows[:limit]
        answer: JobPageView = {
            "jobs": [schemas.job(row) for row in page],
            "users": await self.context.people.of(row.started_by for row in page if row.started_by is not None),
            "next_cursor": pages.write(page[-1].id) if len(rows) > limit else None,
        }
        return Reply(answer)

    async def one(self, call: Call[Nothing, Nothing]) -> Reply:
        """Return the current state of a job."""
        async with self.context.directory.database.read() as reader:
            return Reply(schemas.job(await runs.find(reader, call.job_id)))

    async def cancel(self, call: Call[Nothing, Nothing]) -> Reply:
        """Cancel a job: it ends before its next step. Returns its current state; a job that ended is not changed."""
        return Reply(schemas.job(await self.context.jobs.cancel(call.job_id)))

    async def release(self, call: Call[Nothing, ReleaseQuery]) -> Reply:
        """Release a room from quarantine, if it passes the checks or with `force`. 409 if it is still broken."""
        room_id = call.room_id
        async with self.context.directory.database.read() as reader:
            await shards.find(reader, room_id)
        seen = await self.context.quarantine.release(
            room_id, force=call.query.force, by=call.user_id, client=call.client
        )
        if seen is not None and seen.problems:
            raise ConflictError(
                f"The room is still broken: {'; '.join(seen.problems)}. Restore it from a backup first."
            )
        return Reply(status=204)
