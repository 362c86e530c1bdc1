"""A stand-in for the network: takes brightness for opacity, so that every result is known."""

import numpy as np

from mmnet_np import model


class FakeModel:
    """What the commands use of `mmnet_np.model.Matting`."""

    name, size, width, dtype, backend = "fake", 256, 1.0, "float32", "numpy"

    def predict_uint8(self, image, *, refine=True, refocus=False):
        return np.asarray(image.convert("L"))

    def look(self, photo, shape=None):
        return np.asarray(photo, np.float32) / 255, self.predict(photo)

    def predict(self, image, *, refine=True, refocus=False):
        return self.predict_uint8(image).astype(np.float32) / 255


def install(monkeypatch, fake=None):
    """Let `mmnet_np.model.load` give a fake; return the fake and the list of calls to `load`."""
    fake, calls = fake or FakeModel(), []

    def load(weights=None, **options):
        calls.append((weights, options))
        return fake

    monkeypatch.setattr(model, "load", load)
    return fake, calls
