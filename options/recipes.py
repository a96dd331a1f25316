"""Published combinations of flags (--recipe). A flag that is typed beats its recipe's value, --model too."""

from typing import Any

MONCE = dict(nce_weighting="ot", nce_ot_eps=0.1, nce_ot_amount=1.0, lambda_NCE=1.0)

RECIPES: dict[str, dict[str, Any]] = {
    # hDCE + SRC, Jung et al. 2022, horse -> zebra.
    "hdce_src": dict(nce_loss="dce", nce_weighting="semantic", nce_gamma=50.0, nce_gamma_last=10.0,
                     lambda_NCE=0.1, lambda_SRC=0.05),
    # MoNCE, Zhan et al. 2022, horse -> zebra; the authors train it with --batch_size 12.
    "monce": MONCE,
    # The same with averages of G's weights, which test.py --use_ema translates with: best in docs/results.md.
    "monce_ema": MONCE | dict(ema=1000),
    # QS-Attn, Hu et al. 2022, "global".
    "qsattn": dict(nce_sampling="query"),
    # EnCo, Cai et al. 2024. --lr is that of G and F. Published with --n_epochs 100 --n_epochs_decay 100
    # --warmup_epochs 20: how long a run is, a recipe leaves open.
    "enco": dict(model="enco", lr=5e-5, lr_D=2e-4, lambda_NCE=2.0, lambda_IDT=10.0, nce_sampling="dag"),
}

# Names that stand for a recipe. A run records the recipe itself, so that another choice here changes no run.
ALIASES: dict[str, str] = {
    "best": "monce_ema",    # the lowest kernel distance in docs/results.md
}


def recipe_name(text: str) -> str:
    """The type of --recipe: the recipe that a name stands for."""
    return ALIASES.get(text, text)
