"""The choices that a seed makes before the first step of a schedule."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.reliability.actors import Settings
from tests.reliability.scheduled_jobs import JOBS, Job, drawn

_ALL = frozenset(JOBS)
# Actors that share a topic meet more often.
_TOPICS: tuple[frozenset[str], ...] = (
    frozenset({"aggregate", "tag", "untag", "delete", "read", "collect"}),
    frozenset({"aggregate", "delete", "collect"}),
    frozenset({"fetch"}),
    frozenset({"fetch", "collect", "aggregate"}),
    frozenset({"fetch", "quota", "collect", "repair", "verify", "read", "sync", "aggregate"}),
    _ALL,
)
# Where an actor may be overtaken by others; the empty name is no stop.
_HOLDS = (
    "",
    "",
    "aggregate:computed",
    "version:published",
    "version:committed",
    "fetch:downloaded",
    "fetch:published",
    "fetch:committed",
    "trash:recorded",
    "delete:committed",
    "gc:files",
    "backup:database",
    "repair:quarantined",
    "quota:committed",
    "read:ended",
)


# Seconds by which the clocks may jump: less than a lease, more than one, more than any wait.
_JUMPS = (25.0, 61.0, 61.0, 7200.0)
_SHORT_JUMPS = (10.0, 25.0)


@dataclass
class Plan:
    """The choices that a seed makes before the first step.

    Attributes
    ----------
    scripts : list of list of Job
        Of each actor.
    settings : Settings
    damage : str or None
        The object of which a bit is flipped.
    kill, jump : float
        Probabilities at each step.
    stay : float
        Probability that an actor passes a stop.
    kills : int
        Maximum number.
    changes : bool
        Whether the Allen API gets another edition of the volumes.
    jumps : tuple of float
        Seconds by which the clocks may jump.
    """

    scripts: list[list[Job]]
    settings: Settings
    damage: str | None
    kill: float
    jump: float
    stay: float
    kills: int
    changes: bool
    jumps: tuple[float, ...] = _JUMPS

    @property
    def jobs(self) -> list[Job]:
        """Of all actors."""
        return [job for script in self.scripts for job in script]


def planned(generator: random.Random, seed: int) -> Plan:
    """Draw a plan."""
    topic = generator.choice(_TOPICS)
    scripts = [
        [drawn(generator, topic) for _ in range(generator.choice((1, 1, 2, 3)))]
        for _ in range(generator.choice((2, 2, 3, 3, 4, 5)))
    ]
    if topic == frozenset({"fetch"}) and generator.random() < 0.6:
        return _late(generator, seed) if generator.random() < 0.6 else _claimed(generator, seed)
    names = {job.name for script in scripts for job in script}
    changes = generator.random() < 0.3
    damage = None
    if "repair" in names and generator.random() < 0.5:
        # A version can be repaired only while its inputs are there.
        damage = "volume" if changes or "quota" in names else generator.choice(("volume", "version"))
    return Plan(
        scripts,
        Settings(
            seed,
            hosts=generator.random() < 0.3,
            transactions=generator.random() < 0.5,
            hold=generator.choice(_HOLDS),
        ),
        damage,
        kill=generator.choice((0.0, 0.0, 0.03, 0.1)),
        jump=generator.choice((0.0, 0.0, 0.03, 0.1)),
        stay=generator.choice((0.3, 0.7, 0.9, 0.95)),
        kills=generator.choice((1, 1, 2, 3)),
        changes=changes,
    )


def _late(generator: random.Random, seed: int) -> Plan:
    """A plan whose actors refresh the same volumes, while leases expire and the volumes change upstream."""
    positions = generator.choice(((2,), (2,), (2, 3)))
    job = Job("fetch", {"positions": positions, "refresh": True})
    return Plan(
        [[job] * generator.choice((1, 2)) for _ in range(generator.choice((2, 3)))],
        Settings(
            seed,
            hosts=generator.random() < 0.3,
            transactions=False,
            hold=generator.choice(("fetch:downloaded", "fetch:published")),
        ),
        None,
        kill=generator.choice((0.0, 0.05)),
        jump=generator.choice((0.1, 0.2)),
        stay=generator.choice((0.7, 0.9, 0.95)),
        kills=1,
        changes=True,
    )


def _claimed(generator: random.Random, seed: int) -> Plan:
    """A plan whose actors want the same volumes, while the clocks jump by less than a lease."""
    positions = generator.choice(((2,), (2, 3)))
    return Plan(
        [[Job("fetch", {"positions": positions, "refresh": generator.random() < 0.2})] for _ in range(3)],
        Settings(
            seed,
            hosts=generator.random() < 0.5,
            transactions=False,
            hold=generator.choice(("fetch:downloaded", "fetch:published")),
        ),
        None,
        kill=generator.choice((0.0, 0.05)),
        jump=0.1,
        stay=generator.choice((0.7, 0.9)),
        kills=1,
        changes=False,
        jumps=_SHORT_JUMPS,
    )
