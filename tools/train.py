"""Train a network: ``python -m mmnet_np.tools.train --data DIR --out RUN``.

The folder RUN holds, after each epoch, ``best.h5`` and ``last.h5`` (weights that every command
takes), ``log.csv``, ``curves.png`` and ``mattes.png`` to look at meanwhile, and ``state.npz``, from
which ``--resume`` goes on to the same bits. Each file is written whole or not at all.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmnet_np._version import __version__
from mmnet_np.command import complain, guarded, positive
from mmnet_np.spec import VARIANTS

if TYPE_CHECKING:
    from mmnet_np.dataset import Pair
    from mmnet_np.model import Matting
    from mmnet_np.training.run import Run, Settings

__all__ = ["main"]

COMMAND = "train"
RECIPE_NAMES = ("fast", "finetune", "quantize", "paper")
AUGMENTATION_NAMES = ("balanced", "gentle", "paper", "plain", "robust")
CALIBRATED = 64  # images, for int8


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; those of the process by default.

    Returns
    -------
    int
        0; 1 if data, weights or output cannot be used, 2 for unusable options, 130 after Ctrl-C.

    Raises
    ------
    SystemExit
        From argparse: code 2 for wrong options, 0 for ``--help`` and ``--version``.
    """
    args = _parser().parse_args(argv)
    return guarded(COMMAND, lambda: _run(args))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mmnet_np.tools.train",
        description="Train MMNet on photos with mattes. See docs/training.md.",
    )
    add = parser.add_argument
    add(
        "--data",
        metavar="DIR",
        type=Path,
        required=True,
        help="folder with train/image/NAME.jpg, train/mask/NAME.png and, if there is one, val/;"
        " without val, every tenth photo is kept aside for it",
    )
    add("--out", metavar="RUN", type=Path, required=True, help="folder for what comes of it")
    add("--width", metavar="W", type=float, default=1.0, help="width multiplier; default: 1.0")
    add("--size", metavar="S", type=positive, default=256, help="input size; default: 256")
    add("--variant", choices=VARIANTS, default="full", help="an ablation of the paper's table 4")
    add(
        "--recipe",
        choices=RECIPE_NAMES,
        help="fast: ours (default); finetune: default with --init; quantize: from trained weights"
        " to int8 ones; paper: the paper's",
    )
    add("--epochs", metavar="N", type=positive, help="default: the recipe's")
    add("--batch", metavar="N", type=positive, help="images in a batch; default: the recipe's")
    add("--rate", metavar="R", type=float, help="peak learning rate; default: the recipe's")
    add("--augment", choices=AUGMENTATION_NAMES, help="default: the recipe's")
    add("--dropout", metavar="P", type=float, default=0.0, help="after encoder blocks; default: 0")
    add("--init", metavar="FILE", help="weights to start from, or name of a model in the package")
    add("--resume", action="store_true", help="go on with the run in RUN, to the same bits")
    add("--threads", metavar="N", type=positive, help="default: all CPUs")
    add("--seed", metavar="N", type=int, default=0, help="default: 0")
    add("--quiet", action="store_true", help="no progress bar and no line for each epoch")
    add("--version", action="version", version=f"mmnet-np {__version__}")
    return parser


def _run(args: argparse.Namespace) -> int:
    from mmnet_np.dataset import problems
    from mmnet_np.metrics import RADIUS
    from mmnet_np.training.run import Run, Settings

    run = Run(args.out)
    settings = run.settings() if args.resume else _settings(args, Settings)
    train, val = settings.split(args.data)
    if wrong := problems([*train, *val], smallest=2 * RADIUS + 1):
        for problem in wrong:
            complain(COMMAND, problem)
        return 1
    return _train(run, settings, train, val, args)


def _settings(args: argparse.Namespace, kind: type[Settings]) -> Settings:
    from mmnet_np.training.recipes import RECIPES

    name = args.recipe or ("finetune" if args.init else "fast")
    recipe = RECIPES[name]
    return kind(
        width=args.width,
        size=args.size,
        variant=args.variant,
        recipe=name,
        epochs=args.epochs or recipe.epochs,
        batch=args.batch or recipe.batch,
        seed=args.seed,
        init=args.init,
        rate=args.rate,
        dropout=args.dropout,
        augment=args.augment,
    )


