"""Hypothesis strategies for the shapes at which convolutions go wrong."""

import numpy as np
from hypothesis import strategies as st

# 1 x 1, odd and even, and smaller than any dilated filter.
sides = st.integers(1, 9)
batches = st.integers(1, 2)
# Below, at and above the register tile's 8 and 16 columns, and the final layer's 2.
channels = st.sampled_from([1, 2, 3, 7, 8, 9, 16, 17, 24, 40])
bounds = st.sampled_from([(0.0, 6.0), (-np.inf, np.inf)])
seeds = st.integers(0, 2**32 - 1)


def normal(seed, *shapes, dtype=np.float32):
    """Arrays of standard normal values."""
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]
