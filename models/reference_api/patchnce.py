"""The reference's PatchNCELoss: our formula, in the shapes that its files use."""

from argparse import Namespace

from torch import Tensor, nn

from models.contrastive.patch_nce import patch_nce_loss


class PatchNCELoss(nn.Module):
    """The NCE loss of each patch: [B * S, C], [B * S, C] -> [B * S], in nats.

    The options say how many images stand one behind the other (batch_size), the temperature (nce_T), and
    whether the other images' patches are negatives, too.
    """

    def __init__(self, opt: Namespace):
        super().__init__()
        self.opt = opt

    def forward(self, feat_q: Tensor, feat_k: Tensor) -> Tensor:
        """feat_q, feat_k: unit vectors of G's output, and of its source at the same places."""
        query, key = (x.reshape(self.opt.batch_size, -1, x.shape[-1]) for x in (feat_q, feat_k))
        together = self.opt.nce_includes_all_negatives_from_minibatch
        return patch_nce_loss(query, key, self.opt.nce_T, minibatch_negatives=together).flatten()
