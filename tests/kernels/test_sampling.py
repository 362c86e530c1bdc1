import math

import numpy as np
import pytest
from compare import assert_same
from hypothesis import given
from hypothesis import strategies as st
from shapes import seeds, sides

from mmnet_np.kernels import jit, sampling

IMPLEMENTATIONS = [
    sampling.reference,
    pytest.param(
        sampling._numba,
        marks=pytest.mark.skipif(not jit.has_numba(), reason="Numba is not installed"),
    ),
]


def naive(source, grid, height, width, border, margin):
    """One sample at a time; a pixel beyond the source is looked up by walking to it."""
    rows, columns = source.shape[:2]

    def pixel(index, length):
        if border == "edge":
            return min(max(index, 0), length - 1)
        while not 0 <= index < length:
            index = -index if index < 0 else 2 * (length - 1) - index
            if length == 1:
                return 0
        return index

    out = np.zeros((height, width, 4))
    for y, x in np.ndindex(height, width):
        px, py = (row[0] * x + row[1] * y + row[2] for row in grid)
        if border == "zero":
            beyond = [max(-p, p - n + 1) for p, n in ((px, columns), (py, rows))]
            if beyond[0] > margin[0] or beyond[1] > margin[1]:
                continue
            px, py = min(max(px, 0), columns - 1), min(max(py, 0), rows - 1)
        if border == "zero":
            at = [(min(max(i, 0), n - 1), min(i + 1, n - 1)) for i, n in
                  ((math.floor(px), columns), (math.floor(py), rows))]  # fmt: skip
        else:
            at = [(pixel(math.floor(p), n), pixel(math.floor(p) + 1, n))
                  for p, n in ((px, columns), (py, rows))]  # fmt: skip
        (x0, x1), (y0, y1) = at
        fx, fy = px - math.floor(px), py - math.floor(py)
        above = source[y0, x0] * (1 - fx) + source[y0, x1] * fx
        below = source[y1, x0] * (1 - fx) + source[y1, x1] * fx
        out[y, x] = (above * (1 - fy) + below * fy) / 255
    return out


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@given(sides, sides, sides, sides, st.sampled_from(sampling.BORDERS), seeds)
def test_against_naive(implementation, rows, columns, height, width, border, seed):
    rng = np.random.default_rng(seed)
    source = rng.integers(0, 256, (rows, columns, 4), dtype=np.uint8)
    grid = rng.uniform(-2, 2, (2, 3)) * [1, 1, 8]
    margin = rng.uniform(0, 0.5, 2)
    colour, alpha = (np.full((height, width, *c), np.nan, np.float32) for c in ((3,), ()))
    implementation(source, grid, colour, alpha, sampling.BORDERS.index(border), margin)
    expected = naive(source, grid, height, width, border, margin)
    assert_same(colour, expected[..., :3], np.float32)
    assert_same(alpha, expected[..., 3], np.float32)


@pytest.mark.parametrize("border", sampling.BORDERS)
def test_the_default_implementation_takes_any_layout(border):
    """Read-only, reversed and strided arrays, as Pillow and slicing give them."""
    source = np.random.default_rng(1).integers(0, 256, (9, 16, 4), dtype=np.uint8)
    source.setflags(write=False)
    grid = np.array([[0.9, 0.1, -1], [-0.2, 1.1, 2]])
    results = []
    for view in (source[:, ::-2], np.ascontiguousarray(source[:, ::-2])):
        colour, alpha = np.empty((6, 7, 3), np.float32), np.empty((6, 7), np.float32)
        sampling.affine_sample(view, grid[::-1][::-1], colour, alpha, border, np.zeros(2))
        results.append(colour.tobytes() + alpha.tobytes())
    assert results[0] == results[1]
