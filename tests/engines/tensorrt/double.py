"""A strict double of TensorRT's Python API, generated from what seven releases themselves say of it.

It knows names, signatures, property kinds and types, and nothing else: an unknown attribute, a write to a read-only
property, a wrong number, name or type of arguments, a subclass that does not call its base's constructor, or an
overridden method of another arity fails as the bindings would. What methods *do* is given by the test as behaviours,
whose results must be of the documented kind. It says nothing about what TensorRT computes.
"""

import inspect
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

FACTS = Path(__file__).parents[2] / "data" / "tensorrt"
VERSIONS = ("8.5.2.2", "8.6.0", "10.3.0", "10.7.0", "10.13.3.9", "10.16.1.11", "11.4.0.106")
Behaviours = dict[str, Callable[..., Any]]
_BUFFERS = (bytes, bytearray, memoryview)
_SIMPLE: dict[str, Callable[[Any], bool]] = {
    "int": lambda value: isinstance(value, (int, np.integer)) and not isinstance(value, bool),
    "float": lambda value: isinstance(value, (int, float, np.floating)) and not isinstance(value, bool),
    "str": lambda value: isinstance(value, str),
    "bool": lambda value: isinstance(value, bool),
    "buffer": lambda value: isinstance(value, _BUFFERS),
    "bytes": lambda value: isinstance(value, bytes),
    "object": lambda value: True,
    "handle": lambda value: True,
    "?": lambda value: True,
    "None": lambda value: value is None,
    "tuple": lambda value: isinstance(value, tuple),
    "list": lambda value: isinstance(value, list),
    "slice": lambda value: isinstance(value, slice),
    "memoryview": lambda value: isinstance(value, memoryview),
    "numpy.ndarray": lambda value: isinstance(value, np.ndarray),
    "capsule": lambda value: False,
    "function": callable,
}
_ALIASES = {
    "typing.SupportsInt": "int",
    "typing.SupportsFloat": "float",
    "typing_extensions.Buffer": "buffer",
    "typing_extensions.CapsuleType": "capsule",
    "collections.abc.Callable": "function",
}
_BASES = (
    (r"^I.*Layer$", "ILayer"),
    (r"^IInt8.*Calibrator2?$", "IInt8Calibrator"),
    (r"^Logger$", "ILogger"),
    (r"^Dims(2|3|4|HW)$", "Dims"),
)
_PROTOCOL = ("__len__", "__getitem__")
_ZERO = {"int": 0, "float": 0.0, "str": "", "bool": False}


@dataclass(frozen=True)
class Parameter:
    name: str
    type: str
    optional: bool


@dataclass(frozen=True)
class Signature:
    parameters: tuple[Parameter, ...]
    returns: str

    @staticmethod
    def parse(text: str) -> "Signature":
        match = re.match(r"^(?:\d+\. )?\w+\((.*)\) -> (.+)$", text)
        assert match, text
        parameters = []
        for part in _split(match[1]):
            name, _, rest = part.partition(": ")
            kind, equals, _default = rest.partition(" = ")
            parameters.append(Parameter(name.strip(), kind.strip(), bool(equals)))
        return Signature(tuple(p for p in parameters if p.name != "self"), match[2].strip())


def _split(text: str) -> list[str]:
    """At the commas outside brackets and default values."""
    parts, depth, start = [], 0, 0
    for index, char in enumerate(text):
        depth += char in "[<(" and not (char == ">" and text[index - 1] == "-")
        depth -= char in "]>)"
        if char == "," and depth == 0:
            parts.append(text[start:index])
            start = index + 1
    return [part.strip() for part in [*parts, text[start:]] if part.strip()]


