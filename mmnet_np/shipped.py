"""Names of the models that belong in the package, where ``--help`` finds them at once."""

__all__ = ["DEFAULT", "SHIPPED"]

SHIPPED = ("mmnet-1.00-256", "mmnet-1.00-128", "mmnet-1.00-256-int8", "mmnet-1.00-128-int8")
"""All of them."""

DEFAULT = {"float32": "mmnet-1.00-256", "int8": "mmnet-1.00-256-int8"}
"""The one that is taken when none is named, by dtype."""
