"""`python -m tuirnn` is `tuirnn`."""

import sys


def main() -> None:
    """The command line; an interrupt while it is still being loaded ends it as quietly as one later."""
    try:
        from tuirnn.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
