"""A journal as CSV or Parquet: whole or not at all."""

import csv
import os
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

from edge.errors import RecordError

_ROWS = 20_000
"""Of one group in a Parquet file: what is held in memory."""

Rows = Iterator[dict[str, Any]]


def export(rows: Rows, path: Path) -> int:
    """By the end of the name, ``.csv`` or ``.parquet``; returns how many parts. Raises RecordError."""
    writers = {".csv": _csv, ".parquet": _parquet}
    write = writers.get(path.suffix)
    if write is None:
        raise RecordError(f"{path}: found the ending '{path.suffix}', expected {' or '.join(writers)}")
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        count = write(rows, part)
        part.replace(path)
    except OSError as error:
        raise RecordError(
            f"{path}: cannot be written: {error.strerror or error}; choose another place"
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return count


def _csv(rows: Rows, path: Path) -> int:
    count = 0
    with path.open("w", newline="", encoding="utf-8") as file:
        first = next(rows, None)
        if first is not None:
            writer = csv.DictWriter(file, list(first))
            writer.writeheader()
            for row in chain([first], rows):
                writer.writerow(row)
                count += 1
    return count


def _parquet(rows: Rows, path: Path) -> int:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise RecordError(
            "Parquet needs pyarrow, which is not installed here; pip install 'edge-inspection[parquet]', "
            "or export to .csv"
        ) from error
    count = 0
    writer = None
    try:
        while block := list(islice(rows, _ROWS)):
            table = pa.Table.from_pylist(block, schema=writer.schema if writer else _schema(pa, block[0]))
            writer = writer or pq.ParquetWriter(path, table.schema)
            writer.write_table(table)
            count += len(block)
        if writer is None:
            pq.write_table(pa.table({}), path)
    finally:
        if writer is not None:
            writer.close()
    return count


def _schema(pa: Any, row: dict[str, Any]) -> Any:
    """By the column's name, because the first rows may hold nothing in some."""
    from edge.records.journal.columns import SCORES

    def kind(name: str, value: object) -> Any:
        if name in SCORES or name.endswith("_ms"):
            return pa.float64()
        return pa.string() if isinstance(value, str) else pa.int64()

    return pa.schema([(name, kind(name, value)) for name, value in row.items()])
