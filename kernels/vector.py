"""A small vocabulary for emitting LLVM vector IR: vectors of eight float32, loads, FMA, loops.

LLVM lowers the same IR to AVX2, AVX-512 and NEON (two registers for each vector of eight).
`Emitter` is what float32 and integer vectors (`integer_vector`) have in common.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["LANES", "Emitter", "Vectors"]

LANES = 8


class Emitter:
    """Emits instructions into one intrinsic's body.

    Parameters
    ----------
    context, builder, signature, arguments
        What Numba hands to an intrinsic's code generator. Array arguments are flat.
    """

    def __init__(self, context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        from llvmlite import ir

        self._ir = ir
        self._context, self._builder = context, builder
        self._signature, self._arguments = signature, arguments

    def index(self, value: int) -> Any:
        """Return a constant of the index type."""
        return self._ir.Constant(self._ir.IntType(64), value)

    def pointer(self, position: int, offset: Any) -> Any:
        """Return the address of an element of the array that is argument ``position``."""
        array_type = self._signature.args[position]
        array = self._context.make_array(array_type)(
            self._context, self._builder, self._arguments[position]
        )
        return self._builder.gep(array.data, [offset])

    def splat(self, scalar: Any, lanes: int = LANES) -> Any:
        """Repeat a scalar in all lanes."""
        vector = self._ir.VectorType(scalar.type, lanes)
        undefined = self._ir.Constant(vector, self._ir.Undefined)
        mask = self._ir.Constant(self._ir.VectorType(self._ir.IntType(32), lanes), [0] * lanes)
        first = self._builder.insert_element(undefined, scalar, self.index(0))
        return self._builder.shuffle_vector(first, undefined, mask)

    @contextmanager
    def loop(self, count: Any, carried: list[Any] | None = None) -> Iterator[Any]:
        """Emit a loop over ``range(count)``, count at least 1; give the loop's index.

        ``carried`` holds initial values of loop-carried vectors. Inside the ``with`` its items are
        the current values; assign the next ones to them. After it they are the final ones.
        """
        builder = self._builder
        carried = [] if carried is None else carried
        entry = builder.block
        body = builder.append_basic_block("loop")
        done = builder.append_basic_block("done")
        builder.branch(body)
        builder.position_at_end(body)
        index = builder.phi(self._ir.IntType(64))
        index.add_incoming(self.index(0), entry)
        phis = [builder.phi(value.type) for value in carried]
        for phi, value in zip(phis, carried, strict=True):
            phi.add_incoming(value, entry)
        carried[:] = phis
        yield index
        following = builder.add(index, self.index(1))
        index.add_incoming(following, builder.block)
        for phi, value in zip(phis, carried, strict=True):
            phi.add_incoming(value, builder.block)
        builder.cbranch(builder.icmp_signed("<", following, count), body, done)
        builder.position_at_end(done)


class Vectors(Emitter):
    """Vectors of eight float32; arguments as for `Emitter`, its arrays float32."""

    def __init__(self, context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        super().__init__(context, builder, signature, arguments)
        from llvmlite import ir
        from numba.core import cgutils

        self._vector = ir.VectorType(ir.FloatType(), LANES)
        self._fma = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(self._vector, [self._vector] * 3),
            f"llvm.fma.v{LANES}f32",
        )
        self.zero = ir.Constant(self._vector, [0.0] * LANES)

    def load(self, base: Any, offset: Any = None) -> Any:
        """Load eight floats at ``base + offset`` elements; no alignment is assumed."""
        return self._builder.load(self._address(base, offset), align=4)

    def store(self, value: Any, base: Any, offset: Any = None) -> None:
        """Store eight floats."""
        self._builder.store(value, self._address(base, offset), align=4)

    def _address(self, base: Any, offset: Any) -> Any:
        if offset is not None:
            base = self._builder.gep(base, [offset])
        return self._builder.bitcast(base, self._vector.as_pointer())

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """Return a * b + c, rounded once."""
        return self._builder.call(self._fma, [a, b, c])

    def clamp(self, value: Any, low: Any, high: Any) -> Any:
        """Clamp; "value < low ? low : value" lets a NaN through, as numpy.clip does."""
        builder = self._builder
        value = builder.select(builder.fcmp_ordered("<", value, low), low, value)
        return builder.select(builder.fcmp_ordered(">", value, high), high, value)
