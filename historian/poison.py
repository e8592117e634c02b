"""Isolation of what cannot be stored: a batch that is refused is written in halves, down to the record to blame.

Called by `historian.store`; the one place where a batch is split. One poisoned record of n costs about 2·log2(n) more
transactions. Whether an error is the data's, a defect of ours or the database's is decided before: what may pass with
time is raised as StoreUnavailable and goes through.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from connectors.postgres.database import StoreUnavailable
from historian.batch import Batch, Poisoned, WriteResult
from schemas.verdicts import RecordReject

log = logging.getLogger(__name__)


def write_isolated(batch: Batch, transaction: Callable[[Batch], WriteResult]) -> WriteResult:
    """What became of a batch: `transaction` writes all of what it is given, or raises and writes nothing.

    Raises StoreUnavailable as `transaction` does; parts that were written by then are written again with the batch, which
    the ledger makes harmless.
    """
    try:
        return transaction(batch)
    except StoreUnavailable:
        raise
    except Exception as error:  # the data's fault or a defect of ours: either way one record must not stop the others
        if not len(batch):
            raise
        if len(batch) == 1:
            return WriteResult(poisoned=[_poisoned(batch, error)])
    first, second = batch.halves()
    result = write_isolated(first, transaction)
    result.add(write_isolated(second, transaction))
    return result


def _poisoned(batch: Batch, error: Exception) -> Poisoned:
    (message,) = batch.messages()
    detail = f"{type(error).__name__}: {error}".strip()
    log.error("record cannot be stored", extra={"topic": message.topic, "offset": message.offset, "detail": detail})
    return Poisoned(message=message, reason=RecordReject.PROCESSING_FAILED, detail=detail)
