"""Heat lies where the evidence is."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch: pip install 'edge-inspection[train]'")

import cv2  # noqa: E402
from torch import nn  # noqa: E402

from tools import gradcam  # noqa: E402
from tools.models import PooledHead  # noqa: E402
from tools.training.weights import Trained, save_weights  # noqa: E402
from tools.training.zoo import Classifier, build, network  # noqa: E402


def brightness_net() -> Classifier:
    """Class 1 is the more likely, the brighter the brightest place."""
    features = nn.Sequential(nn.Conv2d(3, 2, 1, bias=False), nn.ReLU(), nn.AvgPool2d(4))
    head = PooledHead(2, 2)
    for value in (*features.parameters(), *head.parameters()):
        nn.init.zeros_(value)
    nn.init.constant_(features[0].weight[0], 1.0)
    with torch.no_grad():
        head.fc.weight[1, 0] = 1.0
        head.fc.weight[1, 2] = 1.0
    return Classifier(features, head)


def test_heat_is_where_the_evidence_is():
    inputs = torch.zeros(2, 3, 24, 32)
    inputs[0, :, 4:8, 4:8] = 1
    inputs[1, :, 16:20, 24:28] = 1
    heat = gradcam.heat_maps(brightness_net(), inputs, "features", [1, 1])
    assert heat.shape == (2, 24, 32)
    assert float(heat.min()) >= 0
    for index, (row, column) in enumerate(((5, 5), (17, 25))):
        hottest = np.unravel_index(int(heat[index].argmax()), (24, 32))
        assert abs(hottest[0] - row) <= 2
        assert abs(hottest[1] - column) <= 2


def test_evidence_for_another_class_is_cold():
    inputs = torch.zeros(1, 3, 24, 32)
    inputs[0, :, 4:8, 4:8] = 1
    assert float(gradcam.heat_maps(brightness_net(), inputs, "features", [0]).max()) == 0


def test_in_place_layers_do_not_disturb_what_is_recorded():
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(4 * 16, 2))
    with gradcam.Recorder(net, ["0"]) as recorder:
        net(torch.randn(2, 3, 4, 4)).sum().backward()
        assert float(recorder.maps["0"].detach().min()) < 0
        assert recorder.gradients["0"].shape == (2, 4, 4, 4)


def test_unknown_layers_are_named():
    with pytest.raises(gradcam.TrainError, match=r"no layer \['middle'\]"):
        gradcam.heat_maps(brightness_net(), torch.zeros(1, 3, 8, 8), "middle")


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(1)
    net = build(network("plain-small"), 2, (32, 24)).eval()
    with torch.no_grad():  # maps after a ReLU, so that any map speaks for either class
        net.head.fc.weight.abs_()
    save_weights(tmp_path / "w.pt", Trained(net, "plain-small", (32, 24), ("good", "bad"), 1.0, 0.5))
    return tmp_path / "w.pt"


def test_the_command_writes_a_picture(tmp_path, weights, capsys):
    picture = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "p.png"), picture)
    gradcam.main(
        ["--weights", str(weights), "--picture", str(tmp_path / "p.png"), "--out", str(tmp_path / "heat.png")]
    )
    drawn = cv2.imread(str(tmp_path / "heat.png"))
    assert drawn.shape == picture.shape
    assert not np.array_equal(drawn, picture)
    assert capsys.readouterr().out.split()[0] in ("good", "bad")


def test_bad_input_is_named(tmp_path, weights):
    (tmp_path / "p.png").write_bytes(b"no picture")
    base = [
        "--weights",
        str(weights),
        "--out",
        str(tmp_path / "heat.png"),
        "--picture",
        str(tmp_path / "p.png"),
    ]
    with pytest.raises(SystemExit, match=r"p\.png: missing or broken"):
        gradcam.main(base)
    cv2.imwrite(str(tmp_path / "p.png"), np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(SystemExit, match="no class 'rust'; expected one of good, bad"):
        gradcam.main([*base, "--class", "rust"])
    assert not (tmp_path / "heat.png").exists()
