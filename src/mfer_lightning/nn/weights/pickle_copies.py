"""Count the elements copied by the calls in a pickle, without executing it.

A pickle needs only two bytes to refer to an object that it has already created. Constructors such as ``torch.Size`` and
``OrderedDict`` copy such an object at every call, so the memory may grow with the square of the file's size.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pickletools import OpcodeInfo, markobject
from typing import Any

#: Allowed functions that copy the elements of their arguments into their result.
COPYING = frozenset(
    [
        *("collections OrderedDict", "collections Counter", "torch Size"),
        *("_codecs encode", "builtins set", "__builtin__ set"),
    ]
)
_PUTS = frozenset(["PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"])
_GETS = frozenset(["GET", "BINGET", "LONG_BINGET"])
_TUPLES = frozenset(["TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_TUPLE"])
_ADDING = {"APPEND": 1, "APPENDS": 1, "ADDITEMS": 1, "SETITEM": 2, "SETITEMS": 2}


@dataclass(eq=False)
class _Object:
    """An object of the pickle: its elements or characters, the items of a tuple, and the name of a function."""

    size: int = 0
    items: list[_Object] = field(default_factory=list)
    name: str = ""


#: Shared by all pickles, and therefore never changed: the mark, numbers, and results of calls that copy nothing.
_MARK, _PLAIN, _RESULT = _SHARED = _Object(), _Object(), _Object()


class Copies:
    """A machine that follows the objects of a pickle and counts the elements that its calls copy.

    Attributes:
        total: copied elements so far; infinity if a call copies a tensor, whose size the pickle does not bound.
    """

    def __init__(self) -> None:
        self.total = 0.0
        self._stack: list[_Object] = []
        self._memo: dict[int, _Object] = {}

    def step(self, opcode: OpcodeInfo, argument: Any) -> None:
        """Follow an opcode; pass all of them in order.

        Args:
            opcode: as given by :func:`pickletools.genops`.
            argument: its argument, or None.

        Raises:
            ValueError: if the opcode needs objects that were not created.
        """
        try:
            self._step(opcode, argument)
        except (IndexError, KeyError):
            raise ValueError(f"the pickle is damaged: {opcode.name} refers to an object that does not exist") from None

    def _step(self, opcode: OpcodeInfo, argument: Any) -> None:
        name, stack = opcode.name, self._stack
        if name in _PUTS:
            self._memo[len(self._memo) if name == "MEMOIZE" else argument] = stack[-1]
        elif name in _GETS:
            stack.append(self._memo[argument])
        elif name == "MARK":
            stack.append(_MARK)
        elif name in ("REDUCE", "NEWOBJ"):
            arguments, function = stack.pop(), stack.pop()
            stack.append(self._call(function.name, arguments))
        elif name == "BUILD":
            state = stack.pop()
            self.total += state.size + sum(item.size for item in state.items)
        else:
            items = self._pop(opcode)
            if name in _ADDING:
                if stack[-1] not in _SHARED:  # torch rejects additions to such an object
                    stack[-1].size += len(items) // _ADDING[name]
            elif opcode.stack_after:
                stack.append(_made(name, argument, items))

    def _pop(self, opcode: OpcodeInfo) -> list[_Object]:
        """Remove the opcode's inputs from the stack and return them, without the object to which it adds."""
        stack, inputs = self._stack, len(opcode.stack_before) - (opcode.name in _ADDING)
        if markobject not in opcode.stack_before:
            items = [stack.pop() for _ in range(inputs)]
        else:
            items = []
            while (item := stack.pop()) is not _MARK:
                items.append(item)
        return items[::-1]

    def _call(self, function: str, arguments: _Object) -> _Object:
        copied = sum(item.size for item in arguments.items)
        self.total += copied
        if function not in COPYING:
            return _RESULT
        if any(item is _RESULT for item in arguments.items):
            self.total = float("inf")
        return _Object(copied)


def _made(name: str, argument: Any, items: list[_Object]) -> _Object:
    """Return the object that an opcode other than a call creates."""
    if name == "GLOBAL":
        return _Object(name=argument)
    if name in _TUPLES:
        return _Object(len(items), items)
    if isinstance(argument, str | bytes):
        return _Object(len(argument))
    return _Object(len(items)) if name in ("LIST", "DICT", "EMPTY_LIST", "EMPTY_DICT", "EMPTY_SET") else _PLAIN
