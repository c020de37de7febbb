"""`python -m sonograph`, where the command is not on the path."""

from sonograph.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
