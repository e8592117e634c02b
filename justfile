# Developers' recipes; `./millrace RECIPE` makes the environment first. Everything else is a command of the tree in cli/tree.py.

set positional-arguments
set shell := ["bash", "-euo", "pipefail", "-c"]

# Make or update the environment only: Python packages, system packages, jars
setup:
    @echo "environment ready: $(python --version), {{justfile_directory()}}/.venv"

# Files begin in the order of tests/conftest.py, the longest first: xdist's own order is by the number of tests.
# Run the tests, all rungs, with coverage; arguments go to pytest (a path or -k runs only those)
[no-exit-message]
@test *args:
    if [ $# -gt 0 ]; then \
        pytest "$@"; \
    else \
        pytest --ignore tests/flink --ignore tests/integration -n 3 --dist loadfile --no-loadscope-reorder --cov --cov-report= --cov-fail-under=0; \
        pytest tests/flink tests/integration -n 2 --dist loadfile --no-loadscope-reorder --cov --cov-append --cov-report=term --cov-report=xml; \
    fi

# Check style, types and the lock file; with --security what the code does and what it is built of, instead
[no-exit-message]
lint *args:
    @case "${1:-}" in \
        --security) exec python -m assurance "${@:2}" ;; \
        "") exec just _style ;; \
        *) echo "lint takes nothing, or --security and its arguments" >&2; exit 2 ;; \
    esac

_style:
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

# Generate the Python code of the .proto files, the reference page, and the OpenAPI document
proto:
    python -m schemas.generate
    python -m schemas.reference
    python -m serving.http.openapi > docs/openapi.json

# Build the page of web/, as `up` does when its sources have changed
web:
    python -m stack.page
