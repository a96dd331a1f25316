"""torch-fidelity's scores beside our own computation from the same features. Needs requirements-eval.txt."""

import functools

import numpy as np
import pytest
import torch

from util.errors import UsageError
from util.metrics.fid import fit_gaussian, frechet_distance
from util.metrics.inception import inception_scores
from util.metrics.kid import squared_mmd
from util.metrics.lpips import load_lpips
from util.metrics.registry import METRICS, ImageSet, metrics_needing

fidelity = pytest.importorskip("torch_fidelity")
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


def images(count: int, seed: int, low: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    return dict(zip(map(str, range(count)), generator.integers(low, 256, (count, 32, 32, 3), dtype=np.uint8),
                    strict=True))


def score(fake: int, real: int, **settings):
    """The scores of so many images."""
    sets = ImageSet(images(fake, 2, 0)), ImageSet(images(real, 1, 0))
    return inception_scores(*sets, device=CPU, **settings)


def test_fid_and_kid_are_our_own_of_the_same_features(inception):
    network, weights = inception
    real, fake = images(12, 1, 0), images(10, 2, 128)
    found = inception_scores(ImageSet(fake), ImageSet(real), weights=weights, device=CPU, batch_size=5)
    with torch.no_grad():
        a, b = (network(torch.from_numpy(np.stack([*s.values()])).permute(0, 3, 1, 2))[0].double().numpy()
                for s in (real, fake))
    assert found["fid"].mean == pytest.approx(frechet_distance(fit_gaussian(a), fit_gaussian(b)), rel=1e-3)
    assert found["kid"].mean == pytest.approx(squared_mmd(a, b), abs=4 * found["kid"].spread)
    assert found["score"].mean >= 1 and found["score"].spread >= 0
    assert 0 <= found["precision"].mean <= 1 and 0 <= found["recall"].mean <= 1


def test_all_metrics_that_need_it_share_one_call(inception, monkeypatch):
    calls, original = [], fidelity.calculate_metrics
    monkeypatch.setattr(fidelity, "calculate_metrics", lambda **kwargs: calls.append(1) or original(**kwargs))
    scores = functools.cache(functools.partial(inception_scores, weights=inception[1], device=CPU))
    fake, real = (ImageSet(images(count, count, 0), inception=scores) for count in (10, 12))
    found = {name: metric.estimate(fake, real) for name, metric in metrics_needing("inception").items()}
    assert len(calls) == 1 and len(found) == 5
    assert found["inception_fid"] == scores(fake, real)["fid"]
    assert found["inception_kid"].mean == pytest.approx(1000 * scores(fake, real)["kid"].mean)
    assert found["inception_kid"].spread == pytest.approx(1000 * scores(fake, real)["kid"].spread)


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "alexnet.pth")
    with pytest.raises(UsageError, match="not of FID's Inception v3; it has keys such as features.0.weight"):
        score(10, 10, weights=tmp_path / "alexnet.pth")


def test_few_images_are_refused():
    with pytest.raises(UsageError, match="9 real and 10 fake images are too few"):
        score(10, 9, weights=None)


def test_a_failed_download_names_the_remedy(monkeypatch, tmp_path):
    def offline(*arguments, **settings):
        raise OSError("Name or service not known")
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(UsageError, match=r"downloaded \(Name or service.*--weights FILE.*--features FILE"):
        score(10, 10, weights=None)


def test_lpips_takes_torchvisions_file_and_is_zero_for_equal_images(tmp_path):
    pytest.importorskip("lpips")
    import torchvision
    torch.manual_seed(0)
    torch.save(torchvision.models.alexnet(weights=None).state_dict(), tmp_path / "alexnet.pth")
    distance = load_lpips(tmp_path / "alexnet.pth", CPU)
    a, b = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    assert distance(a, a) == 0 < distance(a, b) == pytest.approx(distance(b, a))
    fake, real = ImageSet({"1": a, "2": a}, lpips=distance), ImageSet({"1": a, "2": b}, lpips=distance)
    assert METRICS["lpips"].compute(fake, real) == pytest.approx(distance(a, b) / 2)
    torch.save({"fc.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(UsageError, match="--lpips .*other.pth is not AlexNet"):
        load_lpips(tmp_path / "other.pth", CPU)
