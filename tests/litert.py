"""TensorFlow Lite models, run in memory: the oracle whose arithmetic shares no code with ours.

`Model` writes them; what it writes is held against Google's own reader of such files in
`tests/weights/test_flatbuffer.py`. Importing this module skips the tests of the importer where
LiteRT is not installed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from numpy.typing import NDArray

from mmnet_np.weights.tflite_writer import Model, Quantization

pytest.importorskip(
    "ai_edge_litert", reason="ai-edge-litert is not installed: no TensorFlow Lite oracle"
)

from ai_edge_litert.interpreter import Interpreter, OpResolverType

__all__ = ["Model", "Quantization", "details", "intermediates", "run"]


def run(model: bytes, inputs: Sequence[NDArray], *, reference: bool = True) -> list[NDArray]:
    """Run a model once, on one thread.

    Parameters
    ----------
    model : bytes
        From `Model.build`.
    inputs : sequence of arrays
        In the order in which the model's inputs were added, of their shapes and dtypes.
    reference : bool
        Run the plain loops that define the operators. If false, run what a user gets by default,
        which is faster and, in int8, allowed to differ: no oracle.

    Returns
    -------
    list of arrays
        In the order given to `Model.build`.
    """
    interpreter = _interpreter(model, reference=reference)
    _run(interpreter, inputs)
    return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]


def intermediates(model: bytes, *inputs: NDArray) -> dict[str, NDArray]:
    """Run a model in the reference kernels; return every tensor by its name."""
    interpreter = _interpreter(model, experimental_preserve_all_tensors=True)
    _run(interpreter, inputs)
    return {
        detail["name"]: interpreter.get_tensor(detail["index"])
        for detail in interpreter.get_tensor_details()
    }


def details(model: bytes) -> list[dict[str, Any]]:
    """Return what LiteRT knows of each tensor."""
    return _interpreter(model).get_tensor_details()


def _interpreter(model: bytes, *, reference: bool = True, **options: Any) -> Interpreter:
    resolver = OpResolverType.BUILTIN_REF if reference else OpResolverType.AUTO
    interpreter = Interpreter(
        model_content=model, num_threads=1, experimental_op_resolver_type=resolver, **options
    )
    interpreter.allocate_tensors()
    return interpreter


def _run(interpreter: Interpreter, inputs: Sequence[NDArray]) -> None:
    for detail, array in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(detail["index"], array)
    interpreter.invoke()
