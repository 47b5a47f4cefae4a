"""What becomes of a room's history, as operators see and set it over HTTP."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.router.clients import Room
from tests.router.operators import Site, site_in


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with site_in(tmp_path) as made:
        yield made


def archive_of(room: Room) -> str:
    return f"/v1/operate/shards/{room.id}/archive"


def test_what_becomes_of_history_is_shown_and_set(site: Site) -> None:
    """A room and its channels each have days and a hold, of which one leaves the other alone; the record has who."""
    room = site.user.found()
    site.user.say(room, "moss")
    channel_id = room.general.rpartition("/")[2]
    path = archive_of(room)
    before = site.admin.get(path)
    assert (before["live_messages"], before["archived_messages"], before["policies"]) == (1, 0, [])
    days = {"archive_after_days": 90, "delete_after_days": None}
    held = {"is_held": True, "hold_reason": "Case 12"}
    free = {"is_held": False, "hold_reason": None}
    of_channel = {"channel_id": channel_id}
    undecided = {"archive_after_days": None, "delete_after_days": None}
    assert site.admin.did("PUT", path + "/policy", days) == {"channel_id": None, **days, **free}
    assert site.admin.did("PUT", path + "/hold", {"reason": "Case 12"}) == {"channel_id": None, **days, **held}
    assert site.admin.did("PUT", path + "/hold", of_channel | {"reason": "Case 12"}) == {
        **of_channel,
        **undecided,
        **held,
    }
    assert site.admin.did("DELETE", path + "/hold") == {"channel_id": None, **days, **free}
    assert site.admin.get(path)["policies"] == [
        {"channel_id": None, **days, **free},
        {**of_channel, **undecided, **held},
    ]
    assert site.admin.did("DELETE", f"{path}/hold?channel_id={channel_id}") == {**of_channel, **undecided, **free}
    lines = [line for line in site.user.get(f"{room.path}/audit")["entries"] if line["action"].startswith("history.")]
    assert [(line["actor_id"], line["target_id"]) for line in lines] == [
        (site.admin.id, channel_id), (site.admin.id, room.id), (site.admin.id, channel_id), (site.admin.id, room.id),
        (site.admin.id, room.id),
    ]  # fmt: skip


@pytest.mark.parametrize("body", [
    {"archive_after_days": 3, "delete_after_days": None},
    {"archive_after_days": None, "delete_after_days": 0},
    {"archive_after_days": -1, "delete_after_days": None},
    {"archive_after_days": 90},
    {"archive_after_days": "soon", "delete_after_days": None},
    {"archive_after_days": 90, "delete_after_days": 10**9},
])  # fmt: skip
def test_days_that_could_do_harm_are_refused(site: Site, body: dict[str, object]) -> None:
    """Nothing younger than a week moves, and what is left out is not guessed."""
    room = site.user.found()
    assert site.admin.refused("PUT", archive_of(room) + "/policy", body).status == 422
    assert site.admin.get(archive_of(room))["policies"] == []


def test_history_is_the_administrators_alone(site: Site) -> None:
    """Not even a room's owner sees or sets it here, and what there is not is not found."""
    room = site.user.found()
    path = archive_of(room)
    assert site.user.refused("GET", path).status == 403
    assert site.user.refused("PUT", path + "/hold", {"reason": "mine"}).status == 403
    assert site.nobody.refused("GET", path).status == 401
    assert site.admin.refused("GET", "/v1/operate/shards/12/archive").status == 404
    assert site.admin.refused("PUT", path + "/hold", {"reason": "Case", "channel_id": "12"}).status == 404
    assert site.admin.refused("PUT", path + "/hold", {"reason": ""}).status == 422
