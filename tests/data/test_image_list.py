"""Lists of images: what a row means, how often it is drawn, and what is wrong with a list."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from data import create_loader, find_dataset
from data.base_dataset import Position
from data.image_list import drawn, is_list, read_list
from util.errors import UsageError


@pytest.fixture
def written(tmp_path, paint):
    """Four images of each domain in sub-folders, and a list of this text."""
    paint("pictures/a", 4), paint("pictures/b", 4, shade=200)

    def write(text: str, name: str = "list.csv") -> str:
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)
    return write


CSV = """A,B,split,site,weight
pictures/a/000.png,pictures/b/001.png,train,Bern,1
pictures/a/001.png,pictures/b/000.png,train,Rome,1
pictures/a/002.png,,train,Oslo,6
pictures/a/003.png,pictures/b/003.png,test,Bern,
"""


def numbers(paths: list[str]) -> list[int]:
    return [int(Path(path).stem) for path in paths]


def test_the_three_forms_say_the_same(written):
    rows = [{"A": "pictures/a/000.png", "B": "pictures/b/001.png"}, {"A": "pictures/a/001.png", "B": ""}]
    texts = {"list.csv": "A,B\npictures/a/000.png,pictures/b/001.png\npictures/a/001.png,\n",
             "list.txt": "pictures/a/000.png\tpictures/b/001.png\npictures/a/001.png\n",
             "list.jsonl": '{"A": "pictures/a/000.png", "B": "pictures/b/001.png"}\n\n'
                           '{"A": "pictures/a/001.png", "B": null}\n'}
    for name, text in texts.items():
        path = written(text, name)
        assert is_list(path) and read_list(path, "train") == rows


def test_a_split_is_chosen_by_the_phase(options, written):
    path = written(CSV)
    train = find_dataset("unaligned")(options(dataroot=path))
    assert numbers(train.domains["A"].paths) == [0, 1, 2] and numbers(train.domains["B"].paths) == [1, 0]
    test = find_dataset("unaligned")(options(dataroot=path, phase="test", isTrain=False))
    item, = test
    assert numbers([item["A_paths"], item["B_paths"]]) == [3, 3] and item["site"] == "Bern"
    assert test.relative_name("A", item["A_paths"]) == "003"


def test_pairs_are_rows(options, written):
    path = written(CSV.replace(",,train", ",pictures/b/003.png,train"))
    dataset = find_dataset("aligned")(options(dataroot=path, dataset_mode="aligned"))
    pairs = [(*numbers([item["A_paths"], item["B_paths"]]), item["site"]) for item in dataset]
    assert pairs == [(0, 1, "Bern"), (1, 0, "Rome"), (2, 3, "Oslo")]
    with pytest.raises(UsageError, match="1 of 3 images of A have no partner in B"):
        find_dataset("aligned")(options(dataroot=written(CSV), dataset_mode="aligned"))
    mixed = find_dataset("aligned")(options(dataroot=written(CSV), dataset_mode="aligned", paired_ratio=0.5))
    for epoch in range(20):
        for index in range(3):
            item = mixed[Position(epoch, index)]
            a, b = numbers([item["A_paths"], item["B_paths"]])
            assert not item["paired"] or (a, b) in ((0, 1), (1, 0))


def test_to_translate_a_row_brings_its_partner(options, written):
    path = written("pictures/a/000.png\tpictures/b/002.png\n", "list.txt")
    opt = options(dataroot=path, phase="test", isTrain=False)
    assert numbers([find_dataset("unaligned")(opt)[0]["B_paths"]]) == [2]
    single = find_dataset("single")(opt)
    assert numbers([single[0]["A_paths"]]) == [0] and "B" not in single[0]


def test_companions_are_columns(options, written, paint):
    paint("masks", 2)
    path = written("A,B,mask,site\npictures/a/000.png,pictures/b/000.png,masks/001.png,x\n")
    item = find_dataset("unaligned")(options(dataroot=path, companions="inside=mask", preprocess="none"))[0]
    assert item["inside"].unique().tolist() == [0, 1]       # the image's own levels: number, shade, 0
    assert item["site"] == "x" and "mask" not in item


def test_further_columns_are_in_the_minibatch(options, written):
    batch = next(iter(create_loader(options(dataroot=written(CSV), batch_size=3))))
    assert batch["site"] == [("Bern", "Rome", "Oslo")[number] for number in numbers(batch["A_paths"])]


# ---- weights


@pytest.mark.parametrize("weights", [[1, 1, 1, 1], [1, 2, 3, 6], [0, 0, 5, 0], [0.5, 0.1, 0, 0.4]])
def test_each_place_comes_as_often_as_it_should(weights):
    """Rounded up or down in any epoch, and right in the mean of many."""
    weights = np.array(weights, dtype=float)
    share = weights / weights.sum() * 4
    offsets = (np.arange(200) + 0.5) / 200
    counts = np.array([np.bincount(drawn(weights, offset), minlength=4) for offset in offsets])
    assert (counts >= np.floor(share)).all() and (counts <= np.ceil(share)).all()
    assert counts.sum(1).tolist() == [4] * 200
    assert counts.mean(0) == pytest.approx(share, abs=0.01)


def test_weights_decide_how_often_an_item_is_drawn(options, written):
    """Of A in the order, here 0.3, 0.9 and 1.8 times an epoch; of B when it is drawn."""
    text = CSV.replace("Rome,1", "Rome,3")
    loader = create_loader(options(dataroot=written(text)))
    counts, partners = Counter(), Counter()
    for epoch in range(1, 101):
        loader.set_epoch(epoch)
        for batch in loader:
            counts[numbers(batch["A_paths"])[0]] += 1
            partners[numbers(batch["B_paths"])[0]] += 1
    assert sum(counts.values()) == 300
    assert [counts[n] for n in range(3)] == pytest.approx([30, 90, 180], abs=20)
    assert [partners[n] for n in (1, 0)] == pytest.approx([75, 225], abs=38)     # 5 standard deviations


def test_an_epoch_is_skipped_into_as_without_weights(options, written):
    loader = create_loader(options(dataroot=written(CSV)))
    whole = [batch["A_paths"] for batch in loader]
    loader.set_epoch(1, skip_images=2)
    assert [batch["A_paths"] for batch in loader] == whole[2:]


def test_equal_weights_are_none(options, written):
    text = CSV.replace("Oslo,6", "Oslo,1")
    orders = []
    for given in (text, text.replace(",1\n", ",\n")):
        loader = create_loader(options(dataroot=written(given)))
        orders.append(sorted(numbers([path for batch in loader for path in batch["A_paths"]])))
    assert orders[0] == orders[1] == [0, 1, 2]


# ---- what is wrong


@pytest.mark.parametrize("name, text, says", [
    ("list.csv", "A,B\npictures/a/000.png,no.png\n", "names 1 files that are missing, the first is 'no.png'"),
    ("list.txt", "pictures/a/000.png pictures/b/000.png\n", "a tab parts A and B"),
    ("list.csv", "photo,scan\nx.png,y.png\n", "no column A or B, which name the images; it has photo, scan"),
    ("list.csv", "", "has no column A or B"), ("list.jsonl", "{\n", "cannot be read"),
    ("list.jsonl", "[1]\n", "cannot be read"), ("list.csv", "A\npictures/a/000.png\n", "domain B's images"),
    ("list.csv", "A,B,split\npictures/a/000.png,,test\n", "has no rows of the split 'train', but of test"),
    *((("list.csv", CSV.replace("Oslo,6", f"Oslo,{bad}"), says)) for bad, says in (
        ("-1", "negative"), ("inf", "infinite"), ("nan", "infinite"), ("much", "no number"))),
    ("list.csv", "A,B,weight\npictures/a/000.png,pictures/b/000.png,0\n", "all 0")])
def test_a_list_that_cannot_be(options, written, name, text, says):
    with pytest.raises(UsageError) as error:
        find_dataset("unaligned")(options(dataroot=written(text, name)))
    assert says in str(error.value)


def test_bytes_that_are_no_text(options, tmp_path):
    (tmp_path / "list.csv").write_bytes(b"A,B\n\xff\xfe\x00")
    with pytest.raises(UsageError, match="cannot be read"):
        read_list(str(tmp_path / "list.csv"), "train")


def test_a_companion_column_that_is_not_there(options, written):
    with pytest.raises(UsageError, match="has no column 'mask', or nothing in it"):
        find_dataset("unaligned")(options(dataroot=written(CSV), companions="mask=mask"))
