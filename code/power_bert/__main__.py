"""Entry point of the installed package: ``python -m power_bert``."""

from power_bert.cli import main

if __name__ == "__main__":  # worker processes import this module again
    main()
