"""The transform of JPEG as layers: of blocks of 8x8 pixels, in the colours that JPEG stores."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from afdcli.methods.folding import filled, parameters

BLOCK = 8
ZIGZAG = sorted(
    range(BLOCK * BLOCK),
    key=lambda i: (i // BLOCK + i % BLOCK, i // BLOCK if (i // BLOCK + i % BLOCK) % 2 else i % BLOCK),
)
"""Row-by-row positions of an 8x8 block in the order of rising frequency (ITU-T T.81, figure A.6)."""
LEVELS = 255
"""Of a colour, of which JPEG's coefficients are multiples."""
SMALL = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""What a coefficient may be smaller than, in levels. Pixels of 8 bits leave 0.3 in each, so less would say nothing."""
CHROMA = 10
"""Of Cb and of Cr, the coefficients of lowest frequency that are looked at: above, compression leaves hardly any."""
CENTRE = (0.5, 0.0, 0.0)
"""What is taken from Y, Cb and Cr, so that they lie in [-0.5, 0.5]: Cb and Cr do already."""


class BlockDCT(nn.Module):
    """The transform of JPEG: 8x8 block DCT-II, orthonormal, of Y, Cb and Cr (JFIF), each in [-0.5, 0.5]."""

    basis: Tensor
    to_ycbcr: Tensor

    def __init__(self) -> None:
        super().__init__()
        n = torch.arange(BLOCK, dtype=torch.float64)
        rows = torch.cos(torch.pi * (2 * n + 1) * n[:, None] / (2 * BLOCK)) * (2 / BLOCK) ** 0.5
        rows[0] /= 2**0.5
        basis = torch.einsum("ux,vy->uvxy", rows, rows).reshape(BLOCK * BLOCK, 1, BLOCK, BLOCK)[ZIGZAG]
        ycbcr = torch.tensor([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
        self.register_buffer("basis", basis.repeat(3, 1, 1, 1).float(), persistent=False)
        self.register_buffer("to_ycbcr", ycbcr.view(3, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Coefficients (B, 3 * 64, H / 8, W / 8), zig-zag within each colour, of `images` (B, 3, H, W).

        `images` are RGB in [0, 1], H and W multiples of 8.
        """
        return F.conv2d(self.ycbcr(images), self.basis, stride=BLOCK, groups=3)

    def ycbcr(self, images: Tensor) -> Tensor:
        """Y, Cb and Cr of `images`, each in [-0.5, 0.5]; both (B, 3, H, W)."""
        ycbcr = F.conv2d(images, self.to_ycbcr)
        return ycbcr - ycbcr.new_tensor(CENTRE).view(3, 1, 1)


def whole_blocks(images: Tensor) -> Tensor:
    """`images` (B, C, H, W) with sides that are no multiple of 8 continued by their last row and column."""
    height, width = images.shape[-2:]
    if height % BLOCK == 0 and width % BLOCK == 0:
        return images
    return F.pad(images, (0, -width % BLOCK, 0, -height % BLOCK), mode="replicate")


class BlockLayer(nn.Module):
    """The block DCT and a 1x1 convolution of its coefficients: all linear, so one 8x8 convolution once folded."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.dct = BlockDCT()
        self.point = nn.Conv2d(3 * BLOCK * BLOCK, outputs, 1)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, outputs, H / 8, W / 8); `images` are RGB in [0, 1], H and W multiples of 8."""
        return self.point(self.dct(images))  # type: ignore[no-any-return]

    @torch.no_grad()
    def folded(self) -> nn.Conv2d:
        """The 8x8 convolution. Worked out in float64."""
        weight, bias = parameters(self.point, torch.float64)
        of_coefficients = weight.view(-1, 3, BLOCK * BLOCK)
        basis = self.dct.basis.double().view(3, BLOCK * BLOCK, BLOCK, BLOCK)
        of_ycbcr = torch.einsum("ock,ckxy->ocxy", of_coefficients, basis)
        of_rgb = torch.einsum("ocxy,ci->oixy", of_ycbcr, self.dct.to_ycbcr.double()[:, :, 0, 0])
        bias = bias - torch.einsum("ocxy,c->o", of_ycbcr, of_ycbcr.new_tensor(CENTRE))
        return filled(nn.Conv2d(3, len(bias), BLOCK, stride=BLOCK), of_rgb, bias, like=self.point.weight)


class SmallShares(nn.Module):
    """How many of an image's coefficients are small, for each frequency: what a codec has rounded away.

    That is a property of the whole file, so no place is kept, and every second block in both directions is enough.
    """

    count = len(SMALL) * (BLOCK * BLOCK + 2 * CHROMA)

    def __init__(self) -> None:
        super().__init__()
        self.dct = BlockDCT()

    def forward(self, images: Tensor) -> Tensor:
        """Shares (B, count) in [0, 1] of `images` (B, 3, H, W), RGB in [0, 1], of any size."""
        with torch.autocast(images.device.type, enabled=False):  # in half the bits, rounding is all that would be seen
            sizes = self._sizes(whole_blocks(images.float()))
            # A coefficient as large as half the limit counts in full, one half as large again as the limit not at all.
            return torch.cat([(1.5 - sizes / limit).clamp(0, 1).mean((2, 3)) for limit in SMALL], 1)

    def _sizes(self, images: Tensor) -> Tensor:
        """Of the coefficients (B, 64 + 2 * CHROMA, h, w), in levels."""
        ycbcr = self.dct.ycbcr(images) * LEVELS
        luma, chroma = self.dct.basis[: BLOCK * BLOCK], self.dct.basis[:CHROMA].repeat(2, 1, 1, 1)
        coefficients = (
            F.conv2d(ycbcr[:, :1], luma, stride=2 * BLOCK),
            F.conv2d(ycbcr[:, 1:], chroma, stride=2 * BLOCK, groups=2),
        )
        return torch.cat(coefficients, 1).abs()
