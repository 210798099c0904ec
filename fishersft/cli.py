"""The command line: the same calls as the Python API, with progress on standard error.

Exit 0; 2 for a user's mistake (one plain sentence), 1 for a failure, 130 when stopped by Ctrl-C.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from importlib import import_module
from typing import Any

import click

from fishersft import __version__
from fishersft.errors import FisherSFTError, UserError, write_refusal
from fishersft.text import in_terminal

COMMANDS = {
    "app": "Open the dashboard in the browser.",
    "embed": "Compute and store the token embeddings of CORPUS.",
    "select": "Choose the sentences of CORPUS to fine-tune on.",
    "compare": "Compare selectors on CORPUS, scoring each selection under every criterion.",
    "curves": "Measure how maximum and mean prediction error fall with the budget, selector by selector.",
    "finetune": "Fine-tune the model on each selection of CORPUS and measure it on the held-out texts.",
    "arena": "Fine-tune on the picks of many selectors, in every setting and under every model, and rank them.",
    "judge": "Compare the texts of a fine-tuning RUN (its id or folder), pair by pair and prompt by prompt.",
    "reproduce": "Fine-tune on selections of CORPUS (shakespeare, sherlock), measure and judge, at equal sentences and at equal "
    "tokens.",
    "export": "Write the picks of a saved selection, or a report of any run.",
    "runs": "List, show and remove runs; stop and resume background jobs.",
}  # the short help of each, so that the group's help imports no command; a test compares them


LONGEST_WORD = 500  # of a refusal, which names what was given, that is shown whole
MODULES = {"embed": "select", "reproduce": "finetune"}  # of the commands that are not in a module of their own name


class LazyCommands(click.Group):
    """Its commands are imported from `fishersft.commands` when they are asked for."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: Any = getattr(import_module(f"fishersft.commands.{MODULES.get(name, name)}"), name)
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def main(command: click.Command | None = None, name: str = "fishersft") -> None:
    """Run the command line (or another command, as the benchmarks do); every refusal is one sentence on standard error."""
    try:
        logging.getLogger("fishersft").addHandler(logging.NullHandler())  # the sentence is for the user, the log is not
        logging.getLogger("fishersft.waits").handlers = [_Told()]
        for shown in ("stdout", "stderr") if sys.argv[1:2] != ["app"] else ():  # a server's log has colours of its own
            if (stream := getattr(sys, shown)).isatty():
                setattr(sys, shown, _Terminal(stream))
        status = (command or commands).main(standalone_mode=False, prog_name=name)
        sys.stdout.flush()
        sys.exit(status if isinstance(status, int) else 0)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(0)
    except click.ClickException as error:
        _refuse(error.format_message(), 2)
    except UserError as error:
        _refuse(str(error), 2)
    except FisherSFTError as error:
        _refuse(str(error), 1)
    except (KeyboardInterrupt, click.Abort):
        _refuse("Interrupted. Finished work is kept; run the same command again to resume it.", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except MemoryError:
        _refuse("Out of memory: lower --max-tokens or take a smaller corpus.", 1)
    except Exception as error:
        if (reason := write_refusal(error)) is None:
            raise
        *_, (frame, _) = traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_filename in (click.echo.__code__.co_filename, __file__):  # it was printed
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            _refuse(f"Standard output cannot be written ({reason}).", 1)
        file = getattr(error, "filename", None) or "A file"
        _refuse(f"{file} cannot be read or written ({reason}); free some space or name another place. Finished work is kept.", 2)


class _Terminal:
    """A stream that a person reads: a stranger's names and texts show their marks there, and steer nothing."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> Any:
        return self._stream.write(in_terminal(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Told(logging.Handler):
    """Says on standard error what the command waits for."""

    def emit(self, record: logging.LogRecord) -> None:
        click.echo(f"fishersft: {record.getMessage()}", err=True)


def _refuse(sentence: str, status: int) -> None:
    words = [word if len(word) <= LONGEST_WORD else f"{word[:60]}…{word[-20:]}" for word in sentence.split()]
    click.echo(f"fishersft: {in_terminal(' '.join(words))}", err=True)
    sys.exit(status)


@click.group(cls=LazyCommands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="fishersft", message="%(prog)s %(version)s")
def commands() -> None:
    """See which training examples teach a language model most, before you pay for fine-tuning.

    \b
    Start with the dashboard:   fishersft app
    or with the demo corpus:    fishersft select demo --budget 20

    Results are stored in $FISHERSFT_HOME, so nothing is computed twice.
    """
