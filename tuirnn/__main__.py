"""`python -m tuirnn` is `tuirnn`."""

from tuirnn.cli import main

if __name__ == "__main__":
    main()
