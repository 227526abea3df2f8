"""Reads plain numbers out of a pickle file without running anything that is in it.

MixingSecrets' alignments are stored as pickles, and a pickle is a program: loading one may run any code. Here its
instructions are listed (`pickletools.genops` only lists) and carried out by a small stack machine, which knows
numbers, strings, bytes, lists, tuples, dicts, and numpy's scalars. Whatever else a file asks for is refused by name.

A small file may mean much: lists that hold each other double with every level. So instructions, values and levels are
counted, and nothing that is made of others is hashed or compared, which would walk through all of it.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mixgraph.names import shown_value

MAX_BYTES = 64 * 2**20
MAX_INSTRUCTIONS = 2_000_000
MAX_VALUES = 1_000_000
MAX_DEPTH = 50

_MARK = object()
_GLOBALS = {
    ("numpy.core.multiarray", "scalar"): "scalar",
    ("numpy._core.multiarray", "scalar"): "scalar",
    ("numpy", "dtype"): "dtype",
    ("_codecs", "encode"): "encode",  # how protocols below 3 write bytes
}
_LITERALS = frozenset(
    (
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
        *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "STRING", "SHORT_BINSTRING", "BINSTRING"),
    )
)
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_DTYPES = frozenset(("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"))


@dataclass(frozen=True)
class _Global:
    name: str


@dataclass
class _Dtype:
    code: str
    byte_order: str = "<"


class _Refused(ValueError):
    """A file asks for something that is not a plain value."""


def read_numbers(path: Path) -> Any:
    """Reads a pickle of numbers, strings, bytes, None, lists, tuples and dicts; numpy scalars come as Python's.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file holds anything else (the message names the instruction or the object), is damaged, or
            passes MAX_BYTES, MAX_INSTRUCTIONS, MAX_VALUES or MAX_DEPTH.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: file expected, got none")
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise ValueError(f"{path}: at most {MAX_BYTES} bytes are allowed, got {size}")
    try:
        return _run(path.read_bytes())
    except _Refused as error:
        raise ValueError(
            f"{path}: only numbers, strings, lists, tuples and dicts are allowed, got {error}. "
            "HINT: store the values as JSON"
        ) from error
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"{path}: a complete pickle expected, got a damaged one ({error!r})") from error


def _run(data: bytes) -> Any:
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    argument: Any
    for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
        name = opcode.name
        if count == MAX_INSTRUCTIONS:
            raise _Refused(f"more than {MAX_INSTRUCTIONS} instructions")
        if name in ("PROTO", "FRAME"):
            continue
        if name == "STOP":
            break
        if name in _LITERALS:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name == "MARK":
            stack.append(_MARK)
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            memo[int(argument)] = stack[-1]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[int(argument)])
        elif name == "GLOBAL":
            stack.append(_global(*argument.split(" ", 1)))
        elif name == "STACK_GLOBAL":
            attribute, module = stack.pop(), stack.pop()
            stack.append(_global(module, attribute))
        elif name in _ACTIONS:
            _ACTIONS[name](stack)
        else:
            raise _Refused(f"the instruction {name}")
    if len(stack) != 1:
        raise ValueError(f"one value expected at the end, got {len(stack)}")
    return _plain(stack[0], iter(range(MAX_VALUES)))


def _global(module: Any, attribute: Any) -> _Global:
    if not isinstance(module, str) or not isinstance(attribute, str):
        raise _Refused("an object whose name is no text")
    if (module, attribute) not in _GLOBALS:
        raise _Refused(f"the object {module}.{attribute}")
    return _Global(_GLOBALS[module, attribute])


