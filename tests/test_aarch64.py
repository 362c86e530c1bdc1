"""The proof that AArch64 has the same bits: minutes, and packages from a mirror of Debian's.

python -m pytest tests/test_aarch64.py -m slow -s
"""

import aarch64_proof
import pytest


@pytest.mark.slow
def test_an_emulated_board_has_the_same_bits(tmp_path, capfd):
    if reason := aarch64_proof.missing():
        pytest.skip(reason)
    assert aarch64_proof.main([str(tmp_path)]) == 0
    out = capfd.readouterr().out
    assert "aarch64 Python" in out
    # One table for each backend, and in each of them every layer's output and integers.
    assert out.count("no mismatch in 233 values") >= 2
