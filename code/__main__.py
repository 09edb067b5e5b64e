"""Entry point of a checkout: ``python code …`` finds the package whatever PYTHONPATH is."""

from power_bert.cli import main

if __name__ == "__main__":  # worker processes import this module again
    main()
