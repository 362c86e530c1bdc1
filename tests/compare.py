"""One way to compare arrays, and the one table of tolerances."""

import numpy as np

# Largest |difference| / (1 + |expected|). float32: 240 products of a sum of order 10, each rounded
# to 2**-24 relative, stay far below; measured on the tests' shapes 4e-6. int8 is right or wrong.
TOLERANCE = {"float64": 1e-12, "float32": 2e-5, "int8": 0}


def assert_same(actual, expected, dtype=None):
    """Compare to the oracle: shape first, dtype, then values within the dtype's tolerance."""
    assert actual.shape == expected.shape
    if dtype is not None:
        assert actual.dtype == dtype
    tolerance = TOLERANCE[str(actual.dtype)]
    wanted = np.asarray(expected, np.float64)  # int8 has no absolute value of -128
    difference = np.abs(actual.astype(np.float64) - wanted) / (1 + np.abs(wanted))
    worst = np.unravel_index(np.argmax(difference), difference.shape)
    assert difference[worst] <= tolerance, (
        f"at {tuple(map(int, worst))}: {actual[worst]} for {expected[worst]}"
    )
