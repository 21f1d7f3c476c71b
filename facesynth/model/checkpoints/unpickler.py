"""Reading pickles as data: a stream of opcodes in, plain values out; nothing that a file names is imported or called.

A pickle is a program for a small stack machine, and ``pickle.load`` calls any function that it names. The machine in this
module supports only the opcodes that saved weights use. Names are looked up in a fixed table of functions that build inert
values; any other name is refused. Attributes that a pickle sets on an object are stored as data or dropped.

The opcodes are documented in the standard library's :mod:`pickletools`, which also splits the stream into opcodes.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from typing import IO, Any, Protocol, cast

MAX_STEPS = 1_000_000
"""The most opcodes, plus items that they copy, that a pickle may have; a 1024 px generator and discriminator take 50 000."""
_LONGEST_INT = 16
_LONGEST_SHOWN = 80


class Refused(ValueError):  # noqa: N818 - the name states what happened to the file
    """A pickle requests something that reading weights does not need; the text follows "it" in a message."""


class Bytes(Protocol):
    """The stream that the machine reads from."""

    def read(self, size: int, /) -> bytes:
        """Up to ``size`` bytes."""

    def readline(self) -> bytes:
        """The rest of the line."""


class Named:
    """The table entry that a name in a pickle refers to.

    Attributes
    ----------
    module, name : str
        As stated in the file.
    build : callable or None
        Builds an inert value from the file's arguments. None for names that cannot be called, such as a dtype.
    """

    __slots__ = ("build", "module", "name")

    def __init__(self, module: str, name: str, build: Callable[..., Any] | None) -> None:
        self.module, self.name, self.build = module, name, build


class Attributes(dict[str, Any]):
    """The attributes of an object whose class is not available, such as the options of a program."""


class Ordered(dict[Any, Any]):
    """An ordered dict; attributes that the file sets on it are dropped."""


class Opaque:
    """A value that is only passed on to other entries, such as an array's dtype; attributes set on it are dropped."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class Settable:
    """A value whose pickled state is passed to it as data, for it to check."""

    __slots__ = ()

    def take(self, state: Any) -> None:
        """Set the value from its pickled state.

        Raises
        ------
        Refused
            If the state is something that weights do not need.
        ValueError, TypeError
            If the state is damaged.
        """
        raise NotImplementedError


class Table(dict[tuple[str, str], Callable[..., Any] | None]):
    """The names that a pickle may use, as (module, name), and the function that builds the value of each.

    Examples
    --------
    >>> table = Table({("collections", "OrderedDict"): Ordered})
    >>> table.find("os", "system")
    Traceback (most recent call last):
    facesynth.model.checkpoints.unpickler.Refused: names os.system, which weights have no use for; nothing of it was run
    """

    def find(self, module: Any, name: Any) -> Named:
        """The entry for a name.

        Raises
        ------
        Refused
            If the name is not in the table.
        """
        if not (isinstance(module, str) and isinstance(name, str)):
            raise Refused("names something by other than text")
        if (module, name) not in self:
            raise Refused(f"names {shown(f'{module}.{name}')}, which weights have no use for; nothing of it was run")
        return Named(module, name, self[module, name])


def shown(text: object) -> str:
    """Text from a file, made safe for one line of a message: printable ASCII, at most 80 characters."""
    line = "".join(c if c.isprintable() and c.isascii() else "?" for c in str(text)[: _LONGEST_SHOWN + 1])
    return line if len(line) <= _LONGEST_SHOWN else f"{line[:_LONGEST_SHOWN]}..."


def load(stream: Bytes, table: Table, persistent: Callable[[Any], Any] | None = None) -> Any:
    """The value that a pickle describes; afterwards the stream is positioned behind the pickle.

    Parameters
    ----------
    stream : Bytes
        Positioned at the first opcode. Its ``read`` must not allocate more bytes than the stream has left.
    table : Table
        The names that the pickle may use.
    persistent : callable, optional
        Returns the value of a persistent id. Without it, persistent ids are refused.

    Returns
    -------
    Any
        None, numbers, strings, bytes, lists, tuples, sets of strings, dicts with strings or integers as keys, values built by
        the table's functions, and :class:`Named` for names that are not called. Values may be shared and nested in any way.

    Raises
    ------
    Refused
        If the pickle requests something that reading weights does not need.
    ValueError, TypeError, KeyError, IndexError, OverflowError, AttributeError
        If the pickle is damaged.
    """
    machine = _Machine(table, persistent)
    for opcode, argument, _ in pickletools.genops(cast("IO[bytes]", stream)):
        machine.work(1)
        if opcode.name not in _ACTIONS:
            raise Refused(f"has the pickle opcode {opcode.name}, which weights have no use for; nothing of it was run")
        _ACTIONS[opcode.name](machine, argument)
    (value,) = machine.stack
    if machine.marked:
        raise ValueError("its last mark is never used")
    return value


