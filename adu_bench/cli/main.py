"""The program: its commands, and how errors are reported."""

from __future__ import annotations

import errno
import logging
import re
import sys
from argparse import SUPPRESS
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, DefaultHelpFormatter

from adu_bench import __version__
from adu_bench.cli import (
    attention,
    audit,
    bench,
    bring,
    check,
    compare,
    data,
    doctor,
    features,
    leaderboard,
    listing,
    new,
    power,
    pretrain,
    report,
    run,
    score,
    show,
    status,
    submit,
    tune,
    verify,
)
from adu_bench.cli.endings import Ended, unwound
from adu_bench.cli.terminal import complain, drop_output, guarded_output
from adu_bench.core.commands import repeating
from adu_bench.core.errors import UserError
from adu_bench.core.yaml_files import Malformed, read_yaml

COMMANDS = {
    "run": run,
    "list": listing,
    "show": show,
    "status": status,
    "score": score,
    "leaderboard": leaderboard,
    "compare": compare,
    "power": power,
    "submit": submit,
    "bring": bring,
    "verify": verify,
    "report": report,
    "audit": audit,
    "attention": attention,
    "features": features,
    "tune": tune,
    "pretrain": pretrain,
    "check": check,
    "new": new,
    "bench": bench,
    "doctor": doctor,
    "data": data,
}


REQUIRED = "the following arguments are required: "


class HelpFormatter(DefaultHelpFormatter):
    """Writes defaults once, and only where they say something: 0 or nothing stands for an option that is not given."""

    def _get_help_string(self, action: Any) -> str:
        text = str(action.help or "")
        # jsonargparse would add a type, which the placeholder tells, and would print the stand-in.
        if not action.option_strings or action.nargs == 0:
            return text
        said = "default: " in text or not action.default or action.default in (-1, SUPPRESS)
        return text if said else f"{text} (default: %(default)s)"


class Parser(ArgumentParser):
    """A parser that raises the program's own errors."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **{"formatter_class": HelpFormatter, **options})

    def format_help(self, *arguments: Any, **options: Any) -> str:
        """Return the help without the backspaces with which jsonargparse joins an option to its value."""
        return str(super().format_help(*arguments, **options)).replace(" \b", "")

    def _print_message(self, message: str, file: Any = None) -> None:
        """Print help or the version; argparse would end well where it cannot be written."""
        (file or sys.stderr).write(message)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:  # type: ignore[override]
        """Raise a `UserError` instead of printing the usage and exiting."""
        program = self.prog.replace(" [options]", "")
        first = " ".join(str(message).split()).rstrip(".")
        if first.startswith(REQUIRED):
            # As in "list.kind": the command's name and the argument's.
            names = [name.strip().rpartition(".") for name in first.removeprefix(REQUIRED).split(",")]
            program = " ".join(filter(None, [program, *{command: None for command, *_ in names}]))
            first = f"{program} needs {' and '.join(argument.upper() for *_, argument in names)}"
        elif without := re.fullmatch(r"argument (--[\w-]+): expected one argument", first):
            option = without.group(1)
            value = self._option_string_actions[option].metavar or "VALUE"
            first = f"The option {option} needs {value}, as in '{program} {option} {value}'"
        raise UserError(f"{first}.", "The command line was not understood.", f"Try: {program} --help") from ex


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its status: 0 done, 1 a run failed, 2 wrong input, 128 + n ended by signal n."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    logging.getLogger("adu_bench").setLevel(logging.DEBUG if debug else logging.WARNING)
    if debug:
        logging.basicConfig()
    try:
        with unwound(), guarded_output():
            return _run([argument for argument in arguments if argument != "--debug"])
    except UserError as error:
        if debug:
            raise
        return _told(error)
    except KeyboardInterrupt:
        complain("Interrupted.")
        return 130
    except Ended as ending:
        complain(f"Ended by {ending.name}; what was finished is kept.")
        return int(ending.code)  # type: ignore[arg-type]
    except BrokenPipeError:
        # The reader of the output closed it (`| head`).
        drop_output()
        return 0
    except (OSError, MemoryError, ImportError) as error:
        if debug or (isinstance(error, ImportError) and _is_own(error)):
            raise
        drop_output()
        return _told(_of_system(error))


def _run(arguments: list[str]) -> int:
    if any("\0" in argument for argument in arguments):
        raise UserError("An argument contains the character NUL.", "No path or name can.", "Write it without.")
    for before, argument in zip(["", *arguments], arguments, strict=False):
        if before == "--config" or argument.startswith("--config="):
            _check_config(Path(argument.removeprefix("--config=")))
    options = _parser().parse_args(arguments)
    own = options[options.command]
    with repeating(options.command, vars(own)):
        return COMMANDS[options.command].run(own)


def _check_config(path: Path) -> None:
    """Refuse a file of options that is malformed, or has an option twice, of which the parser would take the last."""
    try:
        read_yaml(path)
    except OSError:
        return  # which the parser tells
    except Malformed as error:
        raise UserError(
            f"The options '{path}' cannot be read.",
            f"{error}.",
            "Write one 'option: value' a line; --print_config shows them.",
        ) from error


def _told(error: UserError) -> int:
    for sentence in error.sentences:
        complain(sentence)
    return 2


def _is_own(error: ImportError) -> bool:
    """Whether what cannot be imported is part of the project, which is a mistake in it."""
    return (error.name or "").partition(".")[0] in ("", "adu_bench")


def _of_system(error: OSError | MemoryError | ImportError) -> UserError:
    """Say what the system refused: a full disk, a folder without permission, too much memory, a missing package."""
    if isinstance(error, MemoryError):
        return UserError(
            "There is too little memory.", "An array could not be allocated.", "--debug shows where it was needed."
        )
    if isinstance(error, ImportError):
        return UserError(
            f"The package '{error.name}' cannot be imported.",
            f"{' '.join(str(error).split())[:200].rstrip('.')}.",
            "Check the installation with: adu-bench doctor",
        )
    what = f"'{str(error.filename)[:200]}' cannot be used" if error.filename else "A file cannot be read or written"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        remedy = "Free some space; the same command continues."
    elif error.errno == errno.ENOLCK:
        remedy = "Choose a folder on a file system with locks."
    else:
        remedy = "Choose another file or folder; --debug shows where it was used."
    return UserError(f"{what}.", f"{error.strerror or error}.", remedy)


def _parser() -> Parser:
    parser = Parser(
        prog="adu-bench",
        description="Benchmark approximate domain unlearning in CLIP-like models.",
        epilog="Every command takes --debug, which shows tracebacks.",
        version=__version__,
        allow_abbrev=False,
    )
    commands: Any = parser.add_subcommands(required=True, dest="command")
    for name, module in COMMANDS.items():
        summary = (module.__doc__ or "").strip().splitlines()[0]
        sub = Parser(description=module.__doc__, allow_abbrev=False)
        sub.add_argument(
            "--config", action="config", metavar="FILE", help="YAML file of options; --print_config shows one"
        )
        module.options(sub)
        commands.add_subcommand(name, sub, help=summary)
    return parser