def _plain(value: Any, budget: Iterator[int], depth: int = 0) -> Any:
    # A copy that holds no leftover of the machine (a dtype, a function's name). The budget stops a small file whose
    # lists hold each other many times over, the depth one whose lists hold themselves.
    if next(budget, None) is None:
        raise _Refused(f"more than {MAX_VALUES} values")
    if depth > MAX_DEPTH:
        raise _Refused(f"values nested more than {MAX_DEPTH} levels deep")
    if isinstance(value, dict):
        return {key: _plain(item, budget, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)([_plain(item, budget, depth + 1) for item in value])
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return value
    raise _Refused(f"a bare {type(value).__name__.strip('_').lower()}")


def _since_mark(stack: list[Any]) -> list[Any]:
    items: list[Any] = []
    while (item := stack.pop()) is not _MARK:
        items.append(item)
    return items[::-1]


def _set_items(target: dict[Any, Any], items: list[Any]) -> None:
    if not isinstance(target, dict):
        raise TypeError(f"dict expected, got {type(target).__name__}")
    for key in items[::2]:
        if not isinstance(key, (str, bytes, int, float, type(None))):
            raise _Refused(f"a {type(key).__name__} as a key")
    target.update(zip(items[::2], items[1::2], strict=True))


def _extend(target: list[Any], items: list[Any]) -> None:
    if not isinstance(target, list):
        raise TypeError(f"list expected, got {type(target).__name__}")
    target.extend(items)


def _make_dict(stack: list[Any]) -> None:
    items: dict[Any, Any] = {}
    _set_items(items, _since_mark(stack))
    stack.append(items)


def _set_item(stack: list[Any]) -> None:
    value, key = stack.pop(), stack.pop()
    _set_items(stack[-1], [key, value])


def _set_many(stack: list[Any]) -> None:
    items = _since_mark(stack)
    _set_items(stack[-1], items)


def _append(stack: list[Any]) -> None:
    item = stack.pop()
    _extend(stack[-1], [item])


def _append_many(stack: list[Any]) -> None:
    items = _since_mark(stack)
    _extend(stack[-1], items)


def _take_tuple(count: int) -> Callable[[list[Any]], None]:
    def take(stack: list[Any]) -> None:
        if len(stack) < count:
            raise IndexError(f"{count} values expected, got {len(stack)}")
        items = [stack.pop() for _ in range(count)]
        stack.append(tuple(items[::-1]))

    return take


def _reduce(stack: list[Any]) -> None:
    arguments, function = stack.pop(), stack.pop()
    if not isinstance(function, _Global) or not isinstance(arguments, tuple):
        raise _Refused("a call of something that is not a known function")
    if function.name == "dtype":
        code = arguments[0]
        if not isinstance(code, str) or code not in _DTYPES:
            raise _Refused(f"the numpy type {shown_value(code)}")
        stack.append(_Dtype(code))
    elif function.name == "encode":
        text, encoding = arguments
        if not isinstance(encoding, str) or encoding != "latin1":
            raise _Refused(f"the encoding {shown_value(encoding)}")
        stack.append(text.encode("latin1"))
    else:
        dtype, data = arguments
        if not isinstance(dtype, _Dtype) or not isinstance(data, bytes):
            raise _Refused("a numpy scalar of an unknown type")
        stack.append(np.frombuffer(data, dtype=dtype.byte_order + dtype.code, count=1)[0].item())


def _build(stack: list[Any]) -> None:
    state = stack.pop()
    target = stack[-1]
    order = state[1] if isinstance(state, tuple) else None
    if not isinstance(target, _Dtype) or not isinstance(order, str) or order not in ("<", ">", "|", "="):
        raise _Refused("the state of an object")
    target.byte_order = order


_ACTIONS: dict[str, Callable[[list[Any]], None]] = {
    "EMPTY_DICT": lambda stack: stack.append({}),
    "EMPTY_LIST": lambda stack: stack.append([]),
    "EMPTY_TUPLE": lambda stack: stack.append(()),
    "DICT": _make_dict,
    "LIST": lambda stack: stack.append(_since_mark(stack)),
    "TUPLE": lambda stack: stack.append(tuple(_since_mark(stack))),
    "TUPLE1": _take_tuple(1),
    "TUPLE2": _take_tuple(2),
    "TUPLE3": _take_tuple(3),
    "SETITEM": _set_item,
    "SETITEMS": _set_many,
    "APPEND": _append,
    "APPENDS": _append_many,
    "REDUCE": _reduce,
    "BUILD": _build,
}
