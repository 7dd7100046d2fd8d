"""Remember when the last backup was finished, and warn when it is old, or older than a restore.

It also warns while the log is not archived.
"""

import datetime
import json

from django.conf import settings
from django.db import connection
from django.utils import timezone

FILE = "last_backup.json"
RESTORED = (
    "No full backup was taken since the database was restored, so its newer sales cannot be restored. Run manage.py "
    "backup."
)


def record_backup(finished_at: datetime.datetime, to: str) -> None:
    """Write LOCAL_DIR/last_backup.json."""
    draft = settings.LOCAL_DIR / f".{FILE}"
    draft.write_text(json.dumps({"finished_at": f"{finished_at:%Y-%m-%dT%H:%M:%SZ}", "to": to}) + "\n")
    draft.replace(settings.LOCAL_DIR / FILE)


def backup_warnings() -> list[str]:
    """Return warnings about the backups of the private database. Call this for a database that has sales.

    A database without a backup gets as much time as one after a backup. With DATABASE_URL, the list is empty.
    """
    if not settings.IS_LOCAL:
        return []
    return [*age_warnings(), *(archive_warnings() if settings.WAL_ARCHIVE else [])]


def age_warnings() -> list[str]:
    """Return a text if the private database has no backup since it was restored, or none within BACKUP_MAX_AGE."""
    if not has_backup_since_restore():
        return [RESTORED]
    if finished_at := last_backup_at():
        text = f"The newest backup is from {finished_at:%Y-%m-%d %H:%M} UTC. Run manage.py backup."
    else:
        text = "The database has no backup. Set BACKUP_DIR, and run manage.py backup."
    return [text] if timezone.now() - (finished_at or created_at()) > settings.BACKUP_MAX_AGE else []


def has_backup_since_restore() -> bool:
    """Return whether the newest backup has the timeline of the database. Each restore with a log begins a new one.

    The log of a new timeline helps only after a backup of it: a restore of an earlier backup follows the old timeline.
    """
    timeline = database_timeline()
    return timeline <= (newest_backup_timeline() or (timeline if last_backup_at() else 1))


def database_timeline() -> int:
    """Return the number of the timeline of the private database: 1, until it is restored from a backup and its log.

    PostgreSQL writes a history file for each later one, and keeps it.
    """
    histories = (settings.LOCAL_DIR / "postgres" / "pg_wal").glob("[0-9A-F]*.history")
    return max((int(path.stem, 16) for path in histories), default=1)


def newest_backup_timeline() -> int | None:
    """Return the timeline of the newest backup in BACKUP_DIR, or None if there is none that can be read."""
    if settings.BACKUP_DIR is None:
        return None
    try:
        manifest = max(settings.BACKUP_DIR.glob("[0-9]*/manifest.json"))
        return int(json.loads(manifest.read_text())["first_wal"][:8], 16)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def last_backup_at() -> datetime.datetime | None:
    """Return when the last backup of the private database was finished, or None if there is none."""
    try:
        text = json.loads((settings.LOCAL_DIR / FILE).read_text())["finished_at"]
        return datetime.datetime.fromisoformat(text)
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def created_at() -> datetime.datetime:
    """Return when the private database was created."""
    created = (settings.LOCAL_DIR / "postgres" / "PG_VERSION").stat().st_mtime
    return datetime.datetime.fromtimestamp(created, datetime.UTC)


def archive_warnings() -> list[str]:
    """Return a text while PostgreSQL cannot archive its log: it keeps the log until then, and the disk fills."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT last_failed_time FROM pg_stat_archiver WHERE current_setting('archive_mode') <> 'off'"
            " AND last_failed_time > coalesce(last_archived_time, '-infinity')"
        )
        row = cursor.fetchone()
    if row is None:
        return []
    since = f"{row[0].astimezone(datetime.UTC):%Y-%m-%d %H:%M}"
    return [f"The database's log is not archived ({since} UTC) and fills the disk. PostgreSQL's own log says why."]
