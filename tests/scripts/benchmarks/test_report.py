"""The benchmark's ratios, shares and bars by hand."""

from xml.etree import ElementTree

from scripts.benchmarks.report import draw, ratios, shares


def test_ratios_by_hand():
    table = [{"subject": "ours", "model": "CUT", "seconds": 2.0, "peak_MB": 50},
             {"subject": "reference", "model": "CUT", "seconds": 5.0, "peak_MB": 100},
             {"subject": "ours", "model": "FastCUT", "seconds": 1.0, "peak_MB": 50}]
    assert ratios(table[0], table) == {"faster": 2.5, "memory": 0.5}
    assert ratios(table[1], table) is None and ratios(table[2], table) is None


def test_a_baseline_is_set_beside_its_own_case():
    table = [{"subject": subject, "model": "CUT", "precision": precision, "flags": flags, "seconds": seconds,
              "peak_MB": 50}
             for subject, precision, flags, seconds in (
                 ("ours", "fp32", "", 2.0), ("baseline", "fp32", "", 3.0), ("ours", "bf16", "", 1.0),
                 ("baseline", "bf16", "", 4.0), ("ours", "bf16", "--ngf 8", 0.5))]
    assert [ratio and ratio["faster"] for ratio in (ratios(row, table) for row in table)] == [
        1.5, None, 4.0, None, None]


def test_shares_by_hand():
    operations = [{"operation": "conv", "calls": 2, "seconds": 3.0},
                  {"operation": "add", "calls": 9, "seconds": 1.0}]
    lines = shares({"case": "CUT fp32", "operations": operations}, shown=1)
    assert lines[1].endswith("4.000 s") and lines[2].split() == ["75.0%", "3.000", "s", "2", "x", "conv"]
    assert len(lines) == 3


def test_bars_are_as_long_as_their_values():
    table = [{"case": "CUT <fp32>", "subject": "ours", "model": "CUT", "seconds": 2.0, "peak_MB": 50},
             {"case": "CUT reference", "subject": "reference", "model": "CUT", "seconds": 5.0, "peak_MB": 99}]
    tree = ElementTree.fromstring(draw(table, "step"))
    widths = [float(e.get("width")) for e in tree.iter("{http://www.w3.org/2000/svg}rect")]
    assert widths == [176, 440, 222.2, 440]       # 760 wide, 320 of it for words
    texts = [e.text for e in tree.iter("{http://www.w3.org/2000/svg}text")]
    assert "2.00 s (0.40)" in texts and "99 MB" in texts and "CUT <fp32>" in texts


def test_long_names_get_room_and_short_times_a_smaller_unit():
    table = [{"case": "n" * 40, "subject": "ours", "model": "CUT", "seconds": 0.0081, "peak_MB": 50}]
    tree = ElementTree.fromstring(draw(table, "step"))
    assert tree.get("width") == str(760 + 288 - 190)      # 7 pixels a letter, and 8
    assert "8.1 ms" in [e.text for e in tree.iter("{http://www.w3.org/2000/svg}text")]
