"""Files of the migrations, without a database."""

from __future__ import annotations

from pathlib import Path

import pytest

from historian.migrator import FOLDER, MigrationError, read_migrations


def test_both_variants_are_complete_and_common_files_are_the_same() -> None:
    plain, timescaledb = (read_migrations(FOLDER, variant) for variant in ("plain", "timescaledb"))
    for migrations in (plain, timescaledb):
        versions = [migration.version for migration in migrations]
        assert versions == sorted(set(versions))
    twins = [{m.name for m in migrations if m.variant} for migrations in (plain, timescaledb)]
    assert twins[1] <= twins[0]


@pytest.mark.parametrize(
    ("names", "message"),
    [(("1_a.sql",), "is not named NNNN_name"), (("0001_a.sql", "0001_b.sql"), "two migrations have number 0001")],
)
def test_misnamed_and_doubled_files_are_refused(tmp_path: Path, names: tuple[str, ...], message: str) -> None:
    for name in names:
        (tmp_path / name).write_text("SELECT 1")
    with pytest.raises(MigrationError, match=message):
        read_migrations(tmp_path, "plain")
