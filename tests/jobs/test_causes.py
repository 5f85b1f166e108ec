"""Every cause that an error can give a task is a state that status and documentation know."""

from __future__ import annotations

import pytest

from calibook import errors
from calibook.jobs.slurm.ends import _STATES
from calibook.jobs.slurm.retry import CLUSTER, ON_REQUEST
from calibook.jobs.state import STATES


@pytest.mark.parametrize(
    "error",
    [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)],
)
def test_the_cause_of_an_error_is_a_state(error):
    assert error.cause in STATES


def test_what_schedulers_do_and_what_is_tried_again_are_states():
    assert {*CLUSTER, *ON_REQUEST, *(state for _, state, _ in _STATES.values())} <= set(STATES)
