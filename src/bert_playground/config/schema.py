"""RunConfig: what the user may ask for, section by section.

A value of None means "decided from the data or the model"; what was decided is printed and stored with the run.
"""

from collections.abc import Mapping
from typing import Any, Self

from .sections.base import Section as Section
from .sections.cross_validation import CrossValidationSection as CrossValidationSection
from .sections.data import AugmentationSection as AugmentationSection
from .sections.data import DataSection as DataSection
from .sections.engine import EngineSection as EngineSection
from .sections.model import EnsembleSection as EnsembleSection
from .sections.model import HeadSection as HeadSection
from .sections.model import LoRASection as LoRASection
from .sections.model import ModelSection as ModelSection
from .sections.training import CheckpointSection as CheckpointSection
from .sections.training import OptimizerSection as OptimizerSection
from .sections.training import PretrainingSection as PretrainingSection
from .sections.training import SchedulerSection as SchedulerSection
from .sections.training import TrackingSection as TrackingSection
from .sections.training import TrainingSection as TrainingSection


class RunConfig(Section):
    """Everything a run can be asked for."""

    model: ModelSection = ModelSection()
    head: HeadSection = HeadSection()
    lora: LoRASection = LoRASection()
    data: DataSection = DataSection()
    augmentation: AugmentationSection = AugmentationSection()
    training: TrainingSection = TrainingSection()
    optimizer: OptimizerSection = OptimizerSection()
    scheduler: SchedulerSection = SchedulerSection()
    checkpoint: CheckpointSection = CheckpointSection()
    tracking: TrackingSection = TrackingSection()
    ensemble: EnsembleSection = EnsembleSection()
    cross_validation: CrossValidationSection = CrossValidationSection()
    engine: EngineSection = EngineSection()

    def with_changes(self, changes: Mapping[str, Mapping[str, Any]]) -> Self:
        """The same with other values: section → setting → value, which are taken as they are."""
        sections = {
            name: getattr(self, name).model_copy(update=dict(values))
            for name, values in changes.items()
        }
        return self.model_copy(update=sections)

    @property
    def split_seed(self) -> int:
        """What draws the validation rows."""
        asked = self.data.split_seed
        return self.training.seed if asked is None else asked

    pretraining: PretrainingSection = PretrainingSection()
