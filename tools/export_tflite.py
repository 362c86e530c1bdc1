"""A weights file as a TensorFlow Lite model.

``python -m mmnet_np.tools.export_tflite WEIGHTS.h5 OUT.tflite [--size S]`` writes a standard model
of float32 or int8 weights, with built-in operators only. `mmnet_np.tools.convert` reads it back.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mmnet_np.command import emit, guarded, printable, spare

__all__ = ["main"]


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m mmnet_np.tools.export_tflite",
        description="Write a weights file as a TensorFlow Lite model, float32 or int8.",
    )
    parser.add_argument("weights", metavar="WEIGHTS", help="weights file, or name of a model here")
    parser.add_argument("target", metavar="OUT.tflite", help="model to write")
    parser.add_argument("--size", metavar="S", type=int, help="side of its input; default: its own")
    parser.add_argument("--overwrite", action="store_true", help="replace the model if it exists")
    options = parser.parse_args(argv)
    return guarded("export_tflite", lambda: _export(options))


def _export(options: argparse.Namespace) -> int:
    from mmnet_np.model import find_weights
    from mmnet_np.tflite_export import export
    from mmnet_np.weights import store
    from mmnet_np.weights.atomic import replacing

    target = Path(options.target)
    spare(target, options.overwrite)
    stored = store.load(find_weights(options.weights))
    data = export(stored, options.size)
    with replacing(target) as temporary:
        temporary.write_bytes(data)
    size = options.size or stored.spec["size"]
    emit(
        f"{printable(target)}: {printable(stored.name)}, {stored.dtype}, input {size} x {size}, "
        f"{len(data):,} bytes"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
