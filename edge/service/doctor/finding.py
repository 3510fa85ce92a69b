"""What a check found, and the report of all of them. The JSON schema is published as docs/doctor.schema.json."""

from collections.abc import Sequence
from enum import Enum

from pydantic import Field

from edge.settings import Settings


class Level(str, Enum):
    """Of a finding; ``skip``: the question does not arise here."""

    PASS = "pass"  # noqa: S105  (no password)
    SKIP = "skip"
    WARN = "warn"
    FAIL = "fail"


_ORDER = list(Level)


class Finding(Settings):
    """One answer."""

    check: str = Field(description="Name of the check; stable, for fleets.")
    level: Level
    found: str = Field(description="What there is.")
    expected: str = Field("", description="What there should be; empty where all is well.")
    mend: str = Field("", description="The command, or the setting, that mends it.")


class DoctorReport(Settings):
    """All answers of one machine at one time."""

    schema_version: int = 1
    version: str = Field(description="Of the runtime.")
    host: str
    line: str | None = Field(None, description="Name of the line that was looked at.")
    worst: Level
    findings: tuple[Finding, ...]


def worst(findings: Sequence[Finding]) -> Level:
    """The gravest level; ``pass`` of none."""
    return max((finding.level for finding in findings), key=_ORDER.index, default=Level.PASS)


def good(check: str, found: str) -> Finding:
    """All is well."""
    return Finding(check=check, level=Level.PASS, found=found)


def skipped(check: str, why: str) -> Finding:
    """The question does not arise."""
    return Finding(check=check, level=Level.SKIP, found=why)


def bad(check: str, found: str, expected: str, mend: str, *, fails: bool = False) -> Finding:
    """A warning, or what keeps the line from running."""
    level = Level.FAIL if fails else Level.WARN
    return Finding(check=check, level=level, found=found, expected=expected, mend=mend)
