"""EngineSection: where models are fitted that are many: folds, members of an ensemble, trials."""

from typing import Annotated, Literal

from pydantic import Field

from bert_playground.engines.engine import EngineRequest

from .base import AboveZero, Flag, NonNegative, Positive, Section, Unset

PANEL = "Scaling out"


class EngineSection(Section):
    """What fits models side by side, and what each fit gets."""

    name: Annotated[Literal["local", "ray"], Flag("--engine", "NAME", panel=PANEL)] = Field(
        "local", description="what fits folds, members and trials side by side"
    )
    ray_address: Annotated[
        str | None,
        Unset("that of RAY_ADDRESS, else a cluster of this machine alone"),
        Flag("--ray-address", "HOST:PORT", panel=PANEL),
    ] = Field(None, description="of a cluster of Ray")
    task_cpus: Annotated[Positive, Flag("--task-cpus", "N", panel=PANEL)] = Field(
        1, description="cores, and threads, of each fit on Ray"
    )
    task_gpus: NonNegative = Field(
        0.0, description="graphics processors of each fit on Ray, or a share of one"
    )
    task_memory: Annotated[AboveZero | None, Unset("nothing is reserved")] = Field(
        None, description="gigabytes that Ray reserves for each fit"
    )

    @property
    def asked(self) -> EngineRequest:
        """The same in plain values."""
        return EngineRequest(
            self.name, self.ray_address, self.task_cpus, self.task_gpus, self.task_memory
        )
