"""Published combinations of flags (--recipe). A flag that is typed beats its recipe's value."""

from typing import Any

RECIPES: dict[str, dict[str, Any]] = {
    # hDCE + SRC, Jung et al. 2022, horse -> zebra.
    "hdce_src": dict(nce_loss="dce", nce_weighting="semantic", nce_gamma=50.0, nce_gamma_last=10.0,
                     lambda_NCE=0.1, lambda_SRC=0.05),
    # MoNCE, Zhan et al. 2022, horse -> zebra; the authors train it with --batch_size 12.
    "monce": dict(nce_weighting="ot", nce_ot_eps=0.1, nce_ot_amount=1.0, lambda_NCE=1.0),
    # QS-Attn, Hu et al. 2022, "global".
    "qsattn": dict(nce_sampling="query"),
}
