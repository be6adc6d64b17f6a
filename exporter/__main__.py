"""Run the command line as `python -m exporter`."""

from exporter.cli import entry

if __name__ == "__main__":
    entry()
