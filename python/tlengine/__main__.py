"""``python -m tlengine``: the command line."""

from tlengine.cli import main

if __name__ == "__main__":
    main()
