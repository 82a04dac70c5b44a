"""``python -m mfer_lightning`` is the console script ``mfer``."""

from mfer_lightning.cli import main

if __name__ == "__main__":
    main()
