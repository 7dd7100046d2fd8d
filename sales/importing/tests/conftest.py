import pytest

from sales.importing import parquet, sources


@pytest.fixture
def small_chunks(monkeypatch):
    """Let a chunk have 4 events, so that small files have several."""
    monkeypatch.setattr(sources, "CHUNK", 4)
    monkeypatch.setattr(parquet, "CHUNK", 4)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "sales.ndjson"
