"""``python -m mmnet_np`` is ``python -m mmnet_np.infer``."""

import sys

from .infer import main

if __name__ == "__main__":
    sys.exit(main())
