"""Entry point of `rookery`, and of `python -m rookery`: signals are handled before the rest is imported."""

from rookery import interruption

interruption.install()

from rookery.cli import main  # noqa: E402 - the import takes half a second, in which a signal may come

if __name__ == "__main__":
    main()
