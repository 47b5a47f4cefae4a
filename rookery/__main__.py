"""Entry point of `python -m rookery`, the same as `rookery`."""

from rookery.cli import main

if __name__ == "__main__":
    main()
