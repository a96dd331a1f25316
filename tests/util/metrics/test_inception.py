"""torch-fidelity's figures beside our own computation from the same features. Needs requirements-eval.txt."""

import numpy as np
import pytest
import torch

from util.errors import UsageError
from util.metrics.fid import fit_gaussian, frechet_distance
from util.metrics.inception import ImageSet, inception_figures
from util.metrics.kid import squared_mmd
from util.metrics.perceptual_distance import load_lpips

pytest.importorskip("torch_fidelity")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def inception(tmp_path_factory):
    """Its Inception v3 with random weights, and the file of them."""
    from torch_fidelity import feature_extractor_inceptionv3 as module
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "load_state_dict_from_url", lambda *a, **k: {})
        patch.setattr(module.FeatureExtractorInceptionV3, "load_state_dict", lambda self, weights: None)
        network = module.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"])
    for name, parameter in network.named_parameters():
        if name.endswith("conv.weight"):
            torch.nn.init.kaiming_normal_(parameter)            # else nothing is left of an image at the end
    torch.save(network.state_dict(), path)
    return network, path


def image_set(count: int, seed: int, low: int) -> ImageSet:
    generator = np.random.default_rng(seed)
    images = generator.integers(low, 256, (count, 32, 32, 3), dtype=np.uint8)
    return ImageSet(count, lambda index: images[index])


def test_fid_and_kid_are_our_own_of_the_same_features(inception):
    network, weights = inception
    real, fake = image_set(12, 1, 0), image_set(10, 2, 128)
    found = inception_figures(real, fake, weights=weights, device=CPU, batch_size=5)
    with torch.no_grad():
        a, b = (network(torch.stack([s[i] for i in range(len(s))]))[0].double().numpy() for s in (real, fake))
    assert found["FID"].value == pytest.approx(frechet_distance(fit_gaussian(a), fit_gaussian(b)), rel=1e-3)
    kid = found["KID x 1000"]
    assert kid.value == pytest.approx(1000 * squared_mmd(a, b), abs=4 * kid.spread)
    assert (kid.real, kid.fake) == (12, 10) and found["Inception score"].value >= 1
    assert 0 <= found["precision"].value <= 1 and 0 <= found["recall"].value <= 1


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "alexnet.pth")
    with pytest.raises(UsageError, match="not of FID's Inception v3; it has keys such as features.0.weight"):
        inception_figures(image_set(10, 1, 0), image_set(10, 2, 0), device=CPU,
                          weights=tmp_path / "alexnet.pth")


def test_few_images_are_refused():
    with pytest.raises(UsageError, match="9 real and 10 fake images are too few"):
        inception_figures(image_set(9, 1, 0), image_set(10, 2, 0), weights=None, device=CPU)


def test_a_failed_download_names_the_remedy(monkeypatch, tmp_path):
    def offline(*arguments, **settings):
        raise OSError("Name or service not known")
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(UsageError, match=r"downloaded \(Name or service.*--weights FILE.*--features FILE"):
        inception_figures(image_set(10, 1, 0), image_set(10, 2, 0), weights=None, device=CPU)


def test_lpips_takes_torchvisions_file_and_is_zero_for_equal_images(tmp_path):
    pytest.importorskip("lpips")
    import torchvision
    torch.manual_seed(0)
    torch.save(torchvision.models.alexnet(weights=None).state_dict(), tmp_path / "alexnet.pth")
    distance = load_lpips(tmp_path / "alexnet.pth", CPU)
    a, b = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    assert distance(a, a) == 0 < distance(a, b) == pytest.approx(distance(b, a))
    torch.save({"fc.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(UsageError, match="--lpips .*other.pth is not AlexNet"):
        load_lpips(tmp_path / "other.pth", CPU)
