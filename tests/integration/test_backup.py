"""A database destroyed, restored and taken over, on an instance of its own without Flink: everything from Kafka is there again, once.

The historian's job is a loop of the test, over the same store and the same consumer group; the whole line is destroyed by `drill restore`
(campaign).
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime

import psycopg
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from psycopg.sql import SQL, Identifier

from base.settings import KafkaSettings
from connectors.kafka import client as kafka
from historian import positions, recovery
from historian.store import HistorianStore
from jobs.batching import Message
from stack import instance, lifecycle, postgres, standby
from stack.backup import actions, pgbackrest, state
from stack.config import ROOT, StackConfig
from stack.errors import StackError
from stack.processes import kill_tree
from stack.render import instance_environment
from stack.reporting import Progress
from stack.supervisor import Supervisor
from tests.integration.every_record import Sent, contents, records
from tests.integration.polling import eventually

pytestmark = pytest.mark.timeout(600)
QUIET = Progress(sink=lambda _: None)


@pytest.fixture(scope="module")
def config() -> Iterator[StackConfig]:
    with instance.temporary() as running:
        lifecycle.up(running.config, QUIET, names=("owner-watch", "kafka", "postgres"))
        yield running.config


def broker(config: StackConfig) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=config.bootstrap_servers)


def send(config: StackConfig, made: list[Sent]) -> None:
    for topic in sorted({topic for topic, _, _ in made}):
        rows = [(key, value) for name, key, value in made if name == topic]
        kafka.send(kafka.producer(broker(config)), topic, rows)


def historian(config: StackConfig) -> int:
    """What the job does until it has everything: from the group's offsets to the ends, batch by batch; records read."""
    store, read = HistorianStore(postgres.dsn(config)), 0
    with closing(kafka.consumer(broker(config), group=positions.GROUP)) as member:
        bounds = recovery.bounds_of(member)
        places = member.committed([TopicPartition(*place) for place in bounds], timeout=10)
        starts = {(one.topic, one.partition): max(one.offset, bounds[one.topic, one.partition][0]) for one in places}
        left = {place for place, start in starts.items() if start < bounds[place][1]}
        member.assign([TopicPartition(*place, starts[place]) for place in left])
        batch: list[Message] = []
        while left:
            message = member.poll(10)
            assert message is not None, left
            assert message.error() is None, message.error()
            place = (str(message.topic()), int(message.partition() or 0))
            batch.append(Message(*place, int(message.offset() or 0), message.key() or b"", message.value() or b""))
            if batch[-1].offset + 1 >= bounds[place][1]:
                left.discard(place)
            if len(batch) == 40 or not left:
                assert store.write(batch).poisoned == []
                read += len(batch)
                batch = []
        member.commit(offsets=[TopicPartition(*place, marks[1]) for place, marks in bounds.items()], asynchronous=False)
    store.close()
    return read


def frames(config: StackConfig) -> int:
    with psycopg.connect(postgres.dsn(config)) as connection:
        row = connection.execute("SELECT coalesce(sum(frames), 0) FROM ledger").fetchone()
    assert row is not None
    return int(row[0])


def destroy(config: StackConfig) -> None:
    """The process and the folder, log and all."""
    supervisor = Supervisor(config)
    kill_tree(supervisor.states()["postgres"].pid)
    supervisor.stop("postgres")
    shutil.rmtree(postgres.data_dir(config))


def one_tag(config: StackConfig) -> int:
    with psycopg.connect(postgres.dsn(config)) as connection:
        row = connection.execute("SELECT min(tag_id) FROM tags").fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.security("T-DB-LOSS", "SR 7.3")
def test_a_destroyed_database_is_restored_and_reads_again_what_it_lacks(config: StackConfig) -> None:
    with pytest.raises(StackError, match="there is no backup yet"):
        actions.listing(config)
    assert state.find(config).text().startswith("backup: none")
    tag = one_tag(config)
    send(config, records(tag, range(10)))
    assert historian(config) > 80
    with psycopg.connect(postgres.superuser_dsn(config), autocommit=True) as connection:
        connection.execute(SQL("DROP ROLE {}").format(Identifier(postgres.WATCH)))  # as in a backup of an older version
    label = actions.take(config, "full", QUIET)
    assert label.endswith("F")
    secrets = (pgbackrest.passphrase_file(config), pgbackrest.config_file(config))
    assert [stat.S_IMODE(path.stat().st_mode) for path in secrets] == [0o600, 0o600]
    passphrase = secrets[0].read_text().strip()
    info = subprocess.run(
        ["grep", "-rl", "millrace", str(pgbackrest.repository(config))], capture_output=True, text=True, check=False
    )
    assert info.stdout == "", "the repository is encrypted"
    assert passphrase not in (config.config / "supervisord.conf").read_text()

    send(config, records(tag, range(10, 20)))
    historian(config)
    before = contents(postgres.dsn(config))
    assert frames(config) == 40
    destroy(config)
    assert "there is no" not in state.find(config).text()
    report = actions.restore(config, QUIET)
    assert frames(config) < 40, "the segment of the last frames was never archived"
    assert report.lost == ()
    assert not report.was_known, "a restore is another life of the database"
    assert historian(config) >= report.records
    assert contents(postgres.dsn(config)) == before
    found = state.find(config)
    assert found.label == label
    assert (found.archives, found.problem, found.reasons(192, answers=True)) == (True, "", ())


