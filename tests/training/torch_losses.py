"""The five losses once more in PyTorch, from the paper's equations: the oracle of their gradients.

Nothing is imported from the package. Channels first, as PyTorch has them.
"""

import torch
from torch.nn import functional

SOBEL = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]], dtype=torch.float64) / 8


def cross_entropy(logits, truth):
    """Equation 6 with its missing minus, averaged over pixels; logits (N, 2, H, W)."""
    labels = torch.stack([1 - truth, truth], dim=1)
    return functional.cross_entropy(logits, labels)


def losses(logits, auxiliary, image, truth):
    """logits (N, 2, H, W), auxiliary (N, 2, h, w), image (N, 3, H, W), truth (N, H, W)."""
    alpha = functional.softmax(logits, dim=1)[:, 1]
    filters = torch.stack([SOBEL, SOBEL.T])[:, None]

    def gradients(matte):
        return functional.conv2d(matte[:, None], filters, padding=1)

    coarse = functional.interpolate(truth[:, None], size=auxiliary.shape[2:], mode="nearest")[:, 0]
    return {
        "alpha": functional.l1_loss(alpha, truth),
        "compositional": functional.l1_loss(alpha[:, None] * image, truth[:, None] * image),
        "kl": cross_entropy(logits, truth),
        "gradient": functional.l1_loss(gradients(alpha), gradients(truth)),
        "auxiliary": cross_entropy(auxiliary, coarse),
    }
