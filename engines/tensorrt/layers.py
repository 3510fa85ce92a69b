"""Which precision TensorRT really chose, layer by layer, and where that is not what the plan says."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from engines.errors import BuildError
from engines.precision import Precision

_KINDS = (
    ("int8", re.compile(r"int8", re.I)),
    ("bf16", re.compile(r"bf16|bfloat16", re.I)),
    ("fp16", re.compile(r"fp16|half|float16", re.I)),
    ("fp8", re.compile(r"fp8", re.I)),
    ("fp32", re.compile(r"fp32|float", re.I)),
    ("int32", re.compile(r"int32", re.I)),
)
_HIGHER: Mapping[str, int] = {"int8": 0, "fp8": 0, "fp16": 1, "bf16": 1, "fp32": 2}


@dataclass(frozen=True)
class Layer:
    """One layer of a built engine; it may hold several nodes of the graph."""

    name: str
    kind: str
    reads: str
    """Number format of its first input: what it computes in."""
    writes: str
    nodes: tuple[str, ...]


def read_layers(information: str) -> tuple[Layer, ...]:
    """From the JSON of TensorRT's engine inspector. Raises BuildError: an engine built without details."""
    try:
        found = json.loads(information)["Layers"]
    except (ValueError, KeyError, TypeError) as error:
        raise BuildError(
            f"the engine's own description cannot be read ({error}); build it again here"
        ) from error
    if any(isinstance(item, str) for item in found):
        raise BuildError("the engine was built without layer details; build it with 'edge engines build'")
    return tuple(
        Layer(
            name=str(item.get("Name", "")),
            kind=str(item.get("LayerType", "")),
            reads=_format(item.get("Inputs", [])),
            writes=_format(item.get("Outputs", [])),
            nodes=_nodes(str(item.get("Name", "")), str(item.get("Metadata", ""))),
        )
        for item in found
    )


def not_honoured(layers: tuple[Layer, ...], planned: Mapping[str, Precision]) -> list[str]:
    """A sentence for every planned node whose layer computes in less or more than the plan says.

    ``planned``: the nodes that have weights. A layer is found by the names of the nodes that were fused into it.
    """
    by_node = {node: layer for layer in layers for node in layer.nodes}
    said = []
    for node, wanted in planned.items():
        layer = by_node.get(node)
        if layer is None:
            said.append(f"{node}: planned {wanted}, no layer names it")
        elif layer.reads in _HIGHER and _HIGHER[layer.reads] != _HIGHER[wanted]:
            said.append(f"{node}: planned {wanted}, layer '{layer.name}' computes in {layer.reads}")
    return said


HeadPrecision = Literal["float32", "float16", "int8", "mixed", "unknown"]
_HEAD_NAMES: Mapping[str, HeadPrecision] = {"fp32": "float32", "fp16": "float16", "int8": "int8"}


def head_precision(layers: Sequence[Layer], head: Collection[str]) -> HeadPrecision:
    """What the layers that hold the nodes ``head`` compute in; ``unknown``: TensorRT names none of them."""
    found = {_HEAD_NAMES.get(layer.reads, "unknown") for layer in layers if set(layer.nodes) & set(head)}
    if len(found) > 1:
        return "mixed"
    return found.pop() if found else "unknown"


def _format(tensors: list[dict[str, object]]) -> str:
    if not tensors:
        return "-"
    text = str(tensors[0].get("Format/Datatype") or tensors[0].get("Datatype") or "")
    return next((kind for kind, pattern in _KINDS if pattern.search(text)), text or "-")


def _nodes(name: str, metadata: str) -> tuple[str, ...]:
    """TensorRT joins fused names with ' + '; from 8.6 on the metadata hold ``[ONNX Layer: node]``."""
    named = re.findall(r"\[ONNX Layer: ([^\]]+)\]", metadata)
    fused = re.split(r"\s*\+\s*|\s*\|\|\s*", re.sub(r"PWN\(|\)|\{ForeignNode\[|\]\}", "", name))
    return tuple(dict.fromkeys([*named, *(part.strip() for part in fused if part.strip())]))
