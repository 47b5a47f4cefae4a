"""`rookery room`: what the registry knows of rooms and their files."""

from pathlib import Path

from rookery import composition
from tests.rookery.histories import fill, settings
from tests.rookery.terminal import invoke


async def test_rooms_are_listed_and_shown(tmp_path: Path) -> None:
    """A room is found by its name and by its id, with its owner, its members and its file."""
    lean, _ = await fill(tmp_path, "lean", "other")
    listed = invoke("--data", tmp_path, "room", "list", "--json").json
    assert [room["name"] for room in listed] == ["lean", "other"]
    by_name = invoke("--data", tmp_path, "room", "show", "lean", "--json").json
    assert by_name == invoke("--data", tmp_path, "room", "show", lean.id, "--json").json
    assert (by_name["id"], by_name["owner"], by_name["member_count"]) == (str(lean.id), "ada", 1)
    path = composition.shards_folder(settings(tmp_path)) / f"{lean.id}.db"
    assert (by_name["file"], by_name["file_exists"]) == (str(path), True)
    assert "ada" in invoke("--data", tmp_path, "room", "show", "lean").out
    for unknown in ("nobody", "12345"):
        assert invoke("--data", tmp_path, "room", "show", unknown).code == 1


async def test_a_list_of_rooms_goes_on_where_it_ends(tmp_path: Path) -> None:
    """A list has at most `limit` rooms and continues after an id."""
    made = await fill(tmp_path, "one", "two", "three")
    first = invoke("--data", tmp_path, "room", "list", "--limit", 2, "--json").json
    rest = invoke("--data", tmp_path, "room", "list", "--after", first[-1]["id"], "--json").json
    assert [room["id"] for room in first + rest] == [str(room.id) for room in made]
    assert "--after" in invoke("--data", tmp_path, "room", "list", "--limit", 2).err
