"""Which errors of a model's constructor are the user's, in one line, and which keep their traceback."""

import pytest

import models
from models import create_model
from tests.adversarial import build, parse
from util.errors import UsageError, run_command


def test_an_error_of_a_plug_in_keeps_its_traceback(monkeypatch):
    def broken(opt):
        return int("seven")

    monkeypatch.setattr(models, "find_model", lambda name: broken)
    with pytest.raises(ValueError, match="invalid literal") as error:
        run_command(lambda: create_model(parse()))
    assert error.traceback[-1].name == "broken"


@pytest.mark.parametrize("flags, words", [
    ("--model cut --nce_layers 0,99", "--nce_layers names layer 99; this --netG has layers 0 to"),
    ("--model cut --nce_layers 4,4", "--nce_layers 4,4 names a layer twice"),
    ("--netG unet_128 --crop_size 128 --load_size 128 --grad_checkpoint", "--grad_checkpoint does not work"),
    ("--netD tilestylegan2 --D_tile_size 48 --crop_size 64 --load_size 64", "--D_tile_size 48"),
    ("--netG stylegan2 --crop_size 2048 --load_size 2048", "--crop_size is 2048")])
def test_a_flag_that_a_network_refuses_gives_one_line(flags, words, capsys):
    with pytest.raises(UsageError, match=words):
        build(*flags.split())
    with pytest.raises(SystemExit) as ended:
        run_command(lambda: build(*flags.split()))
    err = capsys.readouterr().err
    assert ended.value.code == 2 and words in err and err.count("\n") == 1