class _Meta(type):
    """What pybind11 checks of a subclass: that it called the constructor of its base."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        instance = super().__call__(*args, **kwargs)
        if not getattr(instance, "_constructed", False):
            raise TypeError(f"{cls.__name__}.__init__() must be called when overriding __init__")
        return instance


class EnumValue:
    """An enum value of the bindings: ``int()``, ``name``, ``value``, equality; no arithmetic, no ordering."""

    def __init__(self, owner: str, name: str, value: int) -> None:
        self._owner, self.name, self.value = owner, name, value

    def __int__(self) -> int:
        return self.value

    __index__ = __int__

    def __repr__(self) -> str:
        return f"<{self._owner}.{self.name}: {self.value}>"


class Double:
    """One release of the module ``tensorrt``. ``calls``: every method called, as ``Class.method``, in order."""

    def __init__(self, version: str, behaviours: Behaviours | None = None) -> None:
        self.facts: dict[str, Any] = json.loads((FACTS / f"tensorrt-{version}.json").read_text())
        self.behaviours = behaviours or {}
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.writes: list[tuple[str, Any]] = []
        self.classes: dict[str, Any] = {}
        for name in self.facts:
            if not name.startswith("<"):
                self._class(name)
        if "ILogger.Severity" in self.classes:
            self.classes["ILogger"].Severity = self.classes["ILogger.Severity"]
        unknown = [key for key in self.behaviours if not self._is_method(key)]
        assert not unknown, f"behaviours of methods that this release does not have: {unknown}"

    @property
    def module(self) -> Any:
        """What ``import tensorrt`` gives."""
        return _Module(self)

    def make(self, name: str) -> Any:
        """An instance that only the library itself makes, such as an ICudaEngine."""
        instance = self.classes[name].__new__(self.classes[name])
        object.__setattr__(instance, "_constructed", True)
        object.__setattr__(instance, "_values", {})
        return instance

    def host_memory(self, content: bytes) -> Any:
        """An IHostMemory with this content."""
        memory = self.make("IHostMemory")
        memory.extend(content)
        return memory

    def call_back(self, instance: Any, method: str, *args: Any) -> Any:
        """Calls a method that a subclass overrides, as the library would. An arity that differs fails."""
        base = next(c for c in type(instance).__mro__ if c in self.classes.values())
        signature = Signature.parse(self.facts[base.__name__][method][0])
        assert len(args) == len(signature.parameters), f"the library passes {len(signature.parameters)}"
        inspect.signature(getattr(instance, method)).bind(*args)
        return getattr(instance, method)(*args)

    def _is_method(self, key: str) -> bool:
        owner, _, name = key.rpartition(".")
        return isinstance(self.facts.get(owner, {}).get(name), list)

    def _class(self, name: str) -> Any:
        if name in self.classes:
            return self.classes[name]
        members = self.facts[name]
        if any(isinstance(value, int) for value in members.values()):
            self.classes[name] = self._enum(name, members)
            return self.classes[name]
        base_name = next((b for p, b in _BASES if re.match(p, name) and b != name and b in self.facts), None)
        base = self._class(base_name) if base_name else object
        body: dict[str, Any] = {"__setattr__": self._setter(name)}
        constructors = [Signature.parse(text) for text in members.get("__init__", [])]
        body["__init__"] = self._constructor(name, constructors)
        for member, kind in members.items():
            if isinstance(kind, str) and kind.startswith(("ro ", "rw ")):
                body[member] = self._property(name, member, kind)
            elif isinstance(kind, list) and (not member.startswith("__") or member in _PROTOCOL):
                body[member] = self._method(name, member, kind)
        if name == "IHostMemory":
            base = _HostBytes
        self.classes[name] = _Meta(name, (base,), body)
        return self.classes[name]

    def _enum(self, name: str, members: dict[str, Any]) -> Any:
        owner = type(name, (EnumValue,), {})
        for key, value in members.items():
            if isinstance(value, int):
                setattr(owner, key, owner(name, key, value))
        return owner

    def _constructor(self, name: str, signatures: list[Signature]) -> Callable[..., None]:
        def construct(instance: Any, *args: Any, **kwargs: Any) -> None:
            if not signatures:
                raise TypeError(f"tensorrt.{name}: No constructor defined!")
            self._match(f"{name}.__init__", signatures, args, kwargs)
            object.__setattr__(instance, "_constructed", True)
            object.__setattr__(instance, "_values", {})
            object.__setattr__(instance, "_arguments", args)
            self.calls.append((name, args))

        return construct

    def _setter(self, name: str) -> Callable[[Any, str, Any], None]:
        def write(instance: Any, key: str, value: Any) -> None:
            if type(instance) in self.classes.values() and not isinstance(
                getattr(type(instance), key, None), property
            ):
                raise AttributeError(f"'tensorrt.{name}' object has no attribute '{key}'")
            object.__setattr__(instance, key, value)

        return write

    def _property(self, owner: str, name: str, kind: str) -> property:
        access, _, declared = kind.partition(" ")

        def get(instance: Any) -> Any:
            if name in instance._values:
                return instance._values[name]
            if declared in _ZERO:
                return _ZERO[declared]
            kind = self.classes.get(self._short(declared))
            if kind is not None and issubclass(kind, EnumValue):
                return min((v for v in vars(kind).values() if isinstance(v, EnumValue)), key=int)
            return None

        def put(instance: Any, value: Any) -> None:
            self._expect(f"{owner}.{name}", declared, value)
            instance._values[name] = value
            self.writes.append((f"{owner}.{name}", value))

        return property(get, put if access == "rw" else None)

    def set(self, instance: Any, name: str, value: Any) -> None:
        """What the library itself writes, read-only properties included."""
        kind = self.facts[type(instance).__name__][name]
        self._expect(name, kind.partition(" ")[2], value)
        instance._values[name] = value

    def _method(self, owner: str, name: str, texts: list[str]) -> Callable[..., Any]:
        signatures = [Signature.parse(text) for text in texts if "->" in text]
        key = f"{owner}.{name}"

        def method(instance: Any, *args: Any, **kwargs: Any) -> Any:
            signature, values = self._match(key, signatures, args, kwargs)
            self.calls.append((key, values))
            if key in self.behaviours:
                result = self.behaviours[key](instance, *values)
            else:
                result = self._default(signature.returns)
            may_be_none = self._short(signature.returns) in self.classes  # a null pointer: it failed
            if not (may_be_none and result is None):
                self._expect(f"{key} → result", signature.returns, result)
            return result

        return method

    def _default(self, kind: str) -> Any:
        short = self._short(kind)
        if short in self.classes and not issubclass(self.classes[short], EnumValue):
            return self.make(short)
        return {**_ZERO, "bool": True}.get(_ALIASES.get(kind, kind))

    def _match(
        self, key: str, signatures: list[Signature], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Signature, tuple[Any, ...]]:
        why = []
        for signature in signatures:
            try:
                return signature, self._bind(key, signature, args, kwargs)
            except TypeError as error:
                why.append(str(error))
        raise TypeError(f"{key}(): incompatible arguments: {'; '.join(why)}")

    def _bind(
        self, key: str, signature: Signature, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Any, ...]:
        parameters = signature.parameters
        if len(args) > len(parameters):
            raise TypeError(f"{len(args)} arguments for {[p.name for p in parameters]}")
        values = dict(zip((p.name for p in parameters), args, strict=False))
        for name, value in kwargs.items():
            if name not in {p.name for p in parameters} or name in values:
                raise TypeError(f"argument '{name}' is unknown or given twice")
            values[name] = value
        for parameter in parameters:
            if parameter.name in values:
                self._expect(f"{key}({parameter.name})", parameter.type, values[parameter.name])
            elif not parameter.optional:
                raise TypeError(f"argument '{parameter.name}' is missing")
        return tuple(values[p.name] for p in parameters if p.name in values)

    def _expect(self, where: str, kind: str, value: Any) -> None:
        if not self._is(kind, value):
            raise TypeError(f"{where}: {value!r} is no {kind}")

    def _is(self, kind: str, value: Any) -> bool:
        kind = _ALIASES.get(kind.strip(), kind.strip())
        if kind in _SIMPLE:
            return _SIMPLE[kind](value) or (kind == "buffer" and isinstance(value, _HostBytes))
        sequence = re.match(r"^(?:List|list|collections\.abc\.Sequence)\[(.+)\]$", kind)
        if sequence:
            return isinstance(value, (list, tuple)) and all(self._is(sequence[1], item) for item in value)
        owner = self.classes.get(self._short(kind))
        assert owner is not None, f"the double does not know the type '{kind}'"
        return isinstance(value, owner)

    def _short(self, kind: str) -> str:
        """``tensorrt_bindings.tensorrt.ITensor``, ``nvinfer1::ITensor`` → ``ITensor``."""
        short = re.sub(r"^tensorrt(_bindings)?\.tensorrt\.", "", kind)
        short = re.sub(r"^(nvinfer1|nvonnxparser)::", "", short).replace("::", ".")
        return {"IEngineInspector": "EngineInspector", "IParserError": "ParserError"}.get(short, short)


class _HostBytes(bytearray):
    """Memory of the library: readable through the buffer protocol."""


class _Module:
    def __init__(self, double: Double) -> None:
        self._double = double
        self.__version__ = double.facts["<version>"]

    def __getattr__(self, name: str) -> Any:
        classes = self._double.classes
        if name in classes:
            return classes[name]
        raise AttributeError(f"module 'tensorrt' has no attribute '{name}'")
