"""Labels of anomaly episodes as callers give them: a real server on a free port; records, policies, the audit log, HTTP."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest

from millrace_client import (
    AnomalyVerdict,
    AsyncClient,
    Connection,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionError,
    uuid7,
)
from schemas import codec
from schemas.audit import Outcome
from schemas.labels import AnomalyLabel, Verdict
from serving.tokens import hash_token
from tests.unit.http_served import tokens, web
from tests.unit.served import LINE, Served, served

EPISODE = UUID(int=77)
PRESS = f"{LINE}/press01"


def anomaly(running: Served, *, phase: str = "OPEN", revision: int = 1, episode: UUID = EPISODE) -> None:
    """An episode of press01, whose temperature is high."""
    part = {
        "tag_id": 110,
        "score": 0.8,
        "statistic": "level",
        "value": 90.0,
        "expected_low": 60.0,
        "expected_high": 70.0,
    }
    running.server.episodes.apply(
        {
            "episode_id": episode,
            "device_id": 11,
            "phase": phase,
            "revision": revision,
            "start_us": 1,
            "end_us": None if phase == "OPEN" else 2,
            "score": 0.8,
            "peak_score": 0.85,
            "threshold": 0.5,
            "contributors": [part],
            "detector": "default",
            "detector_version": 2,
        }
    )


def written(running: Served) -> list[AnomalyLabel]:
    return [
        AnomalyLabel.from_record(codec.decode(value, "AnomalyLabel")[1])
        for topic, _, value in running.requests.records
        if topic == "anomaly.labels"
    ]


async def test_a_label_is_a_record_with_the_pattern_and_counts_once() -> None:
    async with served() as running:
        anomaly(running)
        label_id = uuid7()
        for _ in range(3):
            found = await running.client.label_anomaly(
                str(EPISODE), AnomalyVerdict.NOT_A_FAULT, " warm-up ", label_id=label_id
            )
        assert [one.reason for one in found.labels] == ["warm-up"]
        (record,) = written(running)
        assert (record.label_id, record.episode_id, record.device_id) == (label_id, EPISODE, 11)
        assert (record.verdict, record.by, record.reason) == (Verdict.NOT_A_FAULT, "local", "warm-up")
        assert (record.detector, record.peak_score) == ("default", 0.85)
        assert [(one.tag_id, one.statistic, one.direction) for one in record.pattern] == [(110, "level", 1)]
        (event, *_) = await running.audited("anomaly:label")
        assert (event.outcome, event.path, event.name, event.reason) == (Outcome.ALLOW, PRESS, "not_a_fault", "warm-up")
        assert event.policies == ("labels-where-alarms-are-granted",)


async def test_a_withdrawal_is_the_label_again_with_its_end() -> None:
    async with served() as running:
        anomaly(running)
        said = await running.client.label_anomaly(str(EPISODE), AnomalyVerdict.FAULT, "the bearing")
        for _ in range(2):
            gone = await running.client.withdraw_anomaly_label(said.labels[0], "it was the sensor")
        assert gone.label is None
        first, last = written(running)
        assert (last.label_id, last.by, last.reason) == (first.label_id, "local", "the bearing")
        assert (last.withdrawn_by, last.withdrawn_reason) == ("local", "it was the sensor")
        assert last.withdrawn_us is not None
        assert last.withdrawn_us >= first.time_us
        (event, *_) = await running.audited("anomaly:withdraw-label")
        assert (event.outcome, event.name) == (Outcome.ALLOW, "withdraw")


async def test_labels_of_others_are_followed_in_any_order_and_shown_with_episodes_that_are_over() -> None:
    async with served() as running:
        anomaly(running)
        await running.client.label_anomaly(str(EPISODE), AnomalyVerdict.FAULT, "the bearing")
        (first,) = written(running)
        anomaly(running, phase="CLOSE", revision=2)
        other = await running.client.withdraw_anomaly_label(first.label_id)
        assert other.end_us == 2
        last = written(running)[-1]
        async with served() as another:
            anomaly(another)
            async with another.client.anomalies(PRESS) as steps:
                assert (await anext(steps)).labels == ()
                anomaly(another, phase="CLOSE", revision=2)
                for record in (last, first, last):
                    another.server.labels.apply(record)
                seen = await anext(steps)
            assert seen.end_us == 2
            assert seen.labels == other.labels
            assert seen.label is None


async def test_what_cannot_be_said_is_refused_by_name() -> None:
    async with served() as running:
        anomaly(running)
        client = running.client
        with pytest.raises(InvalidRequestError, match="verdict"):
            await client.label_anomaly(str(EPISODE), AnomalyVerdict.UNSPECIFIED, "why")
        with pytest.raises(InvalidRequestError, match="episode_id"):
            await client.label_anomaly("77", AnomalyVerdict.FAULT, "why")
        with pytest.raises(InvalidRequestError, match="500"):
            await client.label_anomaly(str(EPISODE), AnomalyVerdict.FAULT, "x" * 501)
        with pytest.raises(NotFoundError, match="no label"):
            await client.withdraw_anomaly_label(uuid7())
        first = await client.label_anomaly(str(EPISODE), AnomalyVerdict.FAULT, "why")
        with pytest.raises(PreconditionError, match=str(first.labels[0].label_id)):
            await client.label_anomaly(str(EPISODE), AnomalyVerdict.NOT_A_FAULT, "no")
        assert len(written(running)) == 1


async def test_who_may_answer_the_alarms_of_a_machine_may_label_its_episodes(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.toml"
    who = {
        "ann": ["read", f"alarm@{PRESS}"],
        "bob": ["read", f"alarm@{LINE}/press02"],
        "cy": ["read"],
        "di": ["alarm", f"read@{LINE}/press02"],
    }
    tokens.write_text(
        "".join(f'[principals.{name}]\nsha256 = "{hash_token(name)}"\nallow = {allow}\n' for name, allow in who.items())
    )
    async with served(tokens=str(tokens), token="ann") as running:
        anomaly(running)

        async def label(name: str) -> str:
            async with AsyncClient(Connection(running.address, token=name)) as client:
                return (await client.label_anomaly(str(EPISODE), AnomalyVerdict.FAULT, "why")).labels[0].by

        for name in ("bob", "cy"):
            with pytest.raises(PermissionDeniedError):
                await label(name)
        with pytest.raises(NotFoundError, match="no anomaly episode"):
            await label("di")
        assert await label("ann") == "ann"
        denied = [event for event in await running.audited("anomaly:label") if event.outcome == Outcome.DENY]
        assert [event.subject for event in denied] == ["bob", "cy"]


async def test_a_program_labels_and_withdraws_over_http(tmp_path: Path) -> None:
    async with web() as face:
        anomaly(face.served)
        label_id = str(uuid7())
        body = {"verdict": "NOT_A_FAULT", "reason": "warm-up", "label_id": label_id}
        for _ in range(2):
            found = await face.post(f"/anomalies/{EPISODE}/label", body, 200)
        assert (found["episode_id"], found["device_path"]) == (str(EPISODE), PRESS)
        (said,) = found["labels"]
        assert (said["label_id"], said["verdict"], said["reason"]) == (label_id, "NOT_A_FAULT", "warm-up")
        assert isinstance(said["time_us"], int)
        assert said.get("withdrawn_us") is None
        refused = await face.post(f"/anomalies/{EPISODE}/label", {"verdict": "FAULT", "reason": "no"}, 409)
        assert label_id in refused["detail"]
        gone = await face.post(f"/anomaly-labels/{label_id}/withdraw", {"reason": "it was the bearing"}, 200)
        (said,) = gone["labels"]
        assert said["withdrawn_us"] >= said["time_us"]
        assert said["withdrawn_reason"] == "it was the bearing"
        assert [label.withdrawn_us is None for label in written(face.served)] == [True, False]
        await face.post(f"/anomalies/{EPISODE}/label", {"verdict": "PERHAPS"}, 400)
        await face.post(f"/anomaly-labels/{uuid7()}/withdraw", {}, 404)
    known = tokens(tmp_path / "tokens.toml", ann=["read", f"alarm@{PRESS}"], cy=["read"])
    async with web(tokens=str(known)) as face:
        anomaly(face.served)
        for name, reason, status in (("cy", "why", 403), ("ann", "", 403), ("ann", "why", 200)):
            headers = {"authorization": f"Bearer {name}-secret"}
            said = {"verdict": "FAULT", "reason": reason}
            await face.post(f"/anomalies/{EPISODE}/label", said, status, headers=headers)
