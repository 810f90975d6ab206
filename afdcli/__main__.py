"""`python -m afdcli` is `afd`."""

from afdcli.cli.app import main

if __name__ == "__main__":
    main()
