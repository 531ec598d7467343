# What the other rooms may use: lazy_loader reads this table, and type checkers do.
from .model import NetworkModel as NetworkModel
from .presets import PRESETS as PRESETS
from .presets import Preset as Preset
from .settings import TrainSettings as TrainSettings
from .strategy import FineTuning as FineTuning
