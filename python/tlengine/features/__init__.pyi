# What the other rooms may use: lazy_loader reads this table, and type checkers do.
from .backbone import Backbone as Backbone
from .backbone import default_backbone as default_backbone
from .backbone import load_backbone as load_backbone
from .cache import EmbeddingCache as EmbeddingCache
from .cache import opened as opened
from .cache import sample_key as sample_key
from .checking import with_check_rows as with_check_rows
from .extraction import extract as extract
from .forward import available_devices as available_devices
from .images import ImagePreprocess as ImagePreprocess
from .images import decode_image as decode_image
from .raw import RAW_DIM as RAW_DIM
from .raw import RawPreprocess as RawPreprocess
from .raw import load_raw as load_raw
from .tokenizer import Tokenizer as Tokenizer
