"""A file is imported once, and an import that failed continues at its last checkpoint."""

import gzip
import json
import sys
from contextlib import contextmanager
from threading import Event

import pyarrow as pa
import pytest
from pyarrow import parquet

from sales.importing import file_lock, importer
from sales.importing.columns import ColumnMapping
from sales.importing.formats import open_file
from sales.importing.tests.imports import csv_text, events, failing, import_sales, ndjson, orders, stored_orders
from sales.models import FileImport, Sale
from sales.totals.tests.threads import together

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("small_batches")]


def test_a_file_that_was_imported_under_another_name_is_not_imported_again(path, capsys):
    path.write_text(ndjson(events(0, 10)))
    import_sales(path)

    path.rename(path.with_name("other.jsonl"))
    import_sales(path.with_name("other.jsonl"))

    assert "other.jsonl: nothing to do, 10 lines imported earlier\n" in capsys.readouterr().err
    assert Sale.objects.count() == 10


def test_a_compressed_copy_is_the_same_file(path):
    path.write_text(ndjson(events(0, 10)))
    import_sales(path)

    compressed = path.with_name("a.ndjson.gz")
    compressed.write_bytes(gzip.compress(path.read_bytes()))
    import_sales(compressed)

    assert Sale.objects.count() == 10


def test_only_the_new_lines_of_a_grown_file_are_imported_and_older_copies_stay_known(path):
    for stop in (3, 10, 10, 17, 10, 3, 17):
        path.write_text(ndjson(events(0, stop)))
        import_sales(path)

    assert stored_orders() == orders(range(17))
    assert FileImport.objects.exclude(finished_at=None).count() == FileImport.objects.count() == 3


