"""Training steps, evaluations, resumed trainings and translations on a GPU that is not there."""

import pytest

from tests.dry_run.cases import CASES, PRECISIONS, TRANSLATIONS
from tests.dry_run.pretend import NEEDS, possible, pretend_cuda
from tests.dry_run.training import batch_of, build_translator, check_life, check_steps, training, translate

pytestmark = [pytest.mark.skipif(not possible(), reason=NEEDS),
              # copy.deepcopy asks whether there are numbers, where the queue's networks are made.
              pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")]

# Each case in one precision, the main models in others too: `python -m tests.dry_run --check` tries them all.
MAIN = ("CUT", "FastCUT", "SinCUT", "CycleGAN", "GcGAN", "DistanceGAN", "MUNIT")
OTHERS = [name for name in CASES if name not in MAIN]
TRAININGS = [(name, "bf16", "stop") for name in MAIN]
TRAININGS += [(name, PRECISIONS[i % 4], "stop" if i % 4 == 3 else "skip") for i, name in enumerate(OTHERS)]
FIRST_STEPS = [("CUT", "tf32", "skip"), ("CUT", "fp16", "skip"), ("CUT, lambda_NCE 0", "bf16", "stop")]
FIRST_STEPS += [(name, "fp16", "stop") for name in MAIN]


@pytest.mark.parametrize("name, precision, on_nan", TRAININGS)
def test_training_evaluation_and_resume(name, precision, on_nan):
    """No step reads or copies a number, all that is kept is float32 on the GPU, and steps are alike."""
    case = CASES[name]
    with training(case.small(precision, on_nan)) as run:
        if name in MAIN or case.kept:
            check_life(case, run)
        else:
            check_steps(case, run)


@pytest.mark.parametrize("name, precision, on_nan", FIRST_STEPS)
def test_first_step_in_other_precisions(name, precision, on_nan):
    """In 16 bits all convolutions are, but for those of R1, a tenth of SinCUT's at most."""
    with training(CASES[name].small(precision, on_nan)) as run:
        part = run.step().sixteen_bits()
    assert part == 0 if precision == "tf32" else 0.9 < part < 1 if name == "SinCUT" else part == 1


def test_pool_after_a_resume():
    with training(CASES["SelfDistance, pool"].small("fp32", "stop")) as run:
        run.step()
        again = run.resume()
        for _ in range(3):          # by then the pool's image was drawn
            again.step()


@pytest.mark.parametrize("before, after", [("false", "true"), ("true", "false")])
def test_resumed_with_another_channels_last(before, after):
    with training(CASES["SelfDistance"].small("bf16", "stop") + f" --channels_last {before}") as run:
        run.step()
        run.resume(f"--channels_last {after}").step()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("flags", TRANSLATIONS.values(), ids=TRANSLATIONS.keys())
def test_translation(flags, precision):
    """What test.py does: images of any size, in the size that they had."""
    with pretend_cuda() as gpu:
        model = build_translator(f"{flags} --precision {precision}")
        translate(model, batch_of(1, 37, 50), gpu)
