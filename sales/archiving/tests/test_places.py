"""A place gives each name to one writer only."""

from sales.archiving.places import has_file, local_copy, publish_new
from salesengine.backups.tests.helpers import object_store


def publish_twice(place, folder):
    """Publish two texts under one name. Return what `publish_new` returned, and the text that the place has then."""
    published = []
    for text in ("first", "second"):
        draft = folder / "draft"
        draft.write_text(text)
        assert has_file(place, "sales-2021-01.json") == bool(published)
        published.append(publish_new(draft, place, "sales-2021-01.json"))
    with local_copy(place, "sales-2021-01.json") as path:
        return published, path.read_text()


def test_a_folder_keeps_the_first_manifest(tmp_path):
    (tmp_path / "place").mkdir()

    assert publish_twice(tmp_path / "place", tmp_path) == ([True, False], "first")


def test_an_object_store_keeps_the_first_manifest(tmp_path, monkeypatch):
    with object_store() as settings:
        for name, value in settings.items():
            monkeypatch.setenv(name, value)

        assert publish_twice("s3://bucket/shop", tmp_path) == ([True, False], "first")
