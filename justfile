# What is done often, one word each: `just test`. Without just, the lines below are the commands.

python := ".venv/bin/python"

# Make the environment, with all that developing takes.
setup:
    python3 -m venv .venv
    .venv/bin/pip install -q -e '.[dev]'
    .venv/bin/pre-commit install

# The loop of a minute: all tests but the slow ones. Ends with the time it took.
test *arguments:
    {{python}} -m pytest -m 'not slow' -n auto --dist loadfile {{arguments}}

# Every test that needs no cluster.
test-all *arguments:
    {{python}} -m pytest -n auto {{arguments}}

# One test, such as: just one tests/photos/test_sources.py -k links
one +arguments:
    {{python}} -m pytest {{arguments}}

# Style, types and the order of imports.
lint:
    .venv/bin/ruff check .
    .venv/bin/ruff format --check .
    .venv/bin/mypy

# Mend what can be mended by itself.
format:
    .venv/bin/ruff check --fix .
    .venv/bin/ruff format .

# Write docs/cli.md anew from the commands' own help.
docs:
    {{python}} -m afdcli.cli.docs > docs/cli.md

# The wheel and the source archive, in dist/.
build:
    {{python}} -m build

# All that continuous integration does, on a clean clone of the last commit.
ci:
    .ci/run
