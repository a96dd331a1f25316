"""Exported networks and the features they give, against the same means by NumPy."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.exported import exported, write_images
from util.errors import UsageError
from util.metrics.exported import ExportedNetwork, load_exported
from util.metrics.features import batches, extract_features, resized

CPU = torch.device("cpu")


def moments(image: np.ndarray) -> np.ndarray:
    values = image / 255
    return np.concatenate([values.mean(axis=(0, 1)), (values ** 2).mean(axis=(0, 1))])


def test_features_are_the_networks_own_at_any_batch(tmp_path):
    images = write_images(tmp_path, 7)
    network = load_exported(exported(), CPU)
    assert (network.batch, network.channels, network.size) == (None, 3, (16, 16))
    expected = np.stack([moments(image) for image in images])
    for batch_size in (1, 3, 100):
        assert np.allclose(extract_features(network, images, batch_size=batch_size), expected, atol=1e-6)


def test_a_fixed_batch_is_filled_up_and_cut(tmp_path):
    images = write_images(tmp_path, 7)
    network = load_exported(exported(batch=3), CPU)
    assert network.batch == 3
    expected = np.stack([moments(image) for image in images])
    assert np.allclose(extract_features(network, images), expected, atol=1e-6)


def test_images_of_other_sizes_are_resized_as_pillow_does(tmp_path):
    images = write_images(tmp_path, 2, size=(40, 23)) + write_images(tmp_path, 1, size=(9, 16))
    network = load_exported(exported(), CPU)
    for name in ("bicubic", "box"):
        filter_ = getattr(Image.Resampling, name.upper())
        expected = [moments(np.asarray(Image.fromarray(p).resize((16, 16), filter_))) for p in images]
        assert np.allclose(extract_features(network, images, resize=name), np.stack(expected), atol=1e-6)


def test_gray_images_keep_their_channel():
    assert resized(np.zeros((8, 6, 1), np.uint8), (3, 4)).shape == (4, 3, 1)


def test_batches_break_at_a_new_shape():
    images = [np.zeros((4, 4, 3))] * 3 + [np.zeros((5, 4, 3))] + [np.zeros((4, 4, 3))]
    assert [len(batch) for batch in batches(images, 2)] == [2, 1, 1, 1]


class Constant(ExportedNetwork):
    """Stands for a file whose output has another shape."""

    def __init__(self, output: torch.Tensor):
        super().__init__(Path("network.pt2"), [None, 3, 16, 16])
        self.output = output

    def run(self, images: torch.Tensor) -> torch.Tensor:
        return self.output


def test_outputs_of_more_axes_are_averaged_and_of_fewer_refused(tmp_path):
    images = write_images(tmp_path, 2)
    output = torch.arange(16.0).view(2, 2, 2, 2)
    assert extract_features(Constant(output), images).tolist() == [[1.5, 5.5], [9.5, 13.5]]
    with pytest.raises(UsageError, match=r"network.pt2 gives \[2\] for 2 images"):
        extract_features(Constant(torch.zeros(2)), images)
    with pytest.raises(ValueError, match="no images"):
        extract_features(Constant(output), [])


@pytest.mark.parametrize("shape", [[None, 4, 16, 16], [None, 16, 16], [None, None, 16, 16]])
def test_files_that_take_no_images_are_refused(shape):
    with pytest.raises(UsageError, match="1 or 3 channels"):
        ExportedNetwork.__init__(Constant(torch.zeros(1)), Path("network.pt2"), shape)


def test_files_that_are_no_network_are_named(tmp_path):
    for name, message in (("missing.pt2", "there is no file"), ("weights.pth", "neither .pt2 .* nor .onnx"),
                          ("garbage.pt2", "cannot be read as a torch.export program")):
        path = tmp_path / name
        if not name.startswith("missing"):
            path.write_bytes(b"garbage")
        with pytest.raises(UsageError, match=message):
            load_exported(path, CPU)


def test_onnx_gives_the_same_with_a_free_or_a_fixed_batch(tmp_path):
    onnx, _ = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    images = write_images(tmp_path, 6)
    for batch in ("batch", 4):
        inputs, outputs = (
            onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [batch, 3, *sides])
            for name, sides in (("images", (16, 16)), ("features", ())))
        nodes = [onnx.helper.make_node("GlobalAveragePool", ["images"], ["means"]),
                 onnx.helper.make_node("Flatten", ["means"], ["features"])]
        model = onnx.helper.make_model(onnx.helper.make_graph(nodes, "means", [inputs], [outputs]),
                                       opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
        onnx.save(model, tmp_path / "means.onnx")
        network = load_exported(tmp_path / "means.onnx", CPU)
        assert (network.batch, network.size) == (None if batch == "batch" else 4, (16, 16))
        expected = np.stack([moments(image)[:3] for image in images])
        assert np.allclose(extract_features(network, images), expected, atol=1e-6)


def test_onnx_garbage_or_no_onnxruntime_is_said_in_one_line(tmp_path):
    (tmp_path / "network.onnx").write_bytes(b"garbage")
    with pytest.raises(UsageError, match="cannot be read as ONNX|pip install onnxruntime"):
        load_exported(tmp_path / "network.onnx", CPU)