class _Machine:
    """The stack, the stacks set aside by marks, and the memo."""

    def __init__(self, table: Table, persistent: Callable[[Any], Any] | None) -> None:
        self.table, self.persistent = table, persistent
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.steps = 0

    def work(self, steps: int) -> None:
        self.steps += steps
        if self.steps > MAX_STEPS:
            raise Refused(f"is a pickle of more than {MAX_STEPS} steps, far beyond what weights take")

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def mark(self, _: None) -> None:
        self.marked.append(self.stack)
        self.stack = []

    def since_mark(self) -> list[Any]:
        values, self.stack = self.stack, self.marked.pop()
        return values

    def top(self, kind: type) -> Any:
        if not isinstance(self.stack[-1], kind):
            raise TypeError(f"{type(self.stack[-1]).__name__} where a {kind.__name__} is needed")
        return self.stack[-1]

    def proto(self, version: int) -> None:
        if not 2 <= version <= 5:
            raise Refused(f"is a pickle of protocol {version}; needed: 2 to 5")

    def integer(self, value: int) -> None:
        if value.bit_length() > 8 * _LONGEST_INT:
            raise Refused("holds a number of more than 128 bits")
        self.push(value)

    def memoize(self, index: int | None) -> None:
        self.memo[len(self.memo) if index is None else index] = self.stack[-1]

    def recall(self, index: int) -> None:
        self.push(self.memo[index])

    def tuple_of(self, count: int) -> None:
        if len(self.stack) < count:
            raise IndexError("a tuple of more than there is")
        values = tuple(self.stack[-count:])
        del self.stack[-count:]
        self.push(values)

    def marked_tuple(self, _: None) -> None:
        self.push(tuple(self.since_mark()))

    def append(self, _: None) -> None:
        value = self.stack.pop()
        self.top(list).append(value)

    def appends(self, _: None) -> None:
        values = self.since_mark()
        self.top(list).extend(values)

    def add_items(self, _: None) -> None:
        values = self.since_mark()
        if not all(isinstance(value, str) for value in values):
            raise Refused("has a set of other than text")
        self.top(set).update(values)

    def set_item(self, _: None) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.fill(key, value)

    def set_items(self, _: None) -> None:
        values = self.since_mark()
        for key, value in zip(values[::2], values[1::2], strict=True):
            self.fill(key, value)

    def fill(self, key: Any, value: Any) -> None:
        if not isinstance(key, str | int):  # other types could have a hash that the file controls
            raise Refused(f"has a dict with a {type(key).__name__} as a key")
        self.top(dict)[key] = value

    def named(self, names: str) -> None:
        self.push(self.table.find(*names.split(" ", 1)))

    def stack_named(self, _: None) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.push(self.table.find(module, name))

    def call(self, _: None) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, Named) or function.build is None:
            what = f"{function.module}.{function.name}" if isinstance(function, Named) else type(function).__name__
            raise Refused(f"calls {shown(what)}, which makes no weights; nothing of it was run")
        if not isinstance(arguments, tuple):
            raise TypeError("arguments that are no tuple")
        self.work(sum(len(value) for value in arguments if isinstance(value, list | tuple | dict | set)))
        self.push(function.build(*arguments))

    def build(self, _: None) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, Attributes):
            self.work(len(state))
            for key, value in state.items():
                self.fill(key, value)
        elif isinstance(target, Settable):
            target.take(state)
        elif not isinstance(target, Ordered | Opaque):
            raise Refused(f"sets the state of a {type(target).__name__}, which weights have no use for; it was not set")

    def persistent_id(self, _: None) -> None:
        if self.persistent is None:
            raise Refused("refers to an object outside of it, which weights of this kind do not")
        self.push(self.persistent(self.stack.pop()))


def _ignore(_machine: _Machine, _argument: Any) -> None:
    pass


_ACTIONS: Mapping[str, Callable[[_Machine, Any], None]] = {
    "PROTO": _Machine.proto,
    "FRAME": _ignore,
    "STOP": _ignore,
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1", "LONG4"), _Machine.integer),
    **dict.fromkeys(
        (
            *("BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINSTRING", "SHORT_BINSTRING"),
            *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
        ),
        _Machine.push,
    ),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_SET": lambda machine, _: machine.push(set()),
    "MARK": _Machine.mark,
    "TUPLE": _Machine.marked_tuple,
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "APPEND": _Machine.append,
    "APPENDS": _Machine.appends,
    "ADDITEMS": _Machine.add_items,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
    "BINPUT": _Machine.memoize,
    "LONG_BINPUT": _Machine.memoize,
    "MEMOIZE": _Machine.memoize,
    "BINGET": _Machine.recall,
    "LONG_BINGET": _Machine.recall,
    "GLOBAL": _Machine.named,
    "STACK_GLOBAL": _Machine.stack_named,
    "REDUCE": _Machine.call,
    "NEWOBJ": _Machine.call,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.persistent_id,
}
"""The supported opcodes and their actions."""
