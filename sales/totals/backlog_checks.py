"""Find ledger entries that no fold adds to the totals."""

from collections.abc import Iterator
from datetime import timedelta

from django.core.checks import CheckMessage, Warning  # noqa: A004
from django.utils import timezone

from sales.models import LedgerEntry
from sales.totals.folding import FOLD_INTERVAL
from salesengine.plurals import counted

MIN_ENTRIES = 2 * FOLD_INTERVAL  # folds leave about FOLD_INTERVAL entries behind, until the next sales arrive
MAX_COUNT = 1_000_000  # entries, so that counting does not take long
MAX_AGE = timedelta(minutes=5)
HINT = "The log says why folds fail. If another session holds them back, end it; new sales then start the next fold."


def check_backlog() -> Iterator[CheckMessage]:
    """Yield sales.W001 if many ledger entries have waited for long: feedback and reports by country get slower."""
    entries = LedgerEntry.objects.filter(position=None).order_by("id")
    oldest = entries.values_list("received_at", flat=True).first()
    if oldest is None or timezone.now() - oldest < MAX_AGE:
        return
    count = entries[:MAX_COUNT].count()
    if count >= MIN_ENTRIES:
        minutes = counted(int((timezone.now() - oldest).total_seconds() // 60), "minute")
        message = f"{counted(count, 'ledger entry', 'ledger entries')} wait to be folded, the oldest for {minutes}"
        yield Warning(message, hint=HINT, id="sales.W001")
