import pytest

from sales.importing import parquet, sources


@pytest.fixture
def small_batches(monkeypatch):
    """Let a batch have 4 events, so that small files have several."""
    monkeypatch.setattr(sources, "BATCH_SIZE", 4)
    monkeypatch.setattr(parquet, "BATCH_SIZE", 4)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "sales.ndjson"
