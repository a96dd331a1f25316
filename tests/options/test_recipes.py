"""--recipe: what it sets, what beats it, what a resumed run does with it."""

import pytest

from options.describe import save_options
from options.recipes import ALIASES, RECIPES
from options.train_options import TrainOptions
from util.checkpoints.run_record import read_options
from util.errors import UsageError

MONCE = dict(nce_loss="nce", nce_weighting="ot", nce_ot_eps=0.1, nce_ot_amount=1, lambda_NCE=1, lambda_SRC=0)
# As published: Jung et al. 2022 (horse -> zebra), Zhan et al. 2022, Hu et al. 2022, Cai et al. 2024. Averages
# are our own (docs/results.md).
PUBLISHED = {
    "hdce_src": dict(nce_loss="dce", nce_weighting="semantic", nce_gamma=50, nce_gamma_last=10,
                     lambda_NCE=0.1, lambda_SRC=0.05, nce_sampling="random"),
    "monce": MONCE | dict(ema=0),
    "monce_ema": MONCE | dict(ema=1000),
    "qsattn": dict(nce_loss="nce", nce_weighting="none", nce_sampling="query", lambda_NCE=1),
    "enco": dict(model="enco", lr=5e-5, lr_G=None, lr_D=2e-4, lambda_NCE=2, lambda_IDT=10, lambda_GAN=1,
                 nce_sampling="dag", nce_layers="3,7,13,18,24,28", netF_nc=256),
}
COMMON = dict(n_epochs=200, n_epochs_decay=200, num_patches=256, beta1=0.5, gan_mode="lsgan")
OF_CUT = dict(model="cut", lr=2e-4, nce_idt=True, nce_T=0.07)


def train(*flags):
    return TrainOptions().parse([*flags, "--gpu_ids", "-1"])


@pytest.fixture
def run(tmp_path):
    """A recorded run with a recipe."""
    place = ["--checkpoints_dir", str(tmp_path), "--name", "run"]
    opt = train("--recipe", "hdce_src", "--lambda_SRC", "0.3", *place)
    save_options(opt, tmp_path / "run")
    return place


@pytest.mark.parametrize("name", PUBLISHED)
def test_sets_what_was_published(name):
    opt = train("--recipe", name)
    expected = COMMON | ({} if "model" in PUBLISHED[name] else OF_CUT) | PUBLISHED[name]
    assert {key: getattr(opt, key) for key in expected} == expected


def test_every_recipe_is_checked_here():
    assert RECIPES.keys() == PUBLISHED.keys()


def test_typed_flags_beat_it_wherever_they_stand():
    for flags in ("--lambda_SRC 0.3 --recipe hdce_src", "--recipe hdce_src --lambda_SRC=0.3"):
        opt = train(*flags.split())
        assert (opt.lambda_SRC, opt.lambda_NCE) == (0.3, 0.1)


def test_it_beats_the_presets_of_a_mode():
    assert train("--CUT_mode", "FastCUT", "--recipe", "hdce_src").lambda_NCE == 0.1
    assert train("--CUT_mode", "FastCUT", "--recipe", "hdce_src").n_epochs == 150


def test_is_recorded_and_bound_on_resume(run, tmp_path):
    record = read_options(tmp_path / "run")
    assert record["recipe"] == "hdce_src" and record["lambda_SRC"] == 0.3
    opt = train(*run, "--continue_train")
    assert (opt.recipe, opt.lambda_SRC, opt.lambda_NCE, opt.parsed.changed) == ("hdce_src", 0.3, 0.1, "")
    again = train(*run, "--continue_train", "--recipe", "hdce_src")
    assert again.lambda_SRC == 0.3 and again.parsed.changed == ""


def test_another_recipe_is_refused_on_resume(run):
    with pytest.raises(UsageError, match="the recipe, but this changes --recipe hdce_src to monce"):
        train(*run, "--continue_train", "--recipe", "monce")


def test_another_model_must_have_its_flags():
    with pytest.raises(UsageError, match="--recipe hdce_src sets --nce_loss, which --model cycle_gan"):
        train("--model", "cycle_gan", "--recipe", "hdce_src")


def test_a_typed_model_beats_the_recipes():
    with pytest.raises(UsageError, match="--recipe enco sets --lambda_IDT, .* use --model enco"):
        train("--model", "cut", "--recipe", "enco")
    assert train("--recipe", "enco", "--model", "enco").model == "enco"


def test_a_recipes_model_is_there_again_on_resume(tmp_path):
    place = ["--checkpoints_dir", str(tmp_path), "--name", "run"]
    save_options(train("--recipe", "enco", "--lambda_IDT", "5", *place), tmp_path / "run")
    opt = train(*place, "--continue_train")
    assert (opt.model, opt.lambda_IDT, opt.lr_D, opt.parsed.changed) == ("enco", 5, 2e-4, "")


# ---- best

def test_best_is_one_of_the_recipes():
    assert set(ALIASES) == {"best"} and ALIASES["best"] in RECIPES
    name = ALIASES["best"]
    found, expected = (vars(train("--recipe", text)) for text in ("best", name))
    assert found["recipe"] == name
    assert {key: found[key] for key in RECIPES[name]} == {key: expected[key] for key in RECIPES[name]}


def test_another_best_changes_no_run(tmp_path, monkeypatch):
    """The record holds the recipe itself; a run that was the best's goes on as it was."""
    monkeypatch.setitem(ALIASES, "best", "hdce_src")
    place = ["--checkpoints_dir", str(tmp_path), "--name", "run"]
    save_options(train("--recipe", "best", *place), tmp_path / "run")
    assert read_options(tmp_path / "run")["recipe"] == "hdce_src"
    monkeypatch.setitem(ALIASES, "best", "enco")
    opt = train(*place, "--continue_train")
    assert (opt.model, opt.recipe, opt.lambda_SRC, opt.parsed.changed) == ("cut", "hdce_src", 0.05, "")
    with pytest.raises(UsageError, match="this changes --recipe hdce_src to enco"):
        train(*place, "--continue_train", "--recipe", "best")


def test_a_recipe_that_changes_later_changes_no_run(run, monkeypatch):
    """Nor does one that sets a flag more, whose recorded value is None."""
    monkeypatch.setitem(RECIPES, "hdce_src", dict(lambda_NCE=7.0, lambda_SRC=8.0, lr_D=1e-3, ema=5))
    opt = train(*run, "--continue_train")
    assert (opt.lambda_NCE, opt.lambda_SRC, opt.lr_D, opt.ema, opt.parsed.changed) == (0.1, 0.3, None, 0, "")


def test_an_unknown_name_lists_the_others():
    with pytest.raises(UsageError, match="monce"):
        train("--recipe", "nonsense")
