"""Find journals whose entries do not move into the totals."""

from collections.abc import Iterator
from datetime import timedelta

from django.core.checks import CheckMessage, Warning  # noqa: A004
from django.utils import timezone

from sales.models import CountryJournalEntry, JournalEntry
from sales.totals import country_folding, feedback_folding
from salesengine.plurals import counted

# Folds leave about FOLD_INTERVAL entries behind, until the next sales arrive.
MIN_FEEDBACK_ENTRIES = 2 * feedback_folding.FOLD_INTERVAL
MIN_COUNTRY_ENTRIES = 2 * country_folding.FOLD_INTERVAL
MAX_COUNT = 1_000_000  # entries, so that counting does not take long
MAX_AGE = timedelta(minutes=5)
HINT = "The log says why folds fail. If another session holds them back, end it; new sales then start the next fold."


def check_feedback_backlog() -> Iterator[CheckMessage]:
    """Yield sales.W001 if many entries of the feedback's journal have waited for long: feedback gets slower."""
    entries = JournalEntry.objects.order_by("id")
    oldest = entries.values_list("received_at", flat=True).first()
    if oldest is None or timezone.now() - oldest < MAX_AGE:
        return
    count = entries[:MAX_COUNT].count()
    if count >= MIN_FEEDBACK_ENTRIES:
        minutes = counted(int((timezone.now() - oldest).total_seconds() // 60), "minute")
        message = f"{counted(count, 'journal entry', 'journal entries')} of the feedback wait, the oldest for {minutes}"
        yield Warning(message, hint=HINT, id="sales.W001")


def check_country_backlog() -> Iterator[CheckMessage]:
    """Yield sales.W002 if many entries of the journal by country wait: reports by country get slower."""
    count = CountryJournalEntry.objects.all()[:MAX_COUNT].count()
    if count >= MIN_COUNTRY_ENTRIES:
        message = f"{counted(count, 'journal entry', 'journal entries')} of the totals by country wait"
        yield Warning(message, hint=HINT, id="sales.W002")