def test_the_same_content_from_another_sender_or_with_other_columns_is_another_import(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text(csv_text(events(0, 3)) + "\n")

    import_sales(file)
    import_sales(file, "--sender", "shop")
    import_sales(file, "--map", "brand=")
    import_sales(file, "--map", "brand=")

    assert Sale.objects.count() == 9


@pytest.mark.parametrize("mapping", ["id_order=ID_ORDER", "remark="], ids=["same name", "no such column"])
@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_a_file_is_not_imported_again_with_a_mapping_that_changes_nothing(tmp_path, name, mapping):
    file, rows = tmp_path / name, events(0, 3)
    if name == "a.csv":
        file.write_text(csv_text(rows))
    else:
        parquet.write_table(pa.Table.from_pylist(rows), file)

    import_sales(file)
    import_sales(file, "--map", mapping)

    assert Sale.objects.count() == 3


def test_an_ndjson_file_is_not_imported_again_with_a_mapping_to_the_same_name(path):
    path.write_text(ndjson(events(0, 3)))

    import_sales(path)
    import_sales(path, "--map", "id_order=ID_ORDER")

    assert Sale.objects.count() == 3


@pytest.mark.parametrize(("mappings", "stored"), [((), "csv , "), (("--map", "remark="), "csv , REMARK=")])
def test_the_imports_of_earlier_versions_are_recognized(tmp_path, mappings, stored):
    file = tmp_path / "a.csv"
    file.write_text(csv_text(events(0, 3)))
    import_sales(file)
    FileImport.objects.update(format_and_columns=stored)

    import_sales(file, *mappings)

    assert Sale.objects.count() == 3


def test_again_imports_a_file_once_more_and_resumes_at_its_own_checkpoint(path, capsys):
    path.write_text(ndjson(events(0, 10)))
    import_sales(path)
    import_sales(path, "--again")
    assert stored_orders() == orders(range(10), range(10))

    path.write_text(ndjson(events(0, 10)) + "{\n")
    with failing(1):
        import_sales(path, "--again")
    path.write_text(ndjson(events(0, 11)))
    import_sales(path, "--again")
    assert "3 accepted, 0 duplicate, 0 rejected" in capsys.readouterr().err
    assert stored_orders() == orders(range(10), range(10), range(11))


def test_a_file_whose_imported_lines_have_changed_is_another_file(path):
    path.write_text(ndjson(events(0, 10)))
    import_sales(path)
    path.write_text(ndjson(events(100, 101), events(1, 10)))
    import_sales(path)
    assert Sale.objects.count() == 20


def test_an_import_that_fails_between_batches_resumes_there(tmp_path):
    compressed = gzip.compress(ndjson(events(0, 400)).encode())
    file = tmp_path / "a.ndjson.gz"
    file.write_bytes(compressed[:-8])

    with failing(1, "is a damaged gzip file"):
        import_sales(file)
    stored = Sale.objects.count()
    assert 0 < stored < 400
    assert stored % 4 == 0

    file.write_bytes(compressed)
    import_sales(file)
    assert stored_orders() == orders(range(400))


def test_a_batch_is_stored_together_with_its_checkpoint(path, monkeypatch):
    path.write_text(ndjson(events(0, 10)))
    save_checkpoint = importer._save_checkpoint

    def interrupt_second_batch(file_import, checkpoint, stored):
        if checkpoint.lines > 4:
            raise KeyboardInterrupt
        save_checkpoint(file_import, checkpoint, stored)

    with (
        monkeypatch.context() as patch,
        failing(130, "Interrupted. Everything before that is stored. Run the command again to continue from there."),
    ):
        patch.setattr(importer, "_save_checkpoint", interrupt_second_batch)
        import_sales(path)
    assert stored_orders() == orders(range(4))

    import_sales(path)
    assert stored_orders() == orders(range(10))
    assert FileImport.objects.get().accepted == 10


def test_the_json_summary_of_a_terminated_import_says_so(path, monkeypatch, capsys):
    path.write_text(ndjson(events(0, 10)))

    def terminate(*arguments):
        sys.exit(143)

    monkeypatch.setattr(importer, "_save_checkpoint", terminate)
    with pytest.raises(SystemExit, match="143"):
        import_sales(path, "--json")

    assert json.loads(capsys.readouterr().out)["error"].startswith("Terminated. Everything before that is stored.")


@pytest.mark.parametrize("on_error", ["stop", "skip"])
def test_a_csv_file_that_was_cut_off_is_continued_with_the_whole_file(tmp_path, on_error):
    file, whole = tmp_path / "a.csv", csv_text(events(0, 6, REVENUE="685892.99"))
    file.write_text(whole[:-4])

    with failing(1, "has no line break at the end of line 7, its last", "add a line break to its end."):
        import_sales(file, "--on-error", on_error)
    file.write_text(whole)
    import_sales(file, "--on-error", on_error)

    assert stored_orders() == orders(range(6))
    assert {str(sale.revenue) for sale in Sale.objects.all()} == {"685892.99"}


@contextmanager
def importing_elsewhere(path, sender="files"):
    """Hold the lock of an import of this file in another thread."""
    locked, ended = Event(), Event()

    def import_slowly():
        with open_file(str(path), "ndjson", ColumnMapping(), ",") as file, file_lock.lock_file(file.prefixes(), sender):
            locked.set()
            assert ended.wait(60)

    with together((import_slowly,)):
        assert locked.wait(60)
        try:
            yield
        finally:
            ended.set()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("lines", [(10, 10), (1, 2), (10, 1), (2, 100)])
def test_a_file_that_another_process_is_importing_is_refused_even_if_it_has_grown(path, tmp_path, monkeypatch, lines):
    monkeypatch.setattr(file_lock, "LOCK_TIMEOUT", 0.3)
    elsewhere = tmp_path / "elsewhere.ndjson"
    elsewhere.write_text(ndjson(events(0, lines[0])))
    path.write_text(ndjson(events(0, lines[1])))

    with importing_elsewhere(elsewhere):
        with failing(1, "is already being imported by another process"):
            import_sales(path)
        assert not Sale.objects.exists()
        import_sales(path, "--sender", "shop")

    import_sales(path)
    assert Sale.objects.count() == 2 * lines[1]


@pytest.mark.django_db(transaction=True)
def test_files_that_begin_with_the_same_lines_are_imported_at_the_same_time(path, tmp_path, monkeypatch):
    monkeypatch.setattr(file_lock, "LOCK_TIMEOUT", 0.3)
    elsewhere = tmp_path / "elsewhere.ndjson"
    elsewhere.write_text(ndjson(events(0, 10)))
    path.write_text(ndjson(events(0, 3), events(20, 30)))

    with importing_elsewhere(elsewhere):
        import_sales(path)

    assert Sale.objects.count() == 13


@pytest.mark.parametrize(("imported", "bad"), [(10, ""), (9, "{\n")], ids=["finished", "interrupted"])
@pytest.mark.parametrize("name", ["a.csv", "a.ndjson", "a.ndjson.gz"])
def test_a_file_that_is_shorter_than_what_was_imported_of_it_is_refused(tmp_path, name, imported, bad):
    file, text = tmp_path / name, csv_text if name == "a.csv" else ndjson
    write(file, text(events(0, imported)) + bad)
    if bad:
        with failing(1):
            import_sales(file)
    else:
        import_sales(file)
    stored = stored_orders()

    write(tmp_path / f"cut-{name}", text(events(0, 6)))
    with failing(1, f"cut-{name} begins like {file}, of which", "so it may be cut off", "--again"):
        import_sales(tmp_path / f"cut-{name}")

    assert stored_orders() == stored
    import_sales(tmp_path / f"cut-{name}", "--again")
    assert stored_orders() == sorted(stored + orders(range(6)))


def test_a_file_without_the_last_line_break_of_its_import_is_refused(path):
    path.write_text(ndjson(events(0, 3)))
    import_sales(path)
    path.write_text(ndjson(events(0, 3)).rstrip())

    with failing(1, "so it may be cut off"):
        import_sales(path)


def test_a_shorter_file_with_other_lines_is_imported(path):
    path.write_text(ndjson(events(0, 10)))
    import_sales(path)
    path.write_text(ndjson(events(20, 23)))
    import_sales(path)
    assert Sale.objects.count() == 13


def write(file, text):
    file.write_bytes(gzip.compress(text.encode()) if file.suffix == ".gz" else text.encode())
