"""What can compute a network's layers: our two backends, and TensorFlow Lite's reference kernels.

Each computes a whole network layer by layer (``whole``), and single layers fed with inputs of their
own (``apart``), so that what is wrong in one layer shows in that layer alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mmnet_np.dtypes import Float32, Int8
from mmnet_np.engine import Engine
from mmnet_np.errors import OptionError
from mmnet_np.graph import Filtered, Graph, Input, Softmax, build, shapes
from mmnet_np.spec import Spec
from mmnet_np.tflite_export import export
from mmnet_np.threads import Bands
from mmnet_np.weights import store

__all__ = ["Computer", "Feeds", "LiteRT", "Ours", "Outputs", "has_litert"]

Feeds = Mapping[str, Sequence[NDArray]]
"""Layer name to what the layer reads, (1, h, w, C) arrays."""

Outputs = dict[str, NDArray]
"""Layer name to the layer's output, (1, h, w, C)."""


class Computer(Protocol):
    """Something that computes layers; ``name`` is how a report calls it."""

    name: str

    def whole(self, x: NDArray) -> Outputs:
        """Run the network on (1, h, w, 3)."""

    def apart(self, feeds: Feeds, size: int) -> Outputs:
        """Run single layers, of a network whose input has this side."""


class Ours:
    """One of our backends, ``"numpy"`` or ``"numba"``."""

    def __init__(self, name: str, graph: Graph, parameters: Float32 | Int8) -> None:
        self.name = name
        self.graph = graph
        self._network = parameters.network if isinstance(parameters, Int8) else None
        self.engine = Engine(graph, parameters.parameters, parameters.backend(name, Bands(1)))

    def whole(self, x: NDArray) -> Outputs:
        """Run the network."""
        found = {"input": x}
        with self.engine.workspace(*x.shape[1:3]) as workspace:
            workspace.input[...] = x
            workspace.run(lambda name, value: found.update({name: value.copy()}))
        return found

    def apart(self, feeds: Feeds, size: int) -> Outputs:
        """Run single layers, each step of the engine by itself."""
        found: Outputs = {}
        with self.engine.workspace(size, size) as workspace:
            for step in workspace.steps:
                name = step.layers[0]
                if len(step.layers) > 1 or name not in feeds:
                    continue
                for source, x in zip(self.graph[name].inputs, feeds[name], strict=True):
                    workspace.value(source)[...] = x
                step.run()
                found[name] = workspace.value(name).copy()
        return found

    def integers(self) -> dict[str, dict[str, NDArray]]:
        """Return what the kernels of each int8 layer hold, by layer and name."""
        if self._network is None:
            return {}
        backend: Any = self.engine.backend
        return {
            layer.name: backend.held(
                layer,
                self.engine.prepared[layer.name],
                self._network.quantizations[layer.inputs[0]].zero_point,
            )
            for layer in self.graph
            if isinstance(layer, Filtered | Softmax)
        }


def has_litert() -> bool:
    """Say whether TensorFlow Lite's interpreter is installed."""
    try:
        import ai_edge_litert.interpreter  # noqa: F401
    except ImportError:
        return False
    return True


class LiteRT:
    """TensorFlow Lite's reference kernels, given our network or a model of the same network.

    Parameters
    ----------
    name : str
    stored : store.Weights
    model : bytes, optional
        A model whose tensors are to be looked at, in place of one that we export. It cannot be fed
        layer by layer.
    tensors : mapping of str to int, optional
        Layer name to the number of its tensor in the model; by name if not given.
    """

    def __init__(
        self,
        name: str,
        stored: store.Weights,
        model: bytes | None = None,
        tensors: Mapping[str, int] | None = None,
    ) -> None:
        self.name = name
        self._stored, self._model, self._tensors = stored, model, tensors
        self._graph = build(Spec.from_dict(stored.spec))
        self._interpreters: dict[tuple[int, bool], Any] = {}

    def whole(self, x: NDArray) -> Outputs:
        """Run the network."""
        interpreter = self._interpreter(x.shape[1], apart=False)
        _invoke(interpreter, [x])
        numbers = self._tensors or {
            detail["name"]: detail["index"] for detail in interpreter.get_tensor_details()
        }
        return {layer.name: interpreter.get_tensor(numbers[layer.name]) for layer in self._graph}

    def apart(self, feeds: Feeds, size: int) -> Outputs:
        """Run single layers; those without a feed get zeros, and their results are left out."""
        if self._model is not None:
            return {}
        shape, dtype = shapes(self._graph, size, size), np.dtype(self._stored.dtype)
        inputs: list[NDArray] = []
        layers = [layer for layer in self._graph if not isinstance(layer, Input)]
        for layer in layers:
            zeros = [np.zeros((1, *shape[name]), dtype) for name in layer.inputs]
            inputs += feeds.get(layer.name, zeros)
        interpreter = self._interpreter(size, apart=True)
        _invoke(interpreter, inputs)
        outputs = interpreter.get_output_details()
        return {
            layer.name: interpreter.get_tensor(detail["index"])
            for layer, detail in zip(layers, outputs, strict=True)
            if layer.name in feeds
        }

    def _interpreter(self, size: int, apart: bool) -> Any:
        """Return an interpreter of our model of this input size, or of the one that was given."""
        key = size, apart
        if key not in self._interpreters:
            model = self._model or export(self._stored, size, apart=apart)
            self._interpreters[key] = _interpreter_of(model)
        return self._interpreters[key]


def _interpreter_of(model: bytes) -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType
    except ImportError:
        raise OptionError(
            "TensorFlow Lite is not installed: pip install 'mmnet-np[tflite]'"
        ) from None
    interpreter = Interpreter(
        model_content=model,
        num_threads=1,
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    return interpreter


def _invoke(interpreter: Any, inputs: Sequence[NDArray]) -> None:
    for detail, array in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(detail["index"], array)
    interpreter.invoke()
