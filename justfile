# Every command of Millrace; `./millrace COMMAND` makes the environment first and then runs the recipe of that name.

set positional-arguments
set shell := ["bash", "-euo", "pipefail", "-c"]

# Make or update the environment only: Python packages, system packages, jars
setup:
    @echo "environment ready: $(python --version), {{justfile_directory()}}/.venv"

# Start the whole platform on this machine and wait until data has arrived at the far end
[no-exit-message]
@up *args:
    python -m stack up "$@"

# Stop everything `up` started, in reverse order
[no-exit-message]
@down *args:
    python -m stack down "$@"

# Services with state, pid, uptime and restarts, and the accounting (--json for programs)
[no-exit-message]
@status *args:
    python -m stack status "$@"

# Show the log of a service, or of all of them (-f to follow)
[no-exit-message]
@logs *args:
    python -m stack logs "$@"

# Stop or start one service: `service stop gateway-x`, `service start gateway-x`, `service restart gateway-x`
[no-exit-message]
@service *args:
    python -m stack service "$@"

# Upgrade all jobs to the code of the checkout: savepoints, fresh TaskManagers, submission; back again when they make no progress
[no-exit-message]
@deploy *args:
    python -m stack deploy "$@"

# Open psql on the stack's database
[no-exit-message]
@psql *args:
    python -m stack psql "$@"

# Print the settings in force and where each came from
[no-exit-message]
@settings *args:
    python -m stack settings "$@"

# Delete all data of the stack (asks, unless --yes)
[no-exit-message]
@reset *args:
    python -m stack reset "$@"

# Follow live values of devices or tags through the gRPC server
[no-exit-message]
@watch *args:
    python -m client watch "$@"

# Send a command to a device and wait for its outcome
[no-exit-message]
@command *args:
    python -m client command "$@"

# Print the records of a topic for people
[no-exit-message]
@cat *args:
    python -m connectors.kafka.cat "$@"

# Correct refused samples and send them again (`replay-rejected --reason OUT_OF_RANGE --scale 0.001 --dry-run`)
[no-exit-message]
@replay-rejected *args:
    python -m historian.replay "$@"

# Rates, lag and load of the running stack, refreshed every second
[no-exit-message]
@top *args:
    python -m stack.top "$@"

# Run benchmarks (generate, run, report)
[no-exit-message]
@bench *args:
    python -m benchmarks "$@"

# Run the anomaly detectors over CSV files of your own (a timestamp, one column per tag): scores, episodes, a picture
[no-exit-message]
@detect *args:
    python -m detect.command "$@"

# Run the tests, all rungs, with coverage; arguments go to pytest (a path or -k runs only those)
[no-exit-message]
@test *args:
    if [ $# -gt 0 ]; then pytest "$@"; else pytest --cov --cov-report=term --cov-report=xml; fi

# Check style, types and the lock file
lint:
    ruff check .
    ruff format --check .
    mypy .
    .millrace/bootstrap/bin/uv lock --check

# Apply the formatter and the safe fixes
format:
    ruff format .
    ruff check --fix .

# Resolve the dependencies again after an edit of pyproject.toml
lock *args:
    .millrace/bootstrap/bin/uv lock "$@"

# Generate the Python code of the .proto files
proto:
    python -m schemas.generate
