"""Runs a function block in Structured Text (IEC 61131-3): parsed by blark, translated to Python, types that wrap.

As much of the language as docs/plc/InspectGate.st uses; anything else is an error.
"""

from collections.abc import Callable
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
from blark import transform as st
from blark.parse import parse_source_code

TYPES: dict[str, Callable[[Any], Any]] = {
    "BOOL": bool,
    "UINT": lambda value: np.asarray(value).astype(np.uint16)[()],
    "UDINT": lambda value: np.asarray(value).astype(np.uint32)[()],
    "INT": lambda value: np.asarray(value).astype(np.int16)[()],
    "DINT": lambda value: np.asarray(value).astype(np.int32)[()],
}
FUNCTIONS = {"ABS": abs} | {
    f"{source}_TO_{target}": TYPES[target] for source in TYPES for target in TYPES if source != target
}
OPERATORS = {"AND": "and", "OR": "or", "MOD": "%", "/": "//", "=": "==", "<>": "!="} | {
    op: op for op in ("+", "-", "*", "<", ">", "<=", ">=")
}


class FunctionBlock:
    """Variables are attributes; a call is one cycle."""

    def __init__(self, path: Path) -> None:
        block = parse_source_code(path.read_text()).transform().items[0]
        self.__dict__["_types"] = {}
        for declarations in block.declarations:
            for item in declarations.items:
                self._declare(item)
        source = "def cycle(s):\n" + _statements(block.body.statements, 1)
        names: dict[str, Any] = dict(FUNCTIONS)
        exec(compile(source, str(path), "exec"), names)
        self.__dict__["_cycle"] = names["cycle"]

    def __setattr__(self, name: str, value: Any) -> None:
        self.__dict__[name] = self._types[name](value)

    def __call__(self) -> None:
        with np.errstate(over="ignore"):
            self._cycle(self)

    def _declare(self, item: Any) -> None:
        for variable in item.variables:
            name = str(variable.variable.name)
            if isinstance(item, st.ArrayVariableInitDeclaration):
                span = item.init.spec.subranges[0]
                kind = TYPES[str(item.init.spec.type.type_name)]
                size = int(str(span.stop.value)) - int(str(span.start.value)) + 1
                self.__dict__[name] = _Array(kind, size)
            else:
                self._types[name] = TYPES[str(item.init.spec.type)]
                initial = item.init.value
                setattr(self, name, eval(_expression(initial)) if is_dataclass(initial) else 0)


class _Array:
    def __init__(self, kind: Callable[[Any], Any], size: int) -> None:
        self._kind = kind
        self._values = [kind(0)] * size

    def __getitem__(self, index: int) -> Any:
        return self._values[index]

    def __setitem__(self, index: int, value: Any) -> None:
        self._values[index] = self._kind(value)


def _statements(nodes: Any, depth: int) -> str:
    """``nodes``: a statement list, or what blark makes of one: a list."""
    return "".join(_statement(node, depth) for node in getattr(nodes, "statements", nodes))


def _statement(node: Any, depth: int) -> str:
    pad = "    " * depth
    match node:
        case st.AssignmentStatement():
            return f"{pad}{_expression(node.variables[0])} = {_expression(node.expression)}\n"
        case st.IfStatement():
            text = f"{pad}if {_expression(node.if_expression)}:\n{_statements(node.statements, depth + 1)}"
            for other in node.else_ifs:
                text += f"{pad}elif {_expression(other.if_expression)}:\n"
                text += _statements(other.statements, depth + 1)
            if node.else_clause:
                text += f"{pad}else:\n{_statements(node.else_clause.statements, depth + 1)}"
            return text
        case st.ForStatement():
            name = _expression(node.control)
            first, last = _expression(node.from_), _expression(node.to)
            head = f"{pad}for index in range({first}, {last} + 1):\n{pad}    {name} = index\n"
            return head + _statements(node.statements, depth + 1)
    raise AssertionError(f"no translation for {node}")


def _expression(node: Any) -> str:
    match node:
        case st.SimpleVariable():
            return f"s.{node.name}"
        case st.MultiElementVariable():
            return f"s.{node.name.name}[int({_expression(node.elements[0].subscripts[0])})]"
        case st.Integer():
            return str(node.value)
        case st.Boolean():
            return str(node.value).capitalize()
        case st.BinaryOperation():
            return f"({_expression(node.left)} {OPERATORS[str(node.op)]} {_expression(node.right)})"
        case st.UnaryOperation():
            return f"({'not' if str(node.op) == 'NOT' else str(node.op)} {_expression(node.expr)})"
        case st.ParenthesizedExpression():
            return f"({_expression(node.expr)})"
        case st.FunctionCall():
            given = ", ".join(_expression(parameter.value) for parameter in node.parameters)
            return f"{node.name.name}({given})"
    raise AssertionError(f"no translation for {node}")
