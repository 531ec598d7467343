"""The tree of exceptions is a contract: codes, built-in parents, messages, pickling."""

import pickle

import pytest

from tlengine import errors

ALL = [getattr(errors, name) for name in errors.__all__]
ERRORS = [kind for kind in ALL if issubclass(kind, errors.TlengineError)]


def test_catalogue_is_complete() -> None:
    defined = {n for n, v in vars(errors).items() if isinstance(v, type) and v.__module__ == errors.__name__}
    assert defined == set(errors.__all__)
    assert len(ERRORS) > 20


def test_codes_are_unique() -> None:
    codes = [kind.code for kind in ERRORS]
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize("kind", ERRORS)
def test_message_hint_context_survive_pickling(kind: type[errors.TlengineError]) -> None:
    error = kind("row 3 is bad", hint="drop it", row=3)
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert type(copy) is kind
    assert (copy.message, copy.hint, copy.context) == ("row 3 is bad", "drop it", {"row": 3})
    assert str(copy) == "row 3 is bad\nhint: drop it"


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (errors.InputError, ValueError),
        (errors.CacheFullError, OSError),
        (errors.CacheIOError, OSError),
        (errors.CacheLockTimeout, TimeoutError),
        (errors.UnhashableRecipeError, TypeError),
        (errors.UnknownNameError, LookupError),
        (errors.MissingPackageError, ImportError),
        (errors.ResourceError, MemoryError),
    ],
)
def test_is_also_what_users_already_catch(kind: type[Exception], builtin: type[Exception]) -> None:
    assert issubclass(kind, builtin)
