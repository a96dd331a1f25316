"""Test images over time on disk: bounded, even, and right after a resume."""

import numpy as np

from util.loggers.pages.moments import Moments


def add(moments: Moments, images: int) -> None:
    picture = np.zeros((2, 2, 3), np.uint8)
    moments.add(images, {name: {"real_A": picture, "fake_B": picture} for name in ("a", "sub/b_[1]")})


def on_disk(folder) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*.png")}


def expected(*times: int) -> set[str]:
    return {f"{name}/{file}.png" for name in ("a", "sub/b_[1]")
            for file in ("real_A", *(f"fake_B_{time:09d}" for time in times))}


def test_a_bounded_number_stays_with_the_first_and_the_newest_and_no_wide_gap(tmp_path):
    moments = Moments(tmp_path, keep=10)
    for images in range(100, 40_100, 100):
        add(moments, images)
    assert len(moments.times) == 10 and moments.times[0] == 100 and moments.times[-1] == 40_000
    gaps = [b - a for a, b in zip(moments.times, moments.times[1:], strict=False)]
    assert max(gaps) <= 3 * 40_000 / 9
    assert on_disk(tmp_path) == expected(*moments.times)


def test_a_resumed_run_goes_on_and_later_moments_go(tmp_path):
    first = Moments(tmp_path)
    for images in (100, 200, 300):
        add(first, images)
    resumed = Moments(tmp_path)
    resumed.start(250)
    assert (resumed.times, resumed.names) == ([100, 200], ["a", "sub/b_[1]"])
    assert (resumed.inputs, resumed.outputs) == (["real_A"], ["fake_B"])
    add(resumed, 300)
    assert on_disk(tmp_path) == expected(100, 200, 300)


def test_a_new_run_shows_none_of_an_older_one(tmp_path):
    add(Moments(tmp_path), 100)
    again = Moments(tmp_path)
    again.start(0)
    assert not tmp_path.exists() and again.times == []
