"""Every row of the fault matrix: one verdict for every part, and no reject in the good bin."""

import pytest

from tests.faults.bench import Counts
from tests.faults.rows import ROWS, Row

pytestmark = pytest.mark.line
NOTHING = Counts(0, 0, 0, 0, 0, 0)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_row(row: Row, tmp_path, enter_row):
    counts = NOTHING
    passed = False
    try:
        counts = row.run(tmp_path)
        passed = counts.sound and row.evidence(counts)
    finally:
        enter_row(row.name, counts.as_dict(), passed)
    assert counts.sound, counts
    assert row.evidence(counts), f"the fault left no trace: {counts}"
