import errno
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from engines.audit import AuditLog


@pytest.fixture
def log(tmp_path: Path) -> AuditLog:
    found = AuditLog(tmp_path / "new/audit.jsonl")
    for number in range(4):
        found.append("engine", "gate", before=str(number), after=str(number + 1), why=f"reason {number}")
    return found


def test_rows_say_who_what_and_why_and_fit_together(log: AuditLog) -> None:
    assert [(row["before"], row["after"], row["why"]) for row in log.rows()][:2] == [
        ("0", "1", "reason 0"),
        ("1", "2", "reason 1"),
    ]
    assert all(row["who"] and row["time"] for row in log.rows())
    assert log.check() == []
    assert log.last("engine", "gate") == log.rows()[-1]
    assert log.last("engine", "classifier") is None


def change(lines: list[str]) -> list[str]:
    row = json.loads(lines[1])
    return [lines[0], json.dumps({**row, "why": "nothing"}), *lines[2:]]


@pytest.mark.parametrize(
    ("harm", "line"),
    [
        (change, 2),
        (lambda lines: lines[:1] + lines[2:], 2),
        (lambda lines: [lines[0], lines[0], *lines[1:]], 2),
        (lambda lines: [*lines[:2], "no row", *lines[2:]], 3),
        (lambda lines: lines[1:], 1),
    ],
)
def test_what_was_changed_afterwards_is_seen(log: AuditLog, harm, line: int) -> None:
    lines = log.path.read_text().splitlines()
    log.path.write_text("\n".join(harm(lines)) + "\n")
    assert f":{line}: " in log.check()[0]


def test_the_newest_row_changed_is_seen_too(log: AuditLog) -> None:
    lines = log.path.read_text().splitlines()
    lines[-1] = json.dumps({**json.loads(lines[-1]), "who": "nobody"})
    log.path.write_text("\n".join(lines) + "\n")
    assert ":4: is not what was written" in log.check()[0]


def test_a_row_that_a_power_cut_left_half_swallows_no_other(log: AuditLog) -> None:
    with log.path.open("a") as file:
        file.write('{"time": "2026')
    log.append("engine", "gate", before="4", after="5")
    assert log.rows()[-1]["after"] == "5"
    assert [text.split(":")[1] for text in log.check()] == ["5"]


def test_several_writers_make_one_chain(log: AuditLog) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: AuditLog(log.path).append("x", "y", before=None, after=str(n)), range(40)))
    assert len(log.rows()) == 44
    assert log.check() == []


def test_behind_sudo_it_is_the_caller(log: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "anna")
    log.append("x", "y", before=None, after=None)
    assert log.rows()[-1]["who"].startswith("anna (as ")


def test_a_log_that_cannot_be_written_stops_the_change(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(OSError, match=os.strerror(errno.EEXIST)):
        AuditLog(blocked / "audit.jsonl").append("x", "y", before=None, after=None)
