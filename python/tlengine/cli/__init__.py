"""The command line: one small module per command, loaded only when it is called.

In: words typed by a person or a script. Out: data on stdout, everything else on stderr, and an exit
code: 0 done, 1 failed, 2 usage, 3 a gate not met, 130 Ctrl-C.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from io import StringIO
from typing import Any

import click

from tlengine.cli.common import GateNotMet, echo, fail, say, short_warnings
from tlengine.cli.streams import OutputLost, prepare, settle

__all__ = ["cli", "main"]

COMMANDS = {
    "extract": "Turn images or texts into features, each sample once, ever.",
    "compare": "Answer: which backbone, which strategy, does transfer help?",
    "probe": "Fit a whole path of linear probes on features.",
    "knn": "Classify by the nearest neighbours in feature space.",
    "finetune": "Train one network on all labels, and keep it.",
    "predict": "Apply a saved model to new data.",
    "export": "Write a saved model as ONNX.",
    "report": "Turn a run.json into an HTML report.",
    "cache": "Look after the embedding cache.",
    "plugins": "List, show, check and create plugins.",
    "doctor": "Show versions, chip, devices and paths.",
}
"""Names and one-line summaries, in the order of the help page."""


class LazyGroup(click.Group):
    """Imports a command's module when the command is used; the help page needs none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS, *sorted(set(self._plugin_commands()) - COMMANDS.keys())]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name in COMMANDS:
            command: click.Command = import_module(f"tlengine.cli.{name}").command
            return command
        return self._plugin_commands().get(name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches

            from tlengine.plugins import registry

            registry.check_strict()
            near = get_close_matches(args[0], self.list_commands(ctx), n=1)
            guess = [f"Did you mean {near[0]!r}?"] if near else []
            raise click.UsageError(" ".join([error.message, *guess, *registry.trouble()]), ctx) from None

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command; what a plugin's command raises gets the plugin's name."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, GateNotMet, OutputLost):
            raise
        except Exception as error:
            from tlengine.plugins.commands import command_fault

            fault = command_fault(str(ctx.invoked_subcommand), COMMANDS, error)
            if fault is None:
                raise
            raise fault from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        extra = {name: c.get_short_help_str() for name, c in self._plugin_commands().items()}
        for name in COMMANDS:
            extra.pop(name, None)
        with formatter.section("Commands"):
            formatter.write_dl([*COMMANDS.items(), *sorted(extra.items())])

    def _plugin_commands(self) -> Mapping[str, click.Command]:
        from tlengine.plugins.commands import commands

        brought = {name: command for name, (_, command) in commands(COMMANDS).items()}
        return {**brought, **self.commands}


def _show_version(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from importlib.metadata import PackageNotFoundError, version

    import tlengine

    try:
        torch = f"torch {version('torch')}"
    except PackageNotFoundError:
        torch = "no torch"
    echo(f"tlengine {tlengine.__version__} (core: {tlengine.build_profile}, {torch})")
    ctx.exit()


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show versions.",
)
def cli() -> None:
    """Answers you can trust from a small labelled dataset and a pretrained backbone.

    \b
    tlengine compare photos/                 which backbone and strategy, and does transfer help?
    tlengine compare reviews.csv --label stars
    tlengine predict out/model new-photos/
    """


def main(args: list[str] | None = None) -> None:
    """Runs the command line and ends the process with its exit code."""
    prepare()
    short_warnings()
    code = _run(args)
    if not settle() and code == 0:
        code = fail("stdout could not be written")
    sys.exit(code)


def _run(args: list[str] | None) -> int:
    from tlengine.errors import TlengineError

    try:
        code = cli.main(args, prog_name="tlengine", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.UsageError as error:
        shown = StringIO()
        error.show(shown)
        echo(shown.getvalue(), nl=False, err=True)
        return error.exit_code
    except click.exceptions.Exit as error:
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        say("interrupted; what was committed is kept, run the same command to go on")
        return 130
    except GateNotMet as gate:
        say(f"gate not met: {gate}")
        return 3
    except OutputLost as lost:
        return 1 if lost.pipe else fail(f"stdout could not be written: {lost}")
    except TlengineError as error:
        _show_traceback(error)
        return fail(error.message, error.hint)
    except click.ClickException as error:
        return fail(error.format_message())
    except OSError as error:
        return fail(str(error), "check the path, its permissions and the space left")


def _show_traceback(error: BaseException) -> None:
    """What a plugin raised, for its author: where ``TLENGINE_STRICT_PLUGINS`` is set."""
    import traceback

    from tlengine.errors import PluginError
    from tlengine.settings import flag

    if isinstance(error, PluginError) and error.__cause__ and flag("TLENGINE_STRICT_PLUGINS"):
        say("".join(traceback.format_exception(error.__cause__)).rstrip())
