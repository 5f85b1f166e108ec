"""When two requests, or two tasks, are the same.

A request is its notebook, its parameters and its plan: the same command over
the same files with the same constants gives the same id, and continues.

A task is the notebook, the parameters, the conditions, and the task's own part
of the plan. All parameters count, as nothing tells which of them a task looks
at. What the plan says of other tasks does not count, nor how much memory or
time the task was expected to take.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from calibook.procedures.tasks import RESERVED, Plan, Task


def digest(content: Any) -> str:
    """SHA-256 of JSON values, whatever the order of the keys."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def request_id(notebook_hash: str, parameters: Mapping[str, Any], plan: Plan) -> str:
    """Identity of a request."""
    return digest([notebook_hash, without_reserved(parameters), plan.to_dict()])


class TaskKeys:
    """Identities of the tasks of a request: the same key over the same bytes gives the same bytes.

    What tasks have in common is hashed once, as there may be thousands.
    """

    def __init__(self, notebook_hash: str, parameters: Mapping[str, Any], plan: Plan):
        self._shared = digest([notebook_hash, without_reserved(parameters), plan.conditions])
        self._constants = [digest(constant) for constant in plan.constants]

    def of(self, task: Task) -> str:
        """Identity of one task."""
        constants = [self._constants[i] for i in task.constants]
        return digest([self._shared, task.about, task.inputs, task.outputs, constants])


def without_reserved(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that a user gave, without those that calibook fills in."""
    return {name: value for name, value in parameters.items() if name not in RESERVED}
