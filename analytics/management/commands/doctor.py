import json
import zipfile
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, cast

from django.core.checks import CheckMessage
from django.core.management.base import BaseCommand, CommandError
from django.core.serializers.json import DjangoJSONEncoder
from rich.console import Console
from rich.table import Table
from rich.text import Text

from analytics.management.commands import check  # noqa: F401  # registers the checks of reports
from analytics.models import ReportRun
from analytics.output.atomic_write import atomic_write
from sales.partitions import buffer_checks
from sales.totals import backlog_checks
from salesengine.accounts import key_checks
from salesengine.operations.doctor import server_checks, settings_checks, storage_checks
from salesengine.operations.doctor.diagnosis import LEVELS, UNAVAILABLE, as_dict, diagnose, level, status
from salesengine.operations.doctor.support_bundle import bundle_contents
from salesengine.plurals import counted

EPILOG = """\
examples:
  manage.py doctor
  manage.py doctor --json | jq -r '.findings[].id'
  manage.py doctor --bundle support.zip

docs/operations.md explains the ids. The bundle is for the people who help you: it has no sales, no names of clients, no
keys and no passwords. Look into it before you send it.

exit codes: 0 nothing found, 1 warnings only, 2 problems, invalid settings or arguments, or standard output cannot be
written, 3 the bundle cannot be written
"""
FAILED, BUNDLE_FAILED = 2, 3
BUNDLED_RUNS = 1_000
STYLES = {"problem": "bold red", "warning": "yellow"}

SETTINGS_CHECKS = (
    settings_checks.check_exposure,
    settings_checks.check_database_passwords,
    settings_checks.check_addresses,
    storage_checks.check_disk,
)
DATABASE_CHECKS = (
    server_checks.check_version,
    server_checks.check_migrations,
    server_checks.check_server_settings,
    server_checks.check_locks,
    server_checks.check_clock,
    server_checks.check_archive,
    server_checks.check_long_transactions,
    server_checks.check_replication_lag,
    storage_checks.check_invalid_indexes,
    storage_checks.check_bloated_indexes,
    storage_checks.check_dead_rows,
    storage_checks.check_backup,
)
TABLE_CHECKS = (
    key_checks.check_expiring_keys,
    key_checks.check_unused_keys,
    backlog_checks.check_backlog,
    buffer_checks.check_buffers,
)


class Command(BaseCommand):
    help = "Check the settings, the database, the reports and the API keys. Say for each problem what to do."
    requires_system_checks = ()  # it runs them itself

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EPILOG
        parser.add_argument("--json", action="store_true", help="write one JSON object")
        parser.add_argument("--bundle", metavar="FILE", type=Path, help="also write a support bundle, a ZIP file")

    def handle(self, *, json: bool, bundle: Path | None, **options: Any) -> None:
        findings = diagnose(SETTINGS_CHECKS, DATABASE_CHECKS, TABLE_CHECKS)
        try:
            if json:
                self.stdout.write(_json({"status": status(findings), "findings": [as_dict(each) for each in findings]}))
            else:
                self._show(findings)
            self.stdout.flush()
        except OSError as error:
            raise CommandError(f"Standard output cannot be written: {error.strerror}", returncode=FAILED) from None
        if bundle:
            self._write_bundle(bundle, findings)
        if findings:
            raise SystemExit(LEVELS.index(status(findings)))

    def _show(self, findings: Sequence[CheckMessage]) -> None:
        """Write a table on a terminal, and otherwise a line for each finding and one for what to do."""
        console = Console(file=cast(IO[str], self.stdout._out), highlight=False)
        if console.is_terminal:
            table = Table("level", "id", "what was found, and what to do", show_lines=True)
            for each in findings:
                table.add_row(Text(level(each), STYLES[level(each)]), str(each.id), Text("\n".join(_lines(each))))
            if findings:
                console.print(table)
        else:
            for each in findings:
                found, *to_do = _lines(each)
                self.stdout.write(f"{level(each)}: ({each.id}) {found}")
                self.stdout.write("".join(f"    {line}\n" for line in to_do), ending="")
        counts = [counted(sum(level(each) == name for each in findings), name) for name in ("problem", "warning")]
        self.stdout.write(f"Found {' and '.join(counts)}." if findings else "Nothing found: all is well.")

    def _write_bundle(self, path: Path, findings: Sequence[CheckMessage]) -> None:
        has_database = all(finding.id != UNAVAILABLE for finding in findings)
        contents = bundle_contents(findings, has_database=has_database)
        if has_database:
            columns = ("report", "channel", "started_at", "seconds", "rows", "outcome")
            contents["report_runs"] = list(ReportRun.objects.order_by("-started_at").values(*columns)[:BUNDLED_RUNS])
        try:
            with atomic_write(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                for name, content in contents.items():
                    archive.writestr(f"{name}.json", _json(content))
        except OSError as error:
            raise CommandError(f"{path} cannot be written: {error.strerror}", returncode=BUNDLE_FAILED) from None
        self.stderr.write(f"Wrote {path}. It has no data and no secrets; look into it before you send it.", str)


def _lines(finding: CheckMessage) -> list[str]:
    """Return what was found, and then what to do."""
    about = "" if finding.obj is None else f"{finding.obj}: "
    return [f"{about}{finding.msg}", *(finding.hint or "").splitlines()]


def _json(content: Any) -> str:
    return json.dumps(content, indent=2, cls=DjangoJSONEncoder)
