"""How far TensorFlow Lite's faster kernels are from its reference ones, on the example photo.

    python tests/compare_resolvers.py INT8.h5

Prints what share of values differ from ours: of each kind of layer when it is fed with the right
inputs, and of alpha after the whole network. Makes the table in docs/bit-exact.md.
"""

import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from mmnet_np.graph import Input
from mmnet_np.tflite_export import export
from mmnet_np.verification.inputs import photo
from mmnet_np.verification.subject import Subject
from mmnet_np.weights import store

RESOLVERS = {
    "reference": OpResolverType.BUILTIN_REF,
    "optimized": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    "XNNPACK": OpResolverType.AUTO,
}


def run(model, inputs, resolver):
    """All outputs of a model."""
    interpreter = Interpreter(
        model_content=model, num_threads=1, experimental_op_resolver_type=resolver
    )
    interpreter.allocate_tensors()
    for detail, array in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(detail["index"], array)
    interpreter.invoke()
    return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]


def difference(ours, theirs):
    """Absolute differences of int8 arrays."""
    return np.abs(ours.astype(int) - theirs)


def main(path):
    """Print the shares."""
    subject = Subject(store.load(path))
    size, graph = subject.spec.size, subject.graph
    ours = subject.backends[0].whole(photo(size))
    layers = [layer for layer in graph if not isinstance(layer, Input)]
    inputs = [ours[name] for layer in layers for name in layer.inputs]
    whole, apart = (export(subject.stored, size, apart=flag) for flag in (False, True))
    for name, resolver in RESOLVERS.items():
        print(name)
        kinds = {}
        for layer, theirs in zip(layers, run(apart, inputs, resolver), strict=True):
            found = kinds.setdefault(type(layer).__name__, [])
            found.append(difference(ours[layer.name], theirs).reshape(-1))
        (theirs,) = run(whole, [photo(size)], resolver)
        kinds["alpha"] = [difference(ours[graph.output][..., 1], theirs[..., 1]).reshape(-1)]
        for kind, found in kinds.items():
            values = np.concatenate(found)
            print(f"  {kind:<12} {(values > 0).mean():9.4%} differ, by up to {values.max()}")


if __name__ == "__main__":
    main(sys.argv[1])
