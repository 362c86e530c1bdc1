"""A pickle machine for PyTorch state dicts that cannot import, call or allocate at will.

A pickle is a program for a stack machine. Restricting ``pickle.Unpickler.find_class`` would stop
foreign calls, but not the machine itself: ``LONG_BINPUT`` with a large index makes CPython's
unpickler reserve a memo of that size, ``BINBYTES8`` a buffer of any declared size, ``INT`` parses
decimal text in quadratic time. A state dict needs some thirty of the seventy opcodes, each a line
or two, so they are written out here, and what is not written cannot happen. Work and memory are
proportional to the pickle's length, which the caller bounds.

Reference: the opcode descriptions in CPython's Lib/pickletools.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .errors import WeightsError
from .files import shown
from .pickle_machine import Global, Machine, StorageRef, TensorRef

__all__ = ["interpret"]

RANK_LIMIT = 8
ORDERED_DICT = Global("collections", "OrderedDict")
TENSOR = Global("torch._utils", "_rebuild_tensor_v2")
PARAMETER = Global("torch._utils", "_rebuild_parameter")
STORAGES = tuple(
    Global("torch", f"{kind}Storage")
    for kind in ("Float", "Double", "Half", "BFloat16", "Long", "Int")
)
ALLOWED = {ORDERED_DICT, TENSOR, PARAMETER, *STORAGES}


def interpret(program: bytes) -> Any:
    """Run a pickle and return what it describes.

    Parameters
    ----------
    program : bytes
        A pickle of protocol 2 to 5. The caller bounds its length.

    Returns
    -------
    object
        Dicts with str or int keys, lists, tuples, text, numbers, None, and `TensorRef` for
        each tensor. It may contain itself.

    Raises
    ------
    WeightsError
        The pickle is damaged, or asks for anything a state dict does not need.
    """
    machine = Machine(program)
    while True:
        opcode = machine.take(1)
        if opcode == b".":
            return machine.pop()
        action = ACTIONS.get(opcode)
        if action is None:
            raise WeightsError(
                f"its pickle uses opcode 0x{opcode[0]:02x}, which a state dict does not need"
            )
        action(machine)


def _push(read: Callable[[Machine], Any]) -> Callable[[Machine], object]:
    """Return an action that pushes what ``read`` returns."""
    return lambda machine: machine.stack.append(read(machine))


def _put(index: Callable[[Machine], int]) -> Callable[[Machine], object]:
    """Return an action that keeps the top of the stack in the memo under ``index``."""

    def action(machine: Machine) -> None:
        value = machine.pop()
        machine.stack.append(value)
        machine.memo[index(machine)] = value

    return action


def _get(machine: Machine, index: int) -> Any:
    if index not in machine.memo:
        raise WeightsError(f"its pickle recalls value {index}, which it never kept")
    return machine.memo[index]


def _global(module: Any, name: Any) -> Global:
    if type(module) is not str or type(name) is not str:
        raise WeightsError("its pickle refers to something by other than text")
    found = Global(module, name)
    if found not in ALLOWED:
        raise WeightsError(
            f"its pickle refers to {shown(f'{module}.{name}')}, which a state dict does not need; "
            "save model.state_dict() alone"
        )
    return found


def _stack_global(machine: Machine) -> None:
    name = machine.pop()
    machine.stack.append(_global(machine.pop(), name))


def _long(machine: Machine) -> int:
    count = machine.number("<B")
    if count > 9:  # 9 bytes hold every unsigned 64-bit number
        raise WeightsError("its pickle holds a number of more than 64 bits")
    return int.from_bytes(machine.take(count), "little", signed=True)


def _tuple(count: int) -> Callable[[Machine], object]:
    def action(machine: Machine) -> None:
        values = [machine.pop() for _ in range(count)]
        machine.stack.append(tuple(reversed(values)))

    return action


def _append(machine: Machine, values: list[Any]) -> None:
    machine.top(list).extend(values)


def _set_items(machine: Machine, values: list[Any]) -> None:
    target = machine.top(dict)
    if len(values) % 2:
        raise WeightsError("its pickle holds a key without a value")
    for key, value in zip(values[::2], values[1::2], strict=True):
        if type(key) is not str and type(key) is not int:
            raise WeightsError(f"its pickle has a {type(key).__name__} as a key; expected text")
        target[key] = value


def _set_item(machine: Machine) -> None:
    value = machine.pop()
    _set_items(machine, [machine.pop(), value])


def _build(machine: Machine) -> None:
    machine.pop()  # attributes, such as a state dict's _metadata: not needed
    machine.top(dict)


def _persistent(machine: Machine) -> None:
    match machine.pop():
        case ("storage", Global("torch", kind), str(key), str(), int(length)):
            machine.stack.append(StorageRef(kind, key, length))
        case _:
            raise WeightsError("its pickle describes a storage in an unknown way")


def _reduce(machine: Machine) -> None:
    arguments = machine.pop()
    function = machine.pop()
    match function, arguments:
        case Global("collections", "OrderedDict"), ():
            result: Any = {}
        case (
            Global("torch._utils", "_rebuild_tensor_v2"),
            (StorageRef() as storage, int(offset), tuple(shape), tuple(strides), *_),
        ) if _small_integers(shape) and _small_integers(strides):
            result = TensorRef(storage, offset, shape, strides)
        case Global("torch._utils", "_rebuild_parameter"), (TensorRef() as tensor, *_):
            result = tensor
        case _:
            raise WeightsError("its pickle makes a call that a state dict does not need")
    machine.stack.append(result)


def _small_integers(values: tuple[Any, ...]) -> bool:
    # The length comes first: one tuple can be long and recalled from the memo many times.
    return len(values) <= RANK_LIMIT and all(type(value) is int for value in values)


ACTIONS: dict[bytes, Callable[[Machine], object]] = {
    b"\x80": lambda m: m.take(1),  # PROTO
    b"\x95": lambda m: m.take(8),  # FRAME: only a hint for buffering
    b"(": lambda m: m.marks.append(len(m.stack)),
    b"N": _push(lambda m: None),
    b"\x88": _push(lambda m: True),
    b"\x89": _push(lambda m: False),
    b"J": _push(lambda m: m.number("<i")),
    b"K": _push(lambda m: m.number("<B")),
    b"M": _push(lambda m: m.number("<H")),
    b"\x8a": _push(_long),
    b"G": _push(lambda m: m.number(">d")),
    b"X": _push(lambda m: m.text(m.number("<I"))),
    b"\x8c": _push(lambda m: m.text(m.number("<B"))),
    b")": _push(lambda m: ()),
    b"\x85": _tuple(1),
    b"\x86": _tuple(2),
    b"\x87": _tuple(3),
    b"t": _push(lambda m: tuple(m.pop_to_mark())),
    b"]": _push(lambda m: []),
    b"a": lambda m: _append(m, [m.pop()]),
    b"e": lambda m: _append(m, m.pop_to_mark()),
    b"}": _push(lambda m: {}),
    b"s": _set_item,
    b"u": lambda m: _set_items(m, m.pop_to_mark()),
    b"q": _put(lambda m: m.number("<B")),
    b"r": _put(lambda m: m.number("<I")),
    b"\x94": _put(lambda m: len(m.memo)),
    b"h": _push(lambda m: _get(m, m.number("<B"))),
    b"j": _push(lambda m: _get(m, m.number("<I"))),
    b"c": _push(lambda m: _global(m.line(), m.line())),
    b"\x93": _stack_global,
    b"Q": _persistent,
    b"b": _build,
    b"R": _reduce,
}
