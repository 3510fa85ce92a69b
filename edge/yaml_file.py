"""YAML files with errors that name the line: found, expected, how to mend."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from edge.errors import ConfigError

Model = TypeVar("Model", bound=BaseModel)


def load_yaml(path: Path, model: type[Model]) -> Model:
    """Reads ``path`` into ``model``; raises ConfigError with one line per mistake, each with its place."""
    text = _read(path)
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        raise ConfigError(
            f"{place}: not YAML: {getattr(error, 'problem', error)}; check indentation, colons and quotes there"
        ) from error
    if not isinstance(data, dict):
        raise ConfigError(
            f"{path}: found {type(data).__name__}, expected keys such as 'camera:'; copy examples/demo.yaml"
        )
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(path, root, model, item) for item in error.errors())) from error


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); expected a line file such as examples/demo.yaml"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start}); save it as UTF-8") from error


def _explain(path: Path, root: yaml.Node | None, model: type[BaseModel], item: Any) -> str:
    keys = [key for key in item["loc"] if not _is_union_tag(root, item["loc"], key)]
    line = _line_of(root, keys)
    name = ".".join(str(key) for key in keys) or "the file"
    if item["type"] == "extra_forbidden":
        known = _known_keys(model, item["loc"])
        near = difflib.get_close_matches(str(keys[-1]), known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"known here: {', '.join(known)}"
        return f"{path}:{line}: {name}: unknown key; {hint}"
    if item["type"] == "missing":
        return f"{path}:{line}: {name}: missing; add it (edge check --schema describes every key)"
    found = item["input"]
    shown = f"found {found!r}, " if isinstance(found, (str, int, float, bool, type(None))) else ""
    return f"{path}:{line}: {name}: {shown}expected: {item['msg'].removeprefix('Value error, ')}"


def _is_union_tag(root: yaml.Node | None, loc: Sequence[Any], key: Any) -> bool:
    """Pydantic puts the tag of a discriminated union into the path; the file has no such key."""
    position = list(loc).index(key)
    if position == 0:
        return False
    node = _node_at(root, loc[:position])
    if not isinstance(node, yaml.MappingNode) or position == len(loc) - 1:
        return False
    kind = next((v.value for k, v in node.value if k.value == "kind"), None)
    return bool(kind == key)


def _node_at(node: yaml.Node | None, keys: Sequence[Any]) -> yaml.Node | None:
    for key in keys:
        if isinstance(node, yaml.MappingNode):
            node = next((value for name, value in node.value if name.value == key), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
            node = node.value[key]
        else:
            return None
    return node


def _line_of(root: yaml.Node | None, keys: Sequence[Any]) -> int:
    """Line of the key, or of the closest place above that exists."""
    line = 1
    node = root
    for key in keys:
        if isinstance(node, yaml.MappingNode):
            pair = next(((k, v) for k, v in node.value if k.value == key), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
            node = node.value[key]
            line = node.start_mark.line + 1
    return line


def _known_keys(model: type[BaseModel], loc: Sequence[Any]) -> list[str]:
    """Keys that the section of ``loc`` knows, from the JSON schema."""
    schema = model.model_json_schema()
    definitions = schema.get("$defs", {})

    def resolve(part: dict[str, Any], key: Any) -> dict[str, Any]:
        if "$ref" in part:
            part = definitions[part["$ref"].rsplit("/", 1)[1]]
        for option in part.get("anyOf", []) + part.get("oneOf", []):
            found = resolve(option, key)
            if found:
                return found
        if part.get("properties", {}).get("kind", {}).get("const") == key:
            return part
        if isinstance(key, int) and "items" in part:
            return dict(part["items"])
        return dict(part.get("properties", {}).get(key, {}))

    def properties(part: dict[str, Any]) -> list[str]:
        if "$ref" in part:
            part = definitions[part["$ref"].rsplit("/", 1)[1]]
        nested = [
            name for option in part.get("anyOf", []) + part.get("oneOf", []) for name in properties(option)
        ]
        return sorted({*part.get("properties", {}), *nested})

    part = schema
    for key in loc[:-1]:
        part = resolve(part, key)
    return properties(part)
