import pytest
import torch

from util.image_pool import ImagePool


def numbered(first: int, count: int) -> torch.Tensor:
    """Images that each hold one number alone."""
    return torch.arange(first, first + count, dtype=torch.float32).view(-1, 1, 1, 1).expand(-1, 3, 2, 2)


def test_size_zero_passes_images_through_without_gradient():
    images = numbered(0, 3).clone().requires_grad_()
    out = ImagePool(0).query(images)
    assert torch.equal(out, images) and not out.requires_grad


def test_negative_size_names_the_flag():
    with pytest.raises(ValueError, match="--pool_size"):
        ImagePool(-1)


def test_pool_fills_first():
    pool = ImagePool(4)
    assert torch.equal(pool.query(numbered(0, 3)), numbered(0, 3))
    assert [image[0, 0, 0].item() for image in pool.images] == [0, 1, 2]


def test_half_the_answers_are_old_and_no_image_is_lost_or_doubled():
    torch.manual_seed(0)
    pool = ImagePool(50)
    given, returned = 50 + 2000, []
    for first in range(0, given, 10):
        returned += pool.query(numbered(first, 10))[:, 0, 0, 0].tolist()
    kept = [image[0, 0, 0].item() for image in pool.images]
    # The first 50 are returned at once and kept too; every other image is returned or still kept, once.
    late = [n for n in returned[50:] + kept if n >= 50]
    assert sorted(late) == list(range(50, given))
    old = sum(n != i for i, n in enumerate(returned))
    assert abs(old - 1000) < 5 * (2000 * 0.25) ** 0.5           # five standard deviations of a fair coin


def test_what_is_kept_does_not_follow_the_batch_in_memory():
    pool, images = ImagePool(2), numbered(0, 1).clone()
    pool.query(images)
    images.zero_().add_(9)
    assert pool.images[0].max() == 0


def test_state_comes_back(tmp_path):
    torch.manual_seed(0)
    pool = ImagePool(3)
    pool.query(numbered(0, 8))
    torch.save({"pool": pool.state_dict(), "random": torch.get_rng_state()}, tmp_path / "state.pth")
    expected = pool.query(numbered(8, 20))

    state = torch.load(tmp_path / "state.pth", weights_only=True)
    again = ImagePool(3)
    again.load_state_dict(state["pool"], torch.device("cpu"))
    torch.set_rng_state(state["random"])
    assert torch.equal(again.query(numbered(8, 20)), expected)


def test_a_smaller_pool_takes_what_fits():
    large, small = ImagePool(5), ImagePool(2)
    large.query(numbered(0, 5))
    small.load_state_dict(large.state_dict(), torch.device("cpu"))
    assert [image[0, 0, 0].item() for image in small.images] == [0, 1]


def test_a_resumed_pool_lies_on_the_device_of_the_run():
    pool, again = ImagePool(2), ImagePool(2)
    pool.query(numbered(0, 2))
    again.load_state_dict(pool.state_dict(), torch.device("meta"))
    assert [image.device.type for image in again.images] == ["meta", "meta"]
