"""A run's folder: its settings, its weights, its log, and the state from which it resumes."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from mmnet_np._version import __version__
from mmnet_np.command import printable
from mmnet_np.dataset import Pair, pairs
from mmnet_np.errors import ImageError, MMNetError, OptionError, WeightsError
from mmnet_np.model import find_weights
from mmnet_np.spec import Spec
from mmnet_np.weights import store
from mmnet_np.weights.atomic import replacing

from .augment import AUGMENTATIONS
from .quantizing_trainer import QuantizingTrainer
from .recipes import RECIPES, Recipe
from .trainer import Trainer

__all__ = ["Run", "Settings"]

Row = dict[str, float]

_LICENCE = (
    "as the photos it was trained on allow; weights trained on research-only data are for research "
    "and non-commercial use"
)

_LONG_PROVENANCE = {"float32": 16_000, "int8": 1_000}
"""Characters; a weights file takes twice as many, and an int8 one is to stay below 400 kB."""

_LEAST_BATCHES = 16
"""An epoch of few photos shows each more than once, so that it has about so many batches."""


@dataclass(frozen=True)
class Settings:
    """What a run was started with; the same on `--resume`."""

    width: float
    size: int
    variant: str
    recipe: str
    epochs: int
    batch: int
    seed: int
    init: str | None = None
    rate: float | None = None
    dropout: float = 0.0
    augment: str | None = None

    def __post_init__(self) -> None:
        if self.recipe not in RECIPES:
            raise OptionError(f"there is no recipe {self.recipe!r}")
        if self.seed < 0:
            raise OptionError(f"seed is {self.seed}; it must be 0 or more")
        if self.rate is not None and not 0 < self.rate <= 1:  # NaN is not
            raise OptionError(f"the learning rate is {self.rate}; it must be above 0, at most 1")
        if not 0 <= self.dropout < 1:
            raise OptionError(f"dropout is {self.dropout}; it must be at least 0 and below 1")
        if self.augment not in (None, *AUGMENTATIONS):
            raise OptionError(f"there is no augmentation {self.augment!r}")
        if self.the_recipe().quantized:
            if self.init is None:
                raise OptionError("the recipe quantize starts from trained weights: give --init")
            if self.dropout:
                raise OptionError(f"dropout is {self.dropout}; the recipe quantize has none")
        self.spec()

    def spec(self) -> Spec:
        """Return the network that is trained."""
        return Spec(self.width, self.size, self.variant)

    def the_recipe(self) -> Recipe:
        """Return the recipe by its name, with what was given in place of its own."""
        recipe = RECIPES[self.recipe]
        return replace(
            recipe,
            peak=recipe.peak if self.rate is None else self.rate,
            augment=recipe.augment if self.augment is None else self.augment,
        )

    def repeat(self, photos: int) -> int:
        """Return how often an epoch shows each photo."""
        return max(1, -(-_LEAST_BATCHES * self.batch // photos)) if photos < 512 else 1

    def split(self, folder: Path) -> tuple[list[Pair], list[Pair]]:
        """Return the photos to train on and those to validate on.

        Without a ``val`` split, every tenth photo (at least one) is kept aside.
        """
        train = pairs(folder, "train")
        if (folder / "val" / "image").is_dir():
            return train, pairs(folder, "val")
        if len(train) < 2:
            raise ImageError(f"{printable(folder)}: training needs two photos or more")
        return [pair for k, pair in enumerate(train) if k % 10], train[::10]

    def origin(self, dtype: str) -> dict[str, object]:
        """Return name, digest and provenance of the weights that ``init`` names.

        A provenance that is long already, as after many runs one from another, is left out; what is
        long depends on the ``dtype`` of the file that is to keep it.
        """
        given = store.load(find_weights(self.init))
        told = {"provenance": dict(given.provenance)}
        return {
            "name": given.name,
            "digest": store.digest(given.tensors, given.spec),
            **(told if len(json.dumps(told)) < _LONG_PROVENANCE[dtype] else {}),
        }

    def trainer(self, batches: int, threads: int | None) -> Trainer:
        """Make the trainer, from ``init`` if that was given."""
        recipe = self.the_recipe()
        trainer = (QuantizingTrainer if recipe.quantized else Trainer)(
            self.spec(), recipe, batch=self.batch, steps=batches * self.epochs,
            seed=self.seed, threads=threads, dropout=self.dropout,
        )  # fmt: skip
        if self.init is not None:
            given = store.load(find_weights(self.init))
            if given.dtype != "float32":
                raise WeightsError(
                    f"{printable(self.init)} holds {given.dtype} weights; training starts from "
                    "float32 ones"
                )
            # Weights for inference have no auxiliary head: that one starts fresh.
            trainer.start_from({**trainer.variables.tensors(), **given.tensors})
        return trainer


def _leaf(path: str | None) -> str | None:
    """Return a file's name without the folders it is in, which concern nobody else."""
    return None if path is None else Path(path).name