@pytest.mark.security("SR 7.4")
def test_a_point_in_time_is_restored_and_everything_since_is_read_again(config: StackConfig) -> None:
    tag = one_tag(config)
    actions.take(config, "incremental", QUIET)
    with psycopg.connect(postgres.superuser_dsn(config), autocommit=True) as connection:
        at = datetime.now(UTC)
        connection.execute("SELECT txid_current(), pg_switch_wal()")
    send(config, records(tag, range(20, 26)))
    historian(config)
    before = contents(postgres.dsn(config))
    with psycopg.connect(postgres.superuser_dsn(config), autocommit=True) as connection:
        connection.execute("SELECT txid_current(), pg_switch_wal()")
    eventually(lambda: state.find(config).waiting == 0, timeout_s=60, what="the log is archived")
    report = actions.restore(config, QUIET, to=at)
    with psycopg.connect(postgres.superuser_dsn(config)) as connection:
        left = connection.execute("SELECT name FROM pg_file_settings WHERE name LIKE 'recovery%'").fetchall()
        assert left == [], "a standby that is copied from it would end there"
    assert frames(config) == 40
    assert report.lost == ()
    historian(config)
    assert contents(postgres.dsn(config)) == before


@pytest.mark.security("SR 3.4", "SR 7.3")
def test_a_damaged_repository_is_found_and_named(config: StackConfig) -> None:
    actions.verify(config, QUIET)
    (victim, *_) = sorted(pgbackrest.repository(config).glob("backup/millrace/*F/bundle/*"))
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 0xFF
    victim.write_bytes(content)
    with pytest.raises(StackError, match=r"damaged: backup: .*make a new full backup"):
        actions.verify(config, QUIET)
    actions.take(config, "full", QUIET)


@pytest.mark.security("T-DB-LOSS")
def test_a_standby_takes_over_once_and_the_old_primary_is_fenced(config: StackConfig) -> None:
    tag = one_tag(config)
    standby.create(config, QUIET, synchronous=True)
    eventually(lambda: state.find(config).standby_connected, what="the standby follows")
    with psycopg.connect(postgres.dsn(config), autocommit=True) as connection:
        connection.execute("INSERT INTO sites (site, enterprise) VALUES ('entered', 'acme')")
    send(config, records(tag, range(26, 32)))
    historian(config)
    before = contents(postgres.dsn(config))
    kill_tree(Supervisor(config).states()["postgres"].pid)
    report = standby.promote(config, QUIET)
    assert not report.was_known
    fenced = list(postgres.data_dir(config).parent.glob("postgres.fenced-*"))
    assert len(fenced) == 1
    assert not standby.exists(config)
    with psycopg.connect(postgres.dsn(config)) as connection:
        assert connection.execute("SELECT count(*) FROM sites WHERE site = 'entered'").fetchone() == (1,), (
            "synchronous: not lost"
        )
        assert connection.execute("SHOW synchronous_standby_names").fetchone() == ("",)
    historian(config)
    assert contents(postgres.dsn(config)) == before
    with pytest.raises(StackError, match="there is no standby"):
        standby.promote(config, QUIET)
    shutil.rmtree(fenced[0])


def test_what_kafka_no_longer_has_is_named_and_the_rest_is_read(config: StackConfig) -> None:
    with psycopg.connect(postgres.dsn(config), autocommit=True) as connection:
        topic, partition, offset = connection.execute(
            """UPDATE read_positions SET next_offset = 1 WHERE next_offset > 4 AND topic = 'telemetry.validated'
               RETURNING topic, partition, next_offset"""
        ).fetchall()[0]
    admin = AdminClient({"bootstrap.servers": config.bootstrap_servers})
    (deleted,) = admin.delete_records([TopicPartition(topic, partition, 4)]).values()
    deleted.result(20)
    command = [str(ROOT / "millrace"), "recover", "--dry-run"]
    done = subprocess.run(
        command, env=os.environ | instance_environment(config), capture_output=True, text=True, check=False
    )
    assert done.returncode == 4, done.stderr
    assert f"LOST: {topic}[{partition}] offsets {offset} to 3 (3 records, from 20" in done.stdout
    actions.turn_off(config)
    assert not postgres.archives(config)
