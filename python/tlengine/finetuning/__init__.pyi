# What the other rooms may use: lazy_loader reads this table, and type checkers do.
from .heads import HEADS as HEADS
from .heads import HeadConfig as HeadConfig
from .heads import Tokens as Tokens
from .heads import build_head as build_head
from .heads import head_from_probe as head_from_probe
from .heads import load_head as load_head
from .heads import save_head as save_head
from .heads import start_from_means as start_from_means
from .heads import start_from_probe as start_from_probe
from .heads import tokens_of as tokens_of
from .model import NetworkModel as NetworkModel
from .presets import PRESETS as PRESETS
from .presets import Preset as Preset
from .settings import TrainSettings as TrainSettings
from .strategy import FineTuning as FineTuning
