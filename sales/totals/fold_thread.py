"""Fold the ledger in a thread of its own, so that no response waits for a fold or depends on one."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from django.db import connection

from salesengine.http.errors import is_database_unavailable
from salesengine.operations.metrics import FOLD_FAILURES
from salesengine.operations.tracing import span

logger = logging.getLogger(__name__)

# Starts its thread at the first fold, so after the fork of a worker. At the end of the process, Python waits for the
# folds that are requested by then.
executor = ThreadPoolExecutor(1, thread_name_prefix="fold")
_requested: set[Callable[[], object]] = set()


def request_fold(fold: Callable[[], object]) -> None:
    """Run the fold soon. A fold that is requested already runs once."""
    if fold not in _requested:
        _requested.add(fold)
        try:
            executor.submit(_run, fold)
        except RuntimeError:  # the process is ending, or cannot start a thread now; a later request folds these entries
            _requested.discard(fold)


def _run(fold: Callable[[], object]) -> None:
    _requested.discard(fold)  # before the fold, because it does not see what is committed from here on
    try:
        with span("fold", fold=fold.__module__):
            fold()
    except Exception as error:
        FOLD_FAILURES.inc()
        log_failure(error)
    finally:
        connection.close()  # return it to the pool


def log_failure(error: Exception) -> None:
    """Log that a fold failed, with a traceback unless the database was the reason."""
    is_expected = is_database_unavailable(error)
    reason = f": {str(error).strip()}" if is_expected else ""
    logger.error(
        "A fold failed. The ledger keeps its entries, and the next fold adds them to the totals%s",
        reason,
        exc_info=None if is_expected else error,
    )
