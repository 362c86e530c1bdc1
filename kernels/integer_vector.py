"""The vocabulary of `vector` for integers: vectors of int8, int16, int32 or int64.

LLVM lowers it to AVX2, AVX-512 and NEON: `Integers.multiply_pairs` to ``vpmaddwd`` or to ``smull``
and ``addp``, a widened product to ``vpmuldq`` or ``smull``. Nothing saturates on the way, so every
sum is exact as long as it fits.
"""

from __future__ import annotations

from typing import Any

from .vector import LANES, Emitter

__all__ = ["Integers"]


class Integers(Emitter):
    """Integer vectors; arguments as for `Emitter`."""

    def vector(self, bits: int, lanes: int = LANES) -> Any:
        """Return the type of a vector of ``lanes`` integers of ``bits`` bits."""
        return self._ir.VectorType(self._ir.IntType(bits), lanes)

    def constant(self, value: int, bits: int, lanes: int = LANES) -> Any:
        """Return a vector that has one value in all lanes."""
        return self._ir.Constant(self.vector(bits, lanes), [value] * lanes)

    def load(self, base: Any, offset: Any = None, lanes: int = LANES) -> Any:
        """Load neighbours at ``base + offset`` elements; no more alignment than theirs."""
        bits = base.type.pointee.width
        return self._builder.load(self._address(base, offset, bits, lanes), align=bits // 8)

    def store(self, value: Any, base: Any, offset: Any = None) -> None:
        """Store a vector of the array's own element type."""
        bits = value.type.element.width
        address = self._address(base, offset, bits, value.type.count)
        self._builder.store(value, address, align=bits // 8)

    def _address(self, base: Any, offset: Any, bits: int, lanes: int) -> Any:
        if offset is not None:
            base = self._builder.gep(base, [offset])
        return self._builder.bitcast(base, self.vector(bits, lanes).as_pointer())

    def widen(self, value: Any, bits: int) -> Any:
        """Extend to more bits, keeping the sign."""
        return self._builder.sext(value, self.vector(bits, value.type.count))

    def narrow(self, value: Any, bits: int) -> Any:
        """Keep the lowest bits."""
        return self._builder.trunc(value, self.vector(bits, value.type.count))

    def at_least(self, value: Any, bound: Any) -> Any:
        """Return the larger of each pair of lanes."""
        return self._builder.select(self._builder.icmp_signed("<", value, bound), bound, value)

    def at_most(self, value: Any, bound: Any) -> Any:
        """Return the smaller of each pair of lanes."""
        return self._builder.select(self._builder.icmp_signed(">", value, bound), bound, value)

    def multiply_pairs(self, a: Any, b: Any) -> Any:
        """Multiply int16 lanes and add neighbours: int32 ``a[2i] * b[2i] + a[2i+1] * b[2i+1]``.

        LLVM finds the instruction in this form, all products first, and not in others.
        """
        product = self._builder.mul(self.widen(a, 32), self.widen(b, 32))
        lanes = a.type.count // 2
        parts = []
        for parity in (0, 1):
            mask = self._ir.Constant(self.vector(32, lanes), list(range(parity, 2 * lanes, 2)))
            parts.append(self._builder.shuffle_vector(product, product, mask))
        return self._builder.add(*parts)
