"""Arrays in, arrays out: the NumPy and Numba kernels, one op a file."""
