"""The network as a table: Tables 1 and 6 of the paper, the width rule and the variants.

Seo et al., "Towards Real-Time Automatic Portrait Matting on Mobile Devices", 2019. Nothing here
computes; `graph.build` turns the table into layers. Scopes are the variable scopes of the authors'
program, in which encoders and decoders count from 0: ``enc_block0`` is the paper's encoder 1, and
``dec_block2`` and ``dec_block3`` are its enhancement blocks.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from mmnet_np.weights.files import shown

from .errors import OptionError

__all__ = [
    "MMNET",
    "VARIANTS",
    "Auxiliary",
    "Decoder",
    "Encoder",
    "Final",
    "Initial",
    "Spec",
]


@dataclass(frozen=True)
class Initial:
    """3x3 convolution with stride 2."""

    scope: str
    channels: int


@dataclass(frozen=True)
class Encoder:
    """Multi-branch dilated convolution with a linear bottleneck (section 2.1.1); also enhancement.

    Each branch is a pointwise convolution to ``expand`` channels, a depthwise 3x3 with stride 2
    where ``stride`` is 2, and a depthwise 3x3 with the branch's dilation; the branches are
    concatenated and projected to ``project`` channels, without activation when ``linear``.
    """

    scope: str
    dilations: tuple[int, ...]
    expand: int
    project: int
    stride: int = 1
    linear: bool = True


@dataclass(frozen=True)
class Decoder:
    """Pointwise convolution and repeated x2 resize; then a concat with a refined skip (2.1.2)."""

    scope: str
    channels: int
    upsamplings: int = 1
    skip: str | None = None
    refine: bool = True


@dataclass(frozen=True)
class Final:
    """Pointwise convolution to the two logits (background, foreground) and softmax."""

    scope: str


@dataclass(frozen=True)
class Auxiliary:
    """Logits from an inner block, for the auxiliary loss; absent at inference."""

    scope: str
    source: str


Block = Initial | Encoder | Decoder | Final | Auxiliary

# fmt: off
MMNET: tuple[Block, ...] = (
    #        scope         dilations     expand project stride             output at 256, width 1
    Initial("init_block", 32),                                           # 128 x 128 x 32
    Encoder("enc_block0", (1, 2, 4, 8),  16,  16, stride=2),             #  64 x  64 x 16
    Encoder("enc_block1", (1, 2, 4, 8),  16,  24),                       #  64 x  64 x 24
    Encoder("enc_block2", (1, 2, 4, 8),  24,  24),                       #  64 x  64 x 24
    Encoder("enc_block3", (1, 2, 4, 8),  24,  24),                       #  64 x  64 x 24
    Encoder("enc_block4", (1, 2, 4),     32,  40, stride=2),             #  32 x  32 x 40
    Encoder("enc_block5", (1, 2, 4),     64,  40),                       #  32 x  32 x 40
    Encoder("enc_block6", (1, 2, 4),     64,  40),                       #  32 x  32 x 40
    Encoder("enc_block7", (1, 2, 4),     64,  40),                       #  32 x  32 x 40
    Encoder("enc_block8", (1, 2),        80,  80, stride=2),             #  16 x  16 x 80
    Encoder("enc_block9", (1, 2),       120,  80, linear=False),         #  16 x  16 x 80
    Decoder("dec_block0", 64, skip="enc_block4"),                        #  32 x  32 x 128
    Decoder("dec_block1", 40, skip="enc_block0"),                        #  64 x  64 x 80
    Encoder("dec_block2", (1, 2, 4),     40,  40),                       #  64 x  64 x 40
    Encoder("dec_block3", (1, 2, 4),     40,  40),                       #  64 x  64 x 40
    Decoder("dec_block4", 16, upsamplings=2),                            # 256 x 256 x 16
    Final("final_block"),                                                # 256 x 256 x 2
    Auxiliary("aux_block", source="enc_block9"),                         #  16 x  16 x 2
)
# fmt: on

ENHANCEMENTS = ("dec_block2", "dec_block3")

VARIANTS = ("full", "no-dilation", "no-refinement", "no-enhancement")
"""The network and its three ablations (Table 4)."""

WIDTHS = (1.0, 0.75, 0.5, 1.4, *(round(0.05 * k, 2) for k in range(2, 61)))
"""Width multipliers that a network without one is tried for, the paper's first: several may give
the same channel counts."""

MULTIPLE = 16
"""Height and width must be multiples of this: the network halves its input four times."""


@dataclass(frozen=True)
class Spec:
    """Which MMNet: width multiplier, input size and variant.

    Attributes
    ----------
    width : float
        Multiplies every channel count but the final 2; 1.0, 0.75, 0.5 and 1.4 in the paper.
    size : int
        Side of the square that photos are resized to. The network itself takes any height and
        width that are multiples of 16.
    variant : {"full", "no-dilation", "no-refinement", "no-enhancement"}

    Raises
    ------
    OptionError
        A value outside these.
    """

    width: float = 1.0
    size: int = 256
    variant: str = "full"

    def __post_init__(self) -> None:
        if not 0 < self.width <= 8:  # NaN is not
            raise OptionError(f"width is {shown(self.width)}; it must be above 0 and at most 8")
        check_size(self.size, self.size)
        if self.variant not in VARIANTS:
            known = ", ".join(VARIANTS)
            raise OptionError(f"variant is {shown(repr(self.variant))}; it must be one of {known}")

    def channels(self, count: int) -> int:
        """Apply the width rule: a multiple of 8, at least 8. ``round`` is half to even."""
        return max(8, (round(count * self.width) + 4) // 8 * 8)

    def blocks(self) -> tuple[Block, ...]:
        """Return the table's rows as this variant has them."""
        rows: list[Block] = []
        for row in MMNET:
            if isinstance(row, Encoder):
                if self.variant == "no-enhancement" and row.scope in ENHANCEMENTS:
                    continue
                if self.variant == "no-dilation":
                    row = replace(row, dilations=(1,) * len(row.dilations))
            if isinstance(row, Decoder) and self.variant == "no-refinement":
                row = replace(row, refine=False)
            rows.append(row)
        return tuple(rows)

    def as_dict(self) -> dict[str, object]:
        """Return what a weights file keeps of the spec."""
        return {
            "architecture": "MMNet",
            "width": self.width,
            "size": self.size,
            "variant": self.variant,
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, object]) -> Spec:
        """Read what `as_dict` wrote, from a file that may say anything.

        Raises
        ------
        OptionError
            Another architecture, or a field missing, of the wrong type or out of range.
        """
        if fields.get("architecture") != "MMNet":
            named = shown(repr(fields.get("architecture")))
            raise OptionError(f"the architecture is {named}, not 'MMNet'")
        width, size, variant = fields.get("width"), fields.get("size"), fields.get("variant")
        if isinstance(width, bool) or not isinstance(width, int | float):
            raise OptionError(f"the spec's width is {shown(repr(width))}; it must be a number")
        if isinstance(size, bool) or not isinstance(size, int):
            raise OptionError(f"the spec's size is {shown(repr(size))}; it must be a whole number")
        if not isinstance(variant, str):
            raise OptionError(f"the spec's variant is {shown(repr(variant))}; it must be a string")
        try:
            return cls(float(width), size, variant)
        except OverflowError:  # an integer that no float can hold
            raise OptionError("the spec's width is too large; it must be at most 8") from None


def whole(name: str, value: object) -> int:
    """Return a number that must be whole as an int; `OptionError` if it is anything else."""
    if not isinstance(value, bool):
        with suppress(TypeError):
            return operator.index(value)  # type: ignore[arg-type]
    raise OptionError(f"{name} is {shown(repr(value))}; it must be a whole number")


def check_size(height: int, width: int) -> None:
    """Raise `OptionError` unless both are positive multiples of 16, at most 16,384."""
    for name, value in (("height", height), ("width", width)):
        if value < MULTIPLE or value % MULTIPLE or value > 16384:
            wanted = f"a multiple of {MULTIPLE} up to 16384"
            raise OptionError(f"the input's {name} is {shown(value)}; it must be {wanted}")
