# Every command of Millrace; `./millrace COMMAND` makes the environment first and then runs the recipe of that name.

set positional-arguments
set shell := ["bash", "-euo", "pipefail", "-c"]

# Make or update the environment only: Python packages, system packages, jars
setup:
    @echo "environment ready: $(python --version), {{justfile_directory()}}/.venv"

# Start the whole platform on this machine and wait until data has arrived at the far end
@up *args:
    python -m stack up "$@"

# Stop everything `up` started, in reverse order
@down *args:
    python -m stack down "$@"

# Services with state, pid, uptime and restarts, and the accounting (--json for programs)
@status *args:
    python -m stack status "$@"

# Show the log of a service, or of all of them (-f to follow)
@logs *args:
    python -m stack logs "$@"

# Stop or start one service: `service stop gateway-x`, `service start gateway-x`, `service restart gateway-x`
@service *args:
    python -m stack service "$@"

# Upgrade a running job: stop with savepoint, fresh TaskManager, resubmit (telemetry, historian, commands)
@deploy *args:
    python -m stack deploy "$@"

# Open psql on the stack's database
@psql *args:
    python -m stack psql "$@"

# Print the settings in force and where each came from
@settings *args:
    python -m stack settings "$@"

# Delete all data of the stack (asks, unless --yes)
@reset *args:
    python -m stack reset "$@"

# Follow live values of devices or tags through the gRPC server
@watch *args:
    python -m client watch "$@"

# Send a command to a device and wait for its outcome
@command *args:
    python -m client command "$@"

# Print the records of a topic for people
@cat *args:
    python -m connectors.cat "$@"

# Rates, lag and load of the running stack, refreshed every second
@top *args:
    python -m stack.top "$@"

# Run benchmarks (generate, run, report)
@bench *args:
    python -m benchmarks "$@"

# Run the tests, all rungs, with coverage; arguments go to pytest (a path or -k runs only those)
@test *args:
    if [ $# -gt 0 ]; then pytest "$@"; else pytest --cov --cov-report=term --cov-report=xml; fi

# Check style, types and the lock file
lint:
    ruff check .
    ruff format --check .
    mypy
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
