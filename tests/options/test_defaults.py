"""Every flag of the reference, with its type, choices and defaults by model and phase."""

import json
from argparse import Namespace
from pathlib import Path

import pytest

from models.networks import GENERATORS
from options.test_options import TestOptions
from options.train_options import TrainOptions
from util.errors import UsageError

REFERENCE = json.loads((Path(__file__).parents[1] / "golden" / "options.json").read_text())["flags"]
MODELS = {"cut": [], "fastcut": ["--CUT_mode", "FastCUT"], "sincut": ["--model", "sincut"]}
TYPES = {"int": int, "float": float, "str": str, "str2bool": bool, "switch": bool}

# What differs on purpose: the first GPU if there is one, no silent end after 50 images, and SinCUT's crops
# in the order that gives a minibatch one zoom (--mix_zooms shuffles them).
OURS = {("gpu_ids", phase, model): "auto" for phase in ("train", "test") for model in MODELS}
OURS |= {("num_test", "test", model): float("inf") for model in ("cut", "fastcut")}
OURS[("serial_batches", "train", "sincut")] = True
ROWS = [(phase, model) for phase in ("train", "test") for model in MODELS]


def parse(phase: str, *flags: str) -> Namespace:
    return (TrainOptions() if phase == "train" else TestOptions()).parse([*flags, "--gpu_ids=-1"])


def expected(phase: str, model: str) -> dict[str, object]:
    defaults = {"model": model.removeprefix("fast")}        # what is typed to get there
    for name, row in REFERENCE.items():
        value = row.get(phase, {})
        if isinstance(value, dict):
            if model not in value:
                continue
            value = value[model]
        value = float("inf") if value == "inf" else value
        defaults.setdefault(name, OURS.get((name, phase, model), value))
    return defaults | ({"CUT_mode": "FastCUT"} if model == "fastcut" else {})


@pytest.mark.parametrize("phase, model", ROWS)
def test_defaults_are_those_of_the_reference(phase, model):
    opt = (TrainOptions() if phase == "train" else TestOptions()).parse(MODELS[model])
    found = {name: getattr(opt, name, "absent") for name in expected(phase, model)}
    assert found == expected(phase, model)


@pytest.mark.parametrize("phase, model", ROWS)
def test_types_are_those_of_the_reference(phase, model):
    opt = parse(phase, *MODELS[model])
    for name in expected(phase, model):
        value = getattr(opt, name)
        if value is not None and value != float("inf"):
            assert type(value) is TYPES[REFERENCE[name]["type"]], name


@pytest.mark.parametrize("phase", ["train", "test"])
def test_flags_of_the_other_phase_are_unknown(phase):
    opt = parse(phase)
    other = [name for name, row in REFERENCE.items() if phase not in row]
    assert len(other) >= 3
    assert [name for name in other if hasattr(opt, name)] == []


def test_values_arrive_in_their_type():
    opt = parse("train", "--batch_size", "3", "--lr", "1e-3", "--display_id", "7", "--max_dataset_size", "20",
                "--nce_layers=0,4", "--no_html")
    assert (opt.batch_size, opt.lr, opt.display_id, opt.max_dataset_size) == (3, 1e-3, 7, 20)
    assert opt.nce_layers == "0,4" and opt.no_html is True
    assert parse("test", "--max_dataset_size", "inf").max_dataset_size == float("inf")


@pytest.mark.parametrize("name", [name for name, row in REFERENCE.items() if row["type"] == "str2bool"])
def test_yes_and_no_in_many_words(name):
    for words, value in ((("true", "Yes", "1", "T"), True), (("false", "NO", "0", "n"), False)):
        assert {getattr(parse("train", f"--{name}", word), name) for word in words} == {value}
    assert getattr(parse("train", f"--{name}"), name) is True
    with pytest.raises(UsageError, match=f"--{name}: 'perhaps' is neither true nor false"):
        parse("train", f"--{name}", "perhaps")


@pytest.mark.parametrize("name", [name for name, row in REFERENCE.items() if "choices" in row])
def test_choices_are_those_of_the_reference(name):
    for choice in set(REFERENCE[name]["choices"]) - {"resnet_cat"}:
        assert getattr(parse("train", f"--{name}", choice), name) == choice
    with pytest.raises(UsageError) as error:
        parse("train", f"--{name}", "neither")
    assert all(choice in str(error.value) for choice in set(REFERENCE[name]["choices"]) - {"resnet_cat"})


def test_resnet_cat_is_refused_with_a_word_of_its_own():
    with pytest.raises(UsageError, match="--netG resnet_cat never worked .* choose resnet_9blocks"):
        parse("train", "--netG", "resnet_cat")


# ---- defaults that depend on what was typed

@pytest.mark.parametrize("text", ["fastCUT", "FASTCUT", "fastcut", "FastCUT"])
def test_letter_case_of_the_mode_does_not_matter(text):
    opt = parse("train", "--CUT_mode", text)
    assert (opt.CUT_mode, opt.lambda_NCE, opt.nce_idt, opt.flip_equivariance) == ("FastCUT", 10, False, True)
    assert parse("train", "--CUT_mode", text[4:]).CUT_mode == "CUT"


@pytest.mark.parametrize("text", ["C", "T", "fast", "CUTT", ""])
def test_a_mode_that_does_not_exist_is_refused(text):
    with pytest.raises(UsageError, match=f"--CUT_mode is '{text}'; choose CUT or FastCUT"):
        parse("train", f"--CUT_mode={text}")


def test_what_is_typed_wins_over_presets_in_any_order():
    for flags in ("--lambda_NCE 3 --CUT_mode FastCUT", "--CUT_mode FastCUT --lambda_NCE 3"):
        opt = parse("train", *flags.split(), "--n_epochs=7")
        assert (opt.lambda_NCE, opt.n_epochs, opt.n_epochs_decay) == (3, 7, 50)


def test_layers_follow_the_generator():
    """Where the published numbers name no layer of it, a generator brings its own; what is typed wins."""
    for name, choice in GENERATORS.items():
        assert parse("train", "--netG", name).nce_layers == choice.nce_layers
        assert parse("train", "--netG", name, "--nce_layers", "0").nce_layers == "0"
    assert parse("train", "--netG", "resnet_6blocks").nce_layers == "0,4,8,12,16"
    assert [GENERATORS[name].nce_layers for name in ("stylegan2", "smallstylegan2")] == ["0,2,4", "0,2"]
