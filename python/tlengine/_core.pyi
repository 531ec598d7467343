"""The compiled core. Private: the public functions and classes of ``tlengine`` wrap it."""

__version__: str
build_profile: str
