"""Entry point of ``python -m mfer_lightning``, equivalent to the console script ``mfer``."""

from mfer_lightning.cli import main

if __name__ == "__main__":
    main()
