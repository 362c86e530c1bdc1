"""What every refusal of a weights file must look like."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mmnet_np.weights.errors import WeightsError


@contextmanager
def refused(*words: object) -> Iterator[None]:
    """Expect a WeightsError of one printable line that holds all of ``words``."""
    with pytest.raises(WeightsError) as caught:
        yield
    message = str(caught.value)
    assert type(caught.value) is WeightsError
    assert message.isprintable() and 10 < len(message) < 1500, message
    for word in words:
        assert str(word) in message, message


def refused_or_fine(call, *arguments) -> object:
    """Return the result of a call that may only return or raise a well-formed WeightsError."""
    try:
        return call(*arguments)
    except WeightsError as error:
        assert str(error).isprintable() and len(str(error)) < 1500
        return None
