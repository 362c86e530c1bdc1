"""The layer table of a network and its totals.

``python -m mmnet_np.tools.summary [--width W] [--size S] [--variant V] [--json]``
"""

from __future__ import annotations

import argparse
import json
import math

from mmnet_np.command import emit, guarded
from mmnet_np.graph import Depthwise, Filtered, Resize, build, parameters, shapes
from mmnet_np.spec import VARIANTS, Spec

__all__ = ["main", "summarize"]


def summarize(spec: Spec) -> dict[str, object]:
    """Count a network.

    Parameters
    ----------
    spec : Spec

    Returns
    -------
    dict
        ``spec``; ``layers``, a list with ``name``, ``kind``, ``output`` (height, width,
        channels), ``variables`` and ``macs`` of each; ``variables``, all of them including batch
        norm statistics and the auxiliary head; ``macs``, multiply-accumulates of one inference,
        hence without that head.
    """
    graph, training = build(spec), build(spec, auxiliary=True)
    used = {layer.name for layer in graph}
    shape = shapes(training, spec.size, spec.size)
    rows: list[dict[str, object]] = []
    macs = 0
    for layer in training:
        count = layer.macs(shape[layer.name])
        if layer.name in used:
            macs += count
        kind = type(layer).__name__.lower()
        if isinstance(layer, Filtered):
            kind += f" s{layer.stride}" if layer.stride > 1 else ""
            if isinstance(layer, Depthwise) and layer.dilation > 1:
                kind += f" d{layer.dilation}"
            kind += " relu6" if layer.relu6 else ""
        elif isinstance(layer, Resize):
            kind += f" x{layer.factor}"
        rows.append(
            {
                "name": layer.name,
                "kind": kind,
                "output": list(shape[layer.name]),
                "variables": sum(math.prod(s) for s in layer.parameters().values()),
                "macs": count,
                "training_only": layer.name not in used,
            }
        )
    variables = sum(math.prod(s) for s in parameters(training).values())
    return {"spec": spec.as_dict(), "layers": rows, "variables": variables, "macs": macs}


def _table(summary: dict) -> str:
    lines = [f"{'layer':<44} {'kind':<20} {'output':>14} {'variables':>10} {'macs':>12}"]
    for row in summary["layers"]:
        output = " x ".join(map(str, row["output"]))
        name = row["name"] + (" (training only)" if row["training_only"] else "")
        lines.append(
            f"{name:<44} {row['kind']:<20} {output:>14} {row['variables']:>10,} {row['macs']:>12,}"
        )
    lines.append(f"{'variables':<44} {summary['variables']:,}")
    lines.append(f"{'macs':<44} {summary['macs']:,}")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m mmnet_np.tools.summary",
        description="Print the layers of an MMNet, its variables and its multiply-accumulates.",
    )
    parser.add_argument("--width", type=float, default=1.0, help="width multiplier (default 1.0)")
    parser.add_argument("--size", type=int, default=256, help="side of the input (default 256)")
    parser.add_argument(
        "--variant", choices=VARIANTS, default="full", help="an ablation of table 4"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(argv)

    def body() -> int:
        summary = summarize(Spec(options.width, options.size, options.variant))
        emit(json.dumps(summary, indent=1) if options.json else _table(summary))
        return 0

    return guarded("summary", body)


if __name__ == "__main__":
    raise SystemExit(main())
