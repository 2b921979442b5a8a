"""``bench``: runs the command line, and turns whatever goes wrong into one sentence and an exit status."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from claimbench.bench.core.errors import DEBUG, UserError

LONGEST = 200
"""Letters of a file's name that a sentence shows."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line on ``arguments``, by default the process's own; never a traceback unless ``--debug``."""
    given = sys.argv[1:] if arguments is None else arguments
    given = [*(["--debug"] if "--debug" in given else []), *(a for a in given if a != "--debug")]
    try:
        _run(given)
    except UserError as error:
        _say(str(error))
        sys.exit(2)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the reader went away; nothing is left to say
        sys.exit(1)
    except OSError as error:
        if error.filename is None or error.strerror is None or os.environ.get(DEBUG) == "1":
            _fail(error)
        _say(f"{str(error.filename)[:LONGEST]} cannot be read or written ({error.strerror})")
        sys.exit(2)
    except MemoryError as error:
        _say(f"the memory does not suffice ({str(error) or 'no more can be had'}): take less at once, as by --batch")
        sys.exit(1)
    except KeyboardInterrupt as interrupt:
        _interrupted(interrupt)
        sys.exit(130)
    except SystemExit as ended:
        cause = getattr(ended.__context__, "__cause__", None)
        if isinstance(cause, KeyboardInterrupt):  # typer made this exit out of it, and is silent
            _interrupted(cause)
        raise
    except Exception as error:  # whatever it is, a user gets a sentence
        _fail(error)


def _fail(error: Exception) -> NoReturn:
    """End because of a mistake of ours."""
    if os.environ.get(DEBUG) == "1":
        raise error
    _say(f"internal error, {type(error).__name__}: {error} (--debug shows where; please report it)")
    sys.exit(1)


def _interrupted(interrupt: KeyboardInterrupt) -> None:
    """Print that Ctrl-C ended the command, with the way to resume it if the interrupted work states one."""
    _say(f"interrupted: {interrupt}" if str(interrupt) else "interrupted")


def _run(given: list[str]) -> None:
    if given in (["list"], ["list", "--json"]):  # typer takes longer to load than the papers
        from claimbench.bench.cli.listing import print_list

        print_list(json=len(given) == 2)
        return
    from claimbench.bench.cli.app import app

    app(given, prog_name="bench")


def _say(message: str) -> None:
    print(f"bench: {message}", file=sys.stderr)


if __name__ == "__main__":
    main()
