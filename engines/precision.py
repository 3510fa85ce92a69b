"""The precision plan: which nodes run in INT8, which in FP16 or FP32, as YAML beside the model."""

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

import onnx
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engines.errors import PlanError
from engines.graph import producers

Precision = Literal["int8", "fp16", "fp32"]
_WEIGHT_OPS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})


class Rule(BaseModel):
    """The last rule whose pattern matches a node's name decides."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    nodes: str = Field(min_length=1)
    """Shell pattern over node names, such as ``*/layer4/*``."""
    precision: Precision
    why: str = ""


class PrecisionPlan(BaseModel):
    """INT8 backbone, FP16 head, and what is kept higher because it was measured so."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    schema_version: Literal[1] = Field(default=1, alias="schema")
    backbone: Precision = "int8"
    head: Literal["auto"] | tuple[str, ...] = "auto"
    """``auto``, or patterns of node names."""
    head_precision: Literal["fp16", "fp32"] = "fp16"
    rules: tuple[Rule, ...] = ()
    calibration: Literal["entropy", "minmax", "percentile"] = "entropy"

    def resolve(self, model: onnx.ModelProto) -> dict[str, Precision]:
        """Precision of every node by name. Raises PlanError: a pattern that matches no node."""
        names = [node.name for node in model.graph.node]
        head = find_head(model) if self.head == "auto" else self._matching(names, self.head)
        chosen: dict[str, Precision] = {
            name: self.head_precision if name in head else self.backbone for name in names
        }
        for rule in self.rules:
            for name in self._matching(names, (rule.nodes,)):
                chosen[name] = rule.precision
        return chosen

    @staticmethod
    def _matching(names: list[str], patterns: tuple[str, ...]) -> set[str]:
        found: set[str] = set()
        for pattern in patterns:
            matches = {name for name in names if fnmatchcase(name, pattern)}
            if not matches:
                raise PlanError(
                    f"plan: pattern '{pattern}' matches none of {len(names)} nodes (first: {names[:3]}); "
                    "mend it, 'edge engines plan' lists the names"
                )
            found |= matches
        return found


def head_weights(model: onnx.ModelProto) -> set[str]:
    """Names of the head's nodes that have weights."""
    named = {node.name: node for node in model.graph.node}
    return {name for name in find_head(model) if named[name].op_type in _WEIGHT_OPS}


def find_head(model: onnx.ModelProto) -> set[str]:
    """Names of the nodes from each output back to, and with, the first layer that has weights.

    For a classifier that is the fully connected layer and the softmax, for a detector its last convolutions.
    """
    made_by = producers(model)
    head: set[str] = set()
    waiting = [made_by[item.name] for item in model.graph.output if item.name in made_by]
    while waiting:
        node = waiting.pop()
        if node.name in head:
            continue
        head.add(node.name)
        if node.op_type not in _WEIGHT_OPS:
            waiting.extend(made_by[name] for name in node.input if name in made_by)
    return head


def load_plan(path: Path) -> PrecisionPlan:
    """Raises PlanError with file, key, what was found and what was expected."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        return PrecisionPlan.model_validate(data)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise PlanError(f"{path}: cannot be read: {error}; make it with 'edge engines plan'") from error
    except ValidationError as error:
        lines = [
            f"{path}: {'.'.join(map(str, item['loc'])) or 'plan'}: found {str(item['input'])[:80]!r}, "
            f"expected: {item['msg']}"
            for item in error.errors()
        ]
        raise PlanError(
            "\n".join(lines) + "\nmend these keys, or make it with 'edge engines plan'"
        ) from error


def plan_yaml(plan: PrecisionPlan) -> str:
    """The plan as YAML, in the order of its fields."""
    return str(yaml.safe_dump(plan.model_dump(mode="json", by_alias=True), sort_keys=False))
