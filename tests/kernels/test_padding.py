import naive
from hypothesis import given
from hypothesis import strategies as st

from mmnet_np.kernels.padding import same_output, same_padding


@given(st.integers(1, 100), st.integers(1, 3), st.sampled_from([1, 3, 5]), st.integers(1, 16))
def test_against_definition(size, stride, kernel_size, dilation):
    out = same_output(size, stride)
    assert (out - 1) * stride < size <= out * stride
    expected = naive.pad_before(size, out, kernel_size, stride, dilation)
    assert same_padding(size, out, kernel_size, stride, dilation) == expected


def test_stride_two_on_an_even_side_pads_after_only():
    assert same_padding(256, 128, 3, 2, 1) == 0
    assert same_padding(255, 128, 3, 2, 1) == 1