def _train(
    run: Run, settings: Settings, train: list[Pair], val: list[Pair], args: argparse.Namespace
) -> int:
    import time
    from itertools import islice

    from mmnet_np.model import Matting
    from mmnet_np.progress import Progress
    from mmnet_np.training.augment import AUGMENTATIONS
    from mmnet_np.training.batches import Batches

    from .evaluate import evaluate

    # The augmenting threads hold the interpreter's lock for up to this long while the network's
    # kernels wait for it between layers. With Python's 5 ms an epoch takes a third longer.
    sys.setswitchinterval(0.0005)
    recipe = settings.the_recipe()
    repeat = settings.repeat(len(train))
    with Batches(
        train,
        settings.size,
        settings.batch,
        seed=settings.seed,
        augment=AUGMENTATIONS[recipe.augment],
        repeat=repeat,
        workers=args.threads or 2,
    ) as batches:
        trainer = settings.trainer(len(batches), args.threads)
        if not args.resume:
            run.create(settings)
        history = run.restore(trainer)
        if not history:
            count = -(-CALIBRATED // settings.batch)
            trainer.prepare(image for image, _ in islice(batches.epoch(0), count))
        for epoch in range(len(history), settings.epochs):
            began = time.monotonic()
            label = f"epoch {epoch + 1}/{settings.epochs}"
            losses = []
            with Progress(len(batches) * settings.batch, label, quiet=args.quiet) as bar:
                for image, truth in batches.epoch(epoch):
                    losses.append(trainer.step(image, truth)["total"])
                    bar.label = f"{label}  loss {losses[-1]:.4f}"
                    bar.step(settings.batch)
            weights = run.weights(settings, trainer, history)
            model = Matting(weights, backend="auto", threads=args.threads, images=10**6)
            figures = evaluate(model, val, metrics=("mad", "gradient_error"), refine=False)
            row = {
                "epoch": epoch + 1,
                "loss": sum(losses) / len(losses),
                **{name: sum(values) / len(values) for name, values in figures.items()},
                "seconds": round(time.monotonic() - began, 1),
            }
            history.append(row)
            run.save(settings, trainer, history)
            _pictures(run, model, val, history)
            if not args.quiet:
                print(
                    f"{label}  loss {row['loss']:.4f}  mad {row['mad']:.5f}  "
                    f"gradient_error {row['gradient_error']:.6f}  {row['seconds']:.0f} s",
                    file=sys.stderr,
                    flush=True,
                )
    print(run.best)
    return 0


def _pictures(run: Run, model: Matting, val: list[Pair], history: list[dict[str, float]]) -> None:
    """Draw the curves, and the mattes of a few validation photos spread over the split."""
    import numpy as np
    from PIL import Image

    from mmnet_np.images import open_mask, open_photo
    from mmnet_np.output import save_image

    from .curves import curves
    from .sheet import Row, contact_sheet

    named = {name: [row[name] for row in history] for name in ("loss", "mad", "gradient_error")}
    save_image(curves(named), run.folder / "curves.png", overwrite=True)
    rows = []
    for pair in val[:: max(1, len(val) // 6)][:6]:
        photo, truth = open_photo(pair.image), open_mask(pair.mask)
        alpha = model.predict_uint8(photo)
        error = float(np.abs(alpha / 255.0 - truth / 255.0).mean())
        pictures = (photo, Image.fromarray(truth), Image.fromarray(alpha))
        rows.append(Row(f"{pair.name}  MAD {error:.4f}", pictures))
    sheet = contact_sheet(("photo", "truth", "ours"), [(f"epoch {len(history)}", rows)])
    save_image(sheet, run.folder / "mattes.png", overwrite=True)


if __name__ == "__main__":
    raise SystemExit(main())
