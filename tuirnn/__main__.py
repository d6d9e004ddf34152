"""`python -m tuirnn` is `tuirnn`."""

import gc
import sys


def main() -> None:
    """The command line; an interrupt while it is still being loaded ends it as quietly as one later."""
    try:
        gc.disable()  # what is imported is no garbage
        from tuirnn.cli import main as run

        gc.enable()
        run()
    except KeyboardInterrupt:
        sys.exit(130)
    except (MemoryError, ImportError) as error:
        if isinstance(error, ImportError) and "failed to map" not in str(error):
            raise
        print("tuirnn: out of memory before anything was begun; raise the limit (ulimit -v)", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
