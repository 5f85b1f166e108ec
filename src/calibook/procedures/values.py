"""Values for a procedure: checked all together, and the JSON Schema that says the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from calibook.errors import BadParameter
from calibook.procedures.notebook import Procedure
from calibook.procedures.parameters import INT_MAX, INT_MIN, LONGEST_LIST, Parameter, nearest

_JSON_TYPES = {"int": "integer", "float": "number", "str": "string", "bool": "boolean"}
# The characters that `Parameter.check` refuses in a text.
_UNPRINTABLE = "[\\u0000-\\u001f\\u007f-\\u009f\\u2028\\u2029\\ud800-\\udfff]"


def check_values(procedure: Procedure, given: Mapping[str, Any]) -> dict[str, Any]:
    """Typed values of all user parameters, in declared order; defaults where none is given.

    given: values by parameter name, as text or typed.
    Raises BadParameter with one line per problem: unknown, missing, not allowed.
    """
    parameters = procedure.user_parameters
    problems = [_unknown(name, parameters) for name in given if name not in parameters]
    values: dict[str, Any] = {}
    for name, parameter in parameters.items():
        if name in given:
            try:
                values[name] = parameter.check(given[name])
            except BadParameter as error:
                problems.append(str(error))
        elif parameter.required:
            problems.append(f"{parameter.option}: is required ({_described(parameter)})")
        else:
            default = parameter.default
            values[name] = list(default) if parameter.is_list else default
    if problems:
        raise BadParameter("\n".join(problems))
    return values


def _described(parameter: Parameter) -> str:
    return ", ".join(filter(None, [parameter.meaning, parameter.allowed]))


def _unknown(name: str, parameters: Mapping[str, Parameter]) -> str:
    close = nearest(name, parameters)
    hint = f"; did you mean {parameters[close].option}?" if close else ""
    return f"--{name.replace('_', '-')}: there is no such parameter{hint}"


def json_schema(procedure: Procedure) -> dict[str, Any]:
    """JSON Schema (2020-12) that accepts what `check_values` accepts as typed values.

    Two things a schema can't see: check_values takes text for a number too, and
    tells 1.0 from 1 (only the latter is a whole number).
    """
    parameters = procedure.user_parameters
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": procedure.title or procedure.name,
        "description": procedure.about,
        "type": "object",
        "properties": {name: _property(parameter) for name, parameter in parameters.items()},
        "required": [name for name, parameter in parameters.items() if parameter.required],
        "additionalProperties": False,
    }


def _property(parameter: Parameter) -> dict[str, Any]:
    unit = f" [{parameter.unit}]" if parameter.unit else ""
    schema: dict[str, Any] = {"description": parameter.meaning + unit}
    if parameter.is_list:
        schema |= {"type": "array", "items": _item(parameter), "maxItems": LONGEST_LIST}
        if parameter.required:
            schema["minItems"] = 1
    else:
        schema |= _item(parameter)
        if parameter.required and parameter.type == "str":
            schema["minLength"] = 1
    if not parameter.required:
        schema["default"] = parameter.default
    return schema


def _item(parameter: Parameter) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": _JSON_TYPES[parameter.item_type]}
    if parameter.choices:
        return schema | {"enum": list(parameter.choices)}
    if parameter.item_type == "str":
        schema["not"] = {"pattern": _UNPRINTABLE}
    if parameter.item_type == "int":
        schema |= {"minimum": INT_MIN, "maximum": INT_MAX}
    if parameter.low is not None:
        schema["exclusiveMinimum" if parameter.low_open else "minimum"] = parameter.low
    if parameter.high is not None:
        schema["exclusiveMaximum" if parameter.high_open else "maximum"] = parameter.high
    return schema
