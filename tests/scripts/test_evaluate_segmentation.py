"""scripts/evaluate_segmentation.py on maps counted by hand, and photos whose right labels are known."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scripts import evaluate_segmentation
from scripts.evaluate_segmentation import found_labels, nearest
from tests.exported import Threshold, exported
from util.errors import UsageError
from util.metrics.label_maps import CAMVID, CITYSCAPES, paint
from util.metrics.networks.drn import DRND22


@pytest.fixture
def score(monkeypatch, capsys, tmp_path):
    def run(*arguments) -> dict:
        output = tmp_path / "out.json"
        monkeypatch.setattr(sys, "argv", ["evaluate.py", *map(str, arguments), "--output", str(output)])
        evaluate_segmentation.main()
        return json.loads(output.read_text()) | {"printed": capsys.readouterr().out}
    return run


def write(path: Path, pixels) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path)


def test_label_maps_counted_by_hand(tmp_path, score):
    write(tmp_path / "labels" / "a.png", [[0, 0, 3], [3, 11, 11]])      # 11: unlabelled
    write(tmp_path / "fake" / "a.png", [[0, 3, 3], [3, 0, 5]])
    write(tmp_path / "labels" / "b.png", [[8, 8]])
    write(tmp_path / "fake" / "b.png", paint(np.array([[8, 0]]), CAMVID))       # in colour
    found = score("--set", "camvid", "--labels", tmp_path / "labels", "--fake", tmp_path / "fake")
    # Six pixels count: class 0 finds 1 of 2, class 3 both, class 8 one of 2.
    assert found["figures"]["pixAcc"] == pytest.approx(100 * 4 / 6)
    assert found["figures"]["classAcc"] == pytest.approx(100 * (1 / 2 + 1 + 1 / 2) / 3)
    assert found["figures"]["mean IoU"] == pytest.approx(100 * (1 / 3 + 2 / 3 + 1 / 2) / 3)
    assert found["classes"]["sky"]["IoU"] == pytest.approx(100 / 3)
    assert found["classes"]["tree"]["IoU"] is None
    assert "2 images" in found["printed"] and "6 pixels of 11 classes" in found["printed"]


def test_an_exported_segmenter_is_given_the_photo_at_its_size(tmp_path, score):
    truth = np.zeros((10, 24), int)
    truth[:, 12:] = 3
    photo = np.zeros((20, 48, 3))
    photo[:, 24:, 0] = 255                                              # red where the class is 3
    write(tmp_path / "labels" / "a.png", truth)
    write(tmp_path / "fake" / "a.png", photo)
    found = score("--set", "camvid", "--labels", tmp_path / "labels", "--fake", tmp_path / "fake",
                  "--segmenter", exported(Threshold))
    assert found["figures"]["pixAcc"] > 95 and np.array(found["confusion"]).sum() == 240


def test_cityscapes_compares_at_256_x_128_in_train_ids(tmp_path, score):
    city = tmp_path / "gtFine" / "lindau"
    full = np.full((256, 512), 7)                                       # road
    full[:, 256:], full[:2, :2] = 26, 5                                 # car; dynamic, which does not count
    write(city / "lindau_0_gtFine_labelIds.png", full)
    write(city / "lindau_0_gtFine_color.png", np.zeros((4, 4, 3)))      # another image of the same name
    fake = tmp_path / "fake" / "lindau" / "lindau_0_leftImg8bit.png"
    write(fake, paint(np.zeros((256, 256), int), CITYSCAPES))
    found = score("--labels", tmp_path / "gtFine", "--fake", tmp_path / "fake", "--label_ids", "full",
                  "--label_suffix", "_gtFine_labelIds", "--fake_suffix", "_leftImg8bit")
    matrix = np.array(found["confusion"])
    assert matrix.shape == (19, 19) and matrix.sum() == 256 * 128 - 1
    assert matrix[0, 0] == 128 * 128 - 1 and matrix[13, 0] == 128 * 128


def test_drn_weights_are_loaded_whole_or_refused_by_name(tmp_path, score):
    write(tmp_path / "labels" / "a.png", np.zeros((16, 32)))
    write(tmp_path / "fake" / "a.png", np.zeros((16, 32, 3)))
    folders = "--labels", tmp_path / "labels", "--fake", tmp_path / "fake", "--size", "32x16"
    net = DRND22()
    with torch.no_grad():
        net.seg.bias[13] = 1e6
    torch.save({"state_dict": {f"module.{k}": v for k, v in net.state_dict().items()}}, tmp_path / "drn.pth")
    found = score(*folders, "--segmenter", tmp_path / "drn.pth")
    assert np.array(found["confusion"])[0, 13] == 16 * 32               # all is taken for class 13
    with pytest.raises(UsageError, match=re.escape("not DRN-D-22 of 11 classes: seg.weight is [19")):
        score(*folders, "--set", "camvid", "--segmenter", tmp_path / "drn.pth")


def test_results_of_test_py_get_a_file_of_their_own(tmp_path, monkeypatch, capsys):
    images = tmp_path / "test_latest" / "images" / "fake_B"
    write(tmp_path / "labels" / "a.png", [[0, 1]])
    write(images / "a.png", [[0, 1]])
    monkeypatch.setattr(sys, "argv", ["evaluate_segmentation.py", "--set", "camvid", "--labels",
                                      str(tmp_path / "labels"), "--fake", str(images)])
    evaluate_segmentation.main()
    path = tmp_path / "test_latest" / "segmentation.json"
    assert json.loads(path.read_text())["figures"]["pixAcc"] == 100 and str(path) in capsys.readouterr().out


def test_scores_become_labels_at_the_size_of_the_truth():
    scores = torch.zeros(1, 3, 2, 2)
    scores[0, 0, :, 0] = scores[0, 2, :, 1] = 1
    assert found_labels(scores, 3, (4, 2)).tolist() == [[0, 0, 2, 2]] * 2
    assert found_labels(torch.tensor([[[0, 2]]]), 3, (4, 1)).tolist() == [[0, 0, 2, 2]]
    with pytest.raises(UsageError, match=r"gives \[1, 5, 2, 2\]"):
        found_labels(torch.zeros(1, 5, 2, 2), 3, (4, 2))
    assert nearest(np.array([[1, 7]], np.uint8), (4, 1)).tolist() == [[1, 1, 7, 7]]


@pytest.mark.parametrize(("change", "message"), [
    (("--set", "cityscapes"), r"holds the label 33, but classes are 0 to 18; see --set and --label_ids"),
    (("--fake_suffix", "a"), "has no '' for --fake a"),
    (("--size", "large"), "--size is 'large'"),
])
def test_mistakes_are_said_in_one_line(tmp_path, score, change, message):
    write(tmp_path / "labels" / "a.png", [[0, 33]])
    write(tmp_path / "fake" / "a.png", [[0, 0]])
    with pytest.raises(UsageError, match=message):
        score("--labels", tmp_path / "labels", "--fake", tmp_path / "fake", *change)
