"""Random sequences of commands on two stores, compared with a model after each step, on both databases."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from bsv_store_synthetic import SyntheticServer
from tests.client_defaults import client_defaults
from tests.reliability.campaigns import campaign
from tests.reliability.machine import Environment, StoreMachine
from tests.reliability.machine_stores import fill_first, fill_other
from tests.reliability.model import Upstream
from tests.stores import Templates

# Steps of one sequence: long enough for backups, deletions and crashes to meet.
_STEPS = 40


@pytest.fixture(scope="module")
def upstream() -> Upstream:
    """What Allen offers."""
    return Upstream()


@pytest.fixture
def server(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> Iterator[SyntheticServer]:
    """Allen's server, which does not fail."""
    defaults = client_defaults()
    monkeypatch.setitem(defaults, "backoff_s", 0)
    with SyntheticServer(upstream) as running:
        yield running
        assert running.errors == []


@pytest.mark.filterwarnings("ignore::bsv_store.errors.BsvStoreWarning")
def test_every_sequence_of_commands_does_what_the_model_says(
    database: str,
    templates: Templates,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    upstream: Upstream,
    server: SyntheticServer,
) -> None:
    filled = [templates.template(fill, database, request, server, upstream) for fill in (fill_first, fill_other)]
    with campaign("state-machine", part=database, share=0.5) as trials:

        class Machine(StoreMachine):
            environment = Environment(request, tmp_path, upstream, server, filled, trials)

        steps = min(_STEPS, trials.size)
        run = settings(
            max_examples=math.ceil(trials.size / steps),
            stateful_step_count=steps,
            deadline=None,
            derandomize=False,
            database=None,
            print_blob=True,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )
        run_state_machine_as_test(hypothesis.seed(trials.seed)(Machine), settings=run)
