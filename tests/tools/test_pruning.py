"""Channels go where they are worth least, in multiples of 16, and the rest still works."""

import copy
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch: pip install 'edge-inspection[train]'")
pytest.importorskip("torch_pruning", reason="needs torch-pruning: pip install 'edge-inspection[train]'")

from torch import nn  # noqa: E402

from tools.errors import TrainError  # noqa: E402
from tools.pruning.cut import batch_norms, cut, macs_and_weights, stage_channels  # noqa: E402
from tools.pruning.importance import _fineness, _protected, measure_worth  # noqa: E402
from tools.pruning.stages import Plan, Pruning  # noqa: E402
from tools.training.augment import Augmentation  # noqa: E402
from tools.training.fit import Recipe  # noqa: E402
from tools.training.sets import Labelled  # noqa: E402
from tools.training.weights import Trained, load_weights, save_weights  # noqa: E402
from tools.training.zoo import build, network  # noqa: E402

SIZE = (64, 48)


def pictures(count: int, seed: int = 0) -> Labelled:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 255, (count, 3, SIZE[1], SIZE[0]), dtype=np.uint8)
    labels = np.arange(count) % 2
    cells = np.zeros((count, 3, 4), np.uint8)
    return Labelled(images, labels, ("good", "bad"), None, cells)


@pytest.fixture(scope="module")
def base() -> Trained:
    torch.manual_seed(0)
    net = build(network("resnet50"), 2, SIZE).eval()
    return Trained(net, "resnet50", SIZE, ("good", "bad"), 1.0, 0.5)


@pytest.fixture(scope="module")
def pruned(base):
    net = copy.deepcopy(base.net).to(memory_format=torch.contiguous_format)
    cut(net, measure_worth(net, pictures(8), batch_norms(net)), 0.3, SIZE)
    return net


def test_a_share_of_conv3_to_conv5_goes_and_only_there(base, pruned):
    before, after = stage_channels(base.net), stage_channels(pruned)
    assert 0.25 <= 1 - after / before <= 0.36
    for stage in ("0", "4"):
        assert [
            conv.out_channels
            for conv in base.net.features[int(stage)].modules()
            if isinstance(conv, nn.Conv2d)
        ] == [
            conv.out_channels for conv in pruned.features[int(stage)].modules() if isinstance(conv, nn.Conv2d)
        ]


def test_counts_are_multiples_of_16(pruned):
    assert all(conv.out_channels % 16 == 0 for conv in pruned.modules() if isinstance(conv, nn.Conv2d))


def test_work_and_weights_shrink(base, pruned):
    old = copy.deepcopy(base.net).to(memory_format=torch.contiguous_format)
    (macs, weights), (macs_after, weights_after) = macs_and_weights(old, SIZE), macs_and_weights(pruned, SIZE)
    assert macs_after < macs / 1.4
    assert weights_after < weights / 1.4
    assert pruned(torch.zeros(1, 3, SIZE[1], SIZE[0])).shape == (1, 2)


def test_a_pruned_network_comes_back_from_disk(tmp_path, pruned):
    save_weights(tmp_path / "w.pt", Trained(pruned, "resnet50", SIZE, ("good", "bad"), 1.0, 0.5))
    example = torch.randn(1, 3, SIZE[1], SIZE[0])
    pruned.eval()
    with torch.inference_mode():
        torch.testing.assert_close(load_weights(tmp_path / "w.pt").net(example), pruned(example))


class Two(nn.Module):
    """Two channels after a batch norm; only the first reaches the verdict."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(3, 16, 1), nn.BatchNorm2d(16), nn.Linear(16, 2)
        with torch.no_grad():
            self.fc.weight[:, 1:] = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.norm(self.conv(x)).relu().mean((2, 3)))


def test_a_channel_that_moves_no_verdict_is_worth_nothing():
    worth = measure_worth(Two().eval(), pictures(8), ["norm"])
    assert worth.values["norm"].argmax() == 0
    assert float(worth.values["norm"][1:].max()) < 1e-6


def test_fine_texture_is_told_from_a_slope():
    rows = torch.arange(16.0)
    slope = rows[:, None].expand(16, 16)
    checks = (rows[:, None] + rows[None]) % 2
    fineness = _fineness(torch.stack((slope, checks))[None])[0]
    assert float(fineness[0]) < 0.05
    assert float(fineness[1]) > 0.5


def test_fine_channels_are_protected_unless_dead():
    worth = torch.linspace(0.1, 2.0, 20)
    fineness = torch.zeros(20)
    fineness[5], fineness[0] = 1.0, 2.0
    protected = _protected(worth, fineness)
    assert bool(protected[5])
    assert not bool(protected[0])
    assert int(protected.sum()) == 2


def recipe() -> Recipe:
    return Recipe(1, 4, 1e-4, 0.0, 1, augmentation=Augmentation(shift_px=0), patience=3)


def test_rounds_are_taken_up_again(tmp_path, base, monkeypatch):
    plan = Plan(0.3, 2, recipe(), examples=4)
    whole, rounds = Pruning(plan, pictures(8), pictures(4, 1), lambda *_: None).run(base, tmp_path / "a")
    assert [item.channels for item in rounds] == sorted((item.channels for item in rounds), reverse=True)
    assert rounds[1].macs < rounds[0].macs
    assert (
        json.loads((tmp_path / "a" / "round-2" / "round.json").read_text())["channels"] == rounds[1].channels
    )
    monkeypatch.setattr("tools.pruning.stages.cut", lambda *_: pytest.fail("cut again"))
    again, same = Pruning(plan, pictures(8), pictures(4, 1), lambda *_: None).run(base, tmp_path / "a")
    assert same == rounds
    for mine, theirs in zip(again.net.parameters(), whole.net.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_impossible_plans_and_networks_are_refused():
    with pytest.raises(TrainError, match=r"share is 1\.2: expected between"):
        Plan(1.2, 2, recipe())
    with pytest.raises(TrainError, match="rounds is 0"):
        Plan(0.3, 0, recipe())
    with pytest.raises(TrainError, match="no stages conv3_x to conv5_x"):
        batch_norms(build(network("plain-small"), 2, SIZE))
