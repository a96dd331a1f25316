"""Tables, JSON and the warning about few images."""

import json
import math

from util.metrics.report import Score, as_table, few_images, write_json


def test_table_says_counts_and_resizing_beside_each_score():
    table = as_table({"FID": Score(45.4871, "lower", 140, 120, "bilinear to 299 x 299"),
                      "KID x 1000": Score(3.0, "lower", 140, 120, spread=0.256)}).splitlines()
    assert table[1].split("  ") [0] == "FID" and "45.49" in table[1] and "140 / 120" in table[1]
    assert table[1].endswith("bilinear to 299 x 299") and table[2].endswith("none")
    assert "3.00 ± 0.26" in table[2]
    assert len({line.find("lower") for line in table[1:]}) == 1                     # columns line up


def test_the_warning_ends_at_2048_images():
    assert few_images(2048, 5000) is None
    assert "2,047 images are fewer than 2,048" in few_images(5000, 2047)


def test_json_reads_back_and_has_no_infinity(tmp_path):
    scores = {"PSNR": Score(math.inf, "higher", 1, 1)._asdict(), "shares": [0.5, math.nan]}
    write_json(tmp_path / "new" / "metrics.json", scores)
    found = json.loads((tmp_path / "new" / "metrics.json").read_text(), parse_constant=lambda text: 1 / 0)
    assert found["PSNR"]["value"] is None and found["shares"] == [0.5, None]
    assert Score(1.5, "lower", 3, 4).as_json() == {"value": 1.5, "better": "lower", "real": 3, "fake": 4,
                                                   "resize": "none"}
