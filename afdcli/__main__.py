"""`python -m afdcli` is `afd`."""

from afdcli.cli import main

if __name__ == "__main__":
    main()
