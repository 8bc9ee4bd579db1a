"""``python -m rrg`` is ``rrg``."""

from rrg.cli import main

if __name__ == "__main__":
    main()
