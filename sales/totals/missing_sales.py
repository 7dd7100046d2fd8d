"""Find sales that were deleted with SQL before a fold counted them, and take them out of the ledger.

Folds stop at an entry whose sales are missing, because its figures would be wrong.
"""

import logging
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from django.db import connection

from sales.models import Sale, SoldItem, VoidedSale
from sales.totals.figures import ZERO, Difference, add_up
from sales.totals.ledger import figures_of, id_ranges, read_tallies, tallies
from salesengine.exact_json import encode_json

FIND_INCOMPLETE = """
    SELECT id, CASE WHEN voided > 0 THEN -1 ELSE 1 END, sources, tallies::text,
        array(SELECT generate_series(lower(ids), upper(ids) - 1) FROM unnest(sale_ids) AS ids)
    FROM ledger
    WHERE position IS NULL AND accepted + voided <> (SELECT COUNT(*) FROM ledger_sales WHERE entry_id = ledger.id)
    ORDER BY id
    """
CORRECT = """
    UPDATE ledger SET sources = %s, sale_ids = %s::int8multirange, accepted = %s, voided = %s, tallies = %s::json
    WHERE id = %s
    """

logger = logging.getLogger(__name__)


class IncompleteEntry(NamedTuple):
    """An unfolded entry that lacks sales, in the order of the columns of FIND_INCOMPLETE."""

    id: int
    sign: int  # -1 if it voids its sales
    sources: list[str]
    tallies: str
    sale_ids: list[int]
    sales: Sequence[SoldItem] = ()  # those that exist

    @property
    def missing(self) -> str:
        """The ids of the missing sales: 50001, 50003-50007."""
        ids = sorted(set(self.sale_ids) - {sale.pk for sale in self.sales})
        runs = [[sale_id for _, sale_id in run] for _, run in groupby(enumerate(ids), lambda pair: pair[1] - pair[0])]
        return ", ".join(f"{run[0]}-{run[-1]}" if run[1:] else f"{run[0]}" for run in runs)


def find_missing_sales() -> list[Difference]:
    """Return each entry that lacks sales as a difference: the figures of all its sales, and of those that exist."""
    return [
        Difference(
            f"ledger entry {entry.id}, at which folds stop because of missing sales ({entry.missing})",
            add_up((None, tally.sales_count, tally.revenue) for tally in read_tallies(entry.tallies))[None],
            add_up((None, *sums) for sums in figures_of(entry.sales, entry.sign).values()).get(None, ZERO),
        )
        for entry in _incomplete_entries()
    ]


def take_out_missing_sales() -> None:
    """Correct the entries that lack sales, so that they can be folded. The caller holds the fold lock.

    They have no positions yet, so the positions of all changes stay without gaps.
    """
    for entry in _incomplete_entries():
        kept = sorted(sale.pk for sale in entry.sales)
        sources = entry.sources
        if len(sources) > 1:  # one for each sale
            sources = [source for sale_id, source in zip(entry.sale_ids, sources, strict=True) if sale_id in kept]
        accepted, voided = (0, len(kept)) if entry.sign < 0 else (len(kept), 0)
        figures = encode_json(tallies(figures_of(entry.sales, entry.sign))).decode()
        with connection.cursor() as cursor:
            cursor.execute(CORRECT, [sources, id_ranges(kept), accepted, voided, figures, entry.id])
        logger.warning("Took missing sales out of the ledger entry %d: %s", entry.id, entry.missing)


def _incomplete_entries() -> Iterator[IncompleteEntry]:
    with connection.cursor() as cursor:
        cursor.execute(FIND_INCOMPLETE)
        entries = [IncompleteEntry(*row) for row in cursor]
    for entry in entries:
        # In this order: meanwhile, a correction may move a sale from the first table to the second.
        models: tuple[type[SoldItem], ...] = (Sale, VoidedSale)
        found = {sale.pk: sale for model in models for sale in model._default_manager.filter(pk__in=entry.sale_ids)}
        yield entry._replace(sales=list(found.values()))
