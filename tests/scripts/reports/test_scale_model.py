"""scale_model.py: bytes, times and places in the figure, against counts by hand."""

import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from scripts.reports.scale_model import (
    LINKS,
    Link,
    bytes_table,
    count_parameters,
    gain_table,
    images_that_pay,
    main,
    reductions,
    ring_seconds,
    sent_bytes,
    share_of_ideal,
    step_seconds,
    time_table,
)
from util.errors import UsageError

SVG = "{http://www.w3.org/2000/svg}"
SMALL = "--netG resnet_4blocks --ngf 4 --ndf 4 --netF_nc 8 --nce_layers 0,4"


def conv(inputs: int, outputs: int, side: int) -> int:
    """Weights and biases."""
    return outputs * (inputs * side**2 + 1)


def test_parameters_are_those_of_the_networks():
    # G: 7x7, twice down and up by 3x3, four blocks of two 3x3, 7x7. D: 70x70 PatchGAN, of 4x4. F: an MLP for
    # each layer, that of the image (3 channels) and of the first downsampling (8).
    generator = (conv(3, 4, 7) + conv(4, 8, 3) + conv(8, 16, 3) + 8 * conv(16, 16, 3) + conv(16, 8, 3)
                 + conv(8, 4, 3) + conv(4, 3, 7))
    judge = conv(3, 4, 4) + conv(4, 8, 4) + conv(8, 16, 4) + conv(16, 32, 4) + conv(32, 1, 4)
    heads = sum(8 * (channels + 1) + 8 * 9 for channels in (3, 8))
    assert count_parameters(SMALL) == {"G": generator, "F": heads, "D": judge}


def test_gradients_are_reduced_where_an_optimizer_steps():
    assert reductions({"G": 10, "F": 2, "D": 3}) == [12, 48]
    assert reductions({"G_A": 1, "D_A": 2, "G_B": 4, "D_B": 8}) == [40, 20]


@pytest.mark.parametrize("ranks", [2, 3, 8])
def test_a_ring_sends_what_its_steps_send(ranks):
    """A ring played through: parts go round until all are summed, then until all have the sums."""
    values = np.random.default_rng(0).normal(size=(ranks, ranks))      # rank, part
    held, sent = values.copy(), 0
    for turn in range(2 * (ranks - 1)):
        before = held.copy()
        for rank in range(ranks):
            part, after = (rank - turn) % ranks, (rank + 1) % ranks
            adds = before[after, part] if turn < ranks - 1 else 0
            held[after, part] = before[rank, part] + adds
        sent += 1 / ranks
    assert np.allclose(held, values.sum(0))
    assert sent_bytes(840, ranks) == pytest.approx(840 * sent)


def test_times_by_hand():
    link = Link(rate=1e9, latency=1e-3)
    assert ring_seconds(5e8, 1, link) == 0
    # Four ranks: 6 messages of 1 ms, 1.5 times 0.5 GB over half of 1 GB/s, and 8.4 us to begin.
    assert ring_seconds(5e8, 4, link, efficiency=0.5) == pytest.approx(8.4e-6 + 6e-3 + 1.5)
    alone, sizes = 0.5, [5e8, 5e8]
    assert step_seconds(alone, sizes, 4, link, 0.5) == pytest.approx(0.5 + 2 * (8.4e-6 + 6e-3 + 1.5))
    assert share_of_ideal(alone, sizes, 4, link, 0.5) == pytest.approx(0.5 / 3.5120168)


@pytest.mark.parametrize("link", LINKS.values(), ids=list(LINKS))
def test_images_that_pay_are_the_fewest(link):
    sizes = [11e6, 48e6]
    count = images_that_pay(0.02, sizes, 8, link)
    assert share_of_ideal(0.02 * count, sizes, 8, link) >= 0.9
    assert count == 1 or share_of_ideal(0.02 * (count - 1), sizes, 8, link) < 0.9


def test_rates_are_the_published_ones():
    rates = {name: link.rate / 1e9 for name, link in LINKS.items()}
    assert rates["PCIe 5.0 x16"] == pytest.approx(63.0, abs=0.1)
    assert rates["PCIe 4.0 x16"] == pytest.approx(31.5, abs=0.1)
    assert rates["100 Gb/s Ethernet"] == 12.5 and rates["NVLink 4 (H100)"] == 450


def test_the_page_shows_these_tables():
    """Of CUT with default flags, whose parameters tests/models/test_layouts.py counts."""
    page = (Path(__file__).parents[3] / "docs" / "scale.md").read_text()
    parameters = {"G": 11_378_179, "F": 560_384, "D": 2_764_737}
    sizes = reductions(parameters)
    for shown in (bytes_table(parameters), time_table(sizes, 0.7), gain_table(0.024, sizes, 0.7)):
        assert f"\n{shown}\n" in page


def run(monkeypatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["scale_model.py", f"--flags={SMALL}", *map(str, arguments)])
    main()


def test_tables_and_figure(tmp_path, monkeypatch, capsys):
    run(monkeypatch, "--seconds", "0.001", "--svg", tmp_path / "s.svg")
    assert re.search(r"^\| D \| [\d,]+ \| 0\.\d MB \|$", capsys.readouterr().out, re.MULTILINE)
    figure = ElementTree.parse(tmp_path / "s.svg")
    lines = [line.get("points").split() for line in figure.iter(f"{SVG}polyline")]
    assert len(lines) == len(LINKS) and all(len(line) == 64 for line in lines)
    assert len({line[0] for line in lines}) == 1    # one rank is as fast as one rank, whatever the link
    heights = [[float(point.split(",")[1]) for point in line] for line in lines]
    assert all(line == sorted(line) for line in heights)        # downwards: more ranks wait longer
    assert [line[-1] for line in heights] == sorted(line[-1] for line in heights)     # slower links below


@pytest.mark.parametrize(("arguments", "message"), [
    (["--seconds", "0"], "--seconds is 0"), (["--efficiency", "2"], "--efficiency is 2"),
    (["--svg", "s.png"], "its name must end in .svg")])
def test_mistakes_are_said(arguments, message, monkeypatch):
    with pytest.raises(UsageError, match=message):
        run(monkeypatch, *arguments)