def _columns(history: list[Row]) -> dict[str, list[float]]:
    """Return the log by columns: up to about 100 epochs of it, the last among them."""
    every = -(-len(history) // 100) or 1
    shown = history[::-every][::-1]
    figures = {
        name: [float(f"{row[name]:.4g}") for row in shown]
        for name in ("loss", "mad", "gradient_error")
    }
    return {"epoch": [int(row["epoch"]) for row in shown], **figures}


class Run:
    """The folder of a run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.best = folder / "best.h5"
        self._state = folder / "state.npz"
        self._settings = folder / "run.json"

    def create(self, settings: Settings) -> None:
        """Make the folder; an `OptionError` if there is a run in it already."""
        if self._settings.exists():
            raise OptionError(
                f"{printable(self.folder)} holds a run already: give --resume to go on with it"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        with replacing(self._settings) as path:
            path.write_text(json.dumps(asdict(settings), indent=1) + "\n")

    def settings(self) -> Settings:
        """Return what the run was started with."""
        try:
            given = json.loads(self._settings.read_text())
            return Settings(**{field.name: given[field.name] for field in fields(Settings)})
        except FileNotFoundError:
            raise OptionError(f"{printable(self.folder)} holds no run to resume") from None
        except MMNetError:
            raise
        except (ValueError, TypeError, KeyError):
            raise OptionError(f"{printable(self._settings)} is damaged") from None

    def weights(self, settings: Settings, trainer: Trainer, history: list[Row]) -> store.Weights:
        """Return the averaged weights with what is to be known about them."""
        name = f"mmnet-{settings.width:.2f}-{settings.size}"
        if trainer.dtype != "float32":
            name = f"{name}-{trainer.dtype}"
        return store.Weights(
            name=name,
            dtype=trainer.dtype,
            spec=settings.spec().as_dict(),
            tensors=trainer.tensors(),
            provenance={
                "trained_by": f"mmnet_np {__version__}",
                "settings": asdict(settings) | {"init": _leaf(settings.init)},
                "steps": trainer.done,
                "epochs": _columns(history),
                **({"started_from": settings.origin(trainer.dtype)} if settings.init else {}),
            },
            licence=_LICENCE,
        )

    def save(self, settings: Settings, trainer: Trainer, history: list[Row]) -> None:
        """Write weights, log and state after an epoch.

        The state comes last: if the machine stops before it is in place, the epoch is trained
        again, to the same bits, and writes the same files.
        """
        weights = self.weights(settings, trainer, history)
        store.save(self.folder / "last.h5", weights)
        if history[-1]["mad"] <= min(row["mad"] for row in history):
            store.save(self.best, weights)
        with replacing(self.folder / "log.csv") as path:
            text = io.StringIO()
            writer = csv.DictWriter(text, list(history[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(history)
            path.write_text(text.getvalue())
        with replacing(self._state) as path, path.open("wb") as file:
            arrays: dict[str, Any] = {"history": np.array(json.dumps(history)), **trainer.state()}
            np.savez(file, **arrays)

    def restore(self, trainer: Trainer) -> list[Row]:
        """Bring a trainer to where the run stands; return the log so far."""
        try:
            with np.load(self._state, allow_pickle=False) as state:
                trainer.restore({name: state[name] for name in state.files if name != "history"})
                return json.loads(str(state["history"]))
        except FileNotFoundError:
            return []
        except MMNetError:
            raise
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            raise WeightsError(f"{printable(self._state)} is damaged") from None
