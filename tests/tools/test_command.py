import shlex

import pytest

from tools.command import repeatable


def test_a_command_is_kept_without_the_places_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    given = (
        "x --work here --model resnet50 --cache there --threads 1 --start-from 'a b/weights.pt' --out models"
    )
    monkeypatch.setattr("sys.argv", shlex.split(given))
    assert repeatable("tools.train") == (
        "python -m tools.train --model resnet50 --start-from 'a b/weights.pt'"
    )
