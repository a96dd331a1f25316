"""Messages to the process of a logger come out as they went in."""

import math

import numpy as np
import pytest

from util.loggers.services.messages import pack, unpack


def test_a_message_comes_out_as_it_went_in():
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    line = pack((7, {"loss/G": 0.1, "nan": math.nan, "test images": image[:, ::-1],
                     "config": {"shape": "é\n"}}))
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    images, values = unpack(line)
    assert images == 7 and values["loss/G"] == 0.1 and math.isnan(values["nan"])
    assert values["test images"].dtype == np.uint8 and np.array_equal(values["test images"], image[:, ::-1])
    assert values["config"] == {"shape": "é\n"} and unpack(pack(None)) is None


def test_a_line_cut_short_is_an_error():
    with pytest.raises(ValueError):
        unpack(pack({"a": np.zeros((4, 4, 3), np.uint8)})[:-9])
