"""The directory of people: ids that stay, files that say nothing, keys that are destroyed, and what goes on when something is missing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from base import key_ring
from base.errors import ConfigError, NotFoundError, PreconditionError, UnavailableError
from privacy import forgetting, person
from privacy.errors import ForgottenError
from privacy.forgotten import KEPT_US
from privacy.settings import PrivacySettings
from privacy.store import Store
from privacy.wrapping import FileWrapping

ISSUER = "https://id.example"
NAME, ADDRESS = "Adelheid Wanzenried", "a.wanzenried@example.org"
S = 1_000_000


def claims(sub: str, *, iat: int = 100, **more: str) -> dict[str, object]:
    return {"iss": ISSUER, "sub": sub, "iat": iat, **more}


ANN = claims("ann-1", name=NAME, email=ADDRESS, preferred_username="ann")


class Place:
    """A folder and a file of keys, and processes that share them."""

    def __init__(self, root: Path) -> None:
        self.folder, self.keys, self.now_us = root / "people", root / "secrets" / "people.keys", 200 * S

    def process(self, *, far: bool = False) -> Store:
        wrapping = Far(f"file:{self.keys}") if far else FileWrapping(f"file:{self.keys}")
        store = Store(self.folder, wrapping, clock=lambda: self.now_us)
        store.refresh()
        return store

    def text(self) -> bytes:
        return b"".join(path.read_bytes() for path in self.folder.iterdir() if path.is_file())


class Other(Place):
    """Of another installation."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.process()


class Far(FileWrapping):
    """A wrapping key that is asked over a network: never in the event loop."""

    local = False
    may_be_asked = True

    def wrap(self, secrets: Sequence[bytes]) -> list[str]:
        assert self.may_be_asked
        return super().wrap(secrets)

    def unwrap(self, wrapped: Sequence[str]) -> list[bytes | None]:
        assert self.may_be_asked
        return super().unwrap(wrapped)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_person_has_one_id_in_every_process_and_after_a_restart(place: Place) -> None:
    one, other = place.process(), place.process()
    ann = one.person_of(ANN)
    assert person.is_subject(ann.subject)
    assert ann.shown == NAME
    assert other.person_of(claims("ann-1")).subject == ann.subject  # before it has looked at the folder again
    other.refresh()
    assert other.of_subject(ann.subject) == ann
    assert place.process().person_of(claims("ann-1")) == ann
    assert one.person_of(claims("ann-2")).subject != ann.subject
    assert one.person_of(ANN | {"iss": "https://other.example"}).subject != ann.subject


def test_nobody_is_shown_by_a_name_of_who_acts_at_a_machine(place: Place) -> None:
    named = ANN | {"name": "Machine: Ann", "preferred_username": "machine", "email": ADDRESS}
    ann = place.process().person_of(named)
    assert (ann.name, ann.shown) == ("Machine: Ann", ADDRESS)
    nameless = place.process().person_of(claims("bob") | {"name": "machine:bob"})
    assert nameless.shown == nameless.subject


def test_nothing_on_disk_says_who_somebody_is_or_which_id_they_have(place: Place) -> None:
    ann = place.process().person_of(ANN)
    for said in (NAME, ADDRESS, "ann-1", ISSUER, ann.subject):
        assert said.encode() not in place.text()
        assert not any(said in path.name for path in place.folder.iterdir())
    assert {path.stat().st_mode & 0o777 for path in place.folder.iterdir()} == {0o600}
    assert place.folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_can_read_is_refused(place: Place) -> None:
    place.folder.mkdir(mode=0o755)
    place.folder.chmod(0o755)
    with pytest.raises(ConfigError, match="chmod 700"):
        place.process()


def test_newer_details_are_kept_and_missing_ones_take_nothing_away(place: Place) -> None:
    one, other = place.process(), place.process()
    ann = one.person_of(ANN)
    assert one.person_of(claims("ann-1", name="Adelheid Other")).name == "Adelheid Other"
    other.refresh()
    known = other.of_subject(ann.subject)
    assert known is not None
    assert (known.name, known.email) == ("Adelheid Other", ADDRESS)


def test_a_forgotten_person_is_gone_everywhere_and_copies_do_not_open(place: Place, tmp_path: Path) -> None:
    one, other = place.process(), place.process()
    ann, bob = one.person_of(ANN), one.person_of(claims("bob-1", name="Bob"))
    other.refresh()
    before, generation = tmp_path / "copy", other.generation
    shutil.copytree(place.folder, before)
    assert forgetting.forget(other, ann.subject, clock=lambda: place.now_us).rewrapped == 1
    for store in (one, other, place.process()):
        store.refresh()
        assert store.of_subject(ann.subject) is None
        assert store.of_subject(bob.subject) == bob
        assert store.unreadable == frozenset()
    assert other.generation > generation
    assert len(key_ring.read(place.keys)) == 1
    # A copy of before, put back: nobody in it can be read.
    shutil.rmtree(place.folder)
    shutil.copytree(before, place.folder)
    restored = place.process
    with pytest.raises(ConfigError, match="does not open"):
        restored()


def test_tokens_of_before_are_refused_and_a_new_sign_in_is_somebody_new(place: Place) -> None:
    store = place.process()
    ann = store.person_of(ANN)
    forgetting.forget(store, ann.subject, clock=lambda: place.now_us)
    with pytest.raises(ForgottenError):
        store.person_of(ANN)
    again = store.person_of(ANN | {"iat": 201})
    assert again.subject != ann.subject
    assert store.of_subject(ann.subject) is None
    assert store.forgotten.unfinished == 0


@pytest.mark.security("T-PEOPLE-PRIVACY")
def test_who_has_folder_and_wrapping_key_does_not_find_out_who_was_forgotten(place: Place) -> None:
    store = place.process()
    ann, bob = store.person_of(ANN), store.person_of(claims("bob-1"))
    names = {path.name for path in place.folder.iterdir()}
    forgetting.forget(store, ann.subject, clock=lambda: place.now_us)
    asked = place.process()  # which can make the name of anybody's file
    assert not (place.folder / f"{asked._name(ISSUER, 'ann-1')}.json").exists()
    assert (place.folder / f"{asked._name(ISSUER, 'bob-1')}.json").exists()
    assert asked.everybody() == [bob]
    assert {path.name for path in place.folder.iterdir()} - names == {"forgotten"}
    assert json.loads((place.folder / "forgotten").read_text()) == {"forgotten_us": place.now_us, "unfinished": 0}


def test_a_token_of_before_a_forgetting_enters_nobody_and_costs_nobody_who_is_known(place: Place) -> None:
    store, other = place.process(), place.process()
    ann, bob = store.person_of(ANN), store.person_of(claims("bob-1"))
    forgetting.forget(store, ann.subject, clock=lambda: place.now_us)
    other.refresh()
    assert other.person_of(claims("bob-1")) == bob
    with pytest.raises(ForgottenError, match="sign in again"):
        other.person_of(claims("cid-1", iat=199))
    assert other.person_of(claims("cid-1", iat=200)).subject


def test_the_note_of_a_forgetting_goes_when_no_token_of_before_can_be_left(place: Place) -> None:
    store, running = place.process(), place.process()
    ann, bob = store.person_of(ANN), store.person_of(claims("bob-1"))
    note = place.folder / "forgotten"
    forgetting.forget(store, ann.subject, clock=lambda: place.now_us)
    place.now_us += KEPT_US
    forgetting.forget(store, bob.subject, clock=lambda: place.now_us)
    assert json.loads(note.read_text())["forgotten_us"] == place.now_us
    place.now_us += KEPT_US
    running.refresh()
    assert note.exists()
    place.now_us += 1
    running.refresh()  # nobody has to be forgotten for it
    assert not note.exists()
    assert running.person_of(ANN).subject != ann.subject


def test_a_note_of_a_forgetting_that_is_damaged_enters_nobody_until_it_is_written_anew(place: Place) -> None:
    store = place.process()
    ann, bob = store.person_of(ANN), store.person_of(claims("bob-1"))
    forgetting.forget(store, ann.subject, clock=lambda: place.now_us)
    (place.folder / "forgotten").write_text("{half")
    with pytest.raises(UnavailableError, match="log says why"):
        store.person_of(ANN | {"iat": 201})
    assert store.person_of(claims("bob-1")) == bob
    forgetting.destroy_older(store)
    with pytest.raises(ForgottenError):
        store.person_of(ANN)
    assert store.person_of(ANN | {"iat": 201}).subject != ann.subject


def test_a_forgetting_that_was_interrupted_is_shown_and_ended(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    store = place.process()
    ann, bob = store.person_of(ANN), store.person_of(claims("bob-1"))
    with monkeypatch.context() as patch:
        patch.setattr(FileWrapping, "drop_before", _fails)
        with pytest.raises(UnavailableError):
            forgetting.forget(store, ann.subject)
    later = place.process()
    assert later.of_subject(ann.subject) is None
    assert later.of_subject(bob.subject) == bob
    assert later.forgotten.unfinished == 1
    assert forgetting.destroy_older(later) == 1
    assert later.forgotten.unfinished == 0
    assert len(key_ring.read(place.keys)) == 1
    assert place.process().of_subject(bob.subject) == bob


def _fails(_: FileWrapping, __: Sequence[str]) -> None:
    raise UnavailableError


def test_while_files_cannot_be_read_nobody_is_forgotten(place: Place) -> None:
    store = place.process()
    ann, bob = store.person_of(ANN), store.person_of(claims("bob-1"))
    file = next(one for one, entry in store.entries().items() if entry.person == bob)
    (place.folder / f"{file}.json").write_text("{half")
    store.refresh()
    assert store.unreadable == {file}
    with pytest.raises(PreconditionError, match=file):
        forgetting.forget(store, ann.subject)
    assert store.of_subject(ann.subject) == ann
    # By name it is put aside, and keeps nobody from anything any more.
    forgetting.forget(store, ann.subject, put_aside=True)
    assert store.everybody() == []
    assert store.unreadable == frozenset()
    assert (place.folder / "aside" / f"{file}.json").exists()
    assert place.process().forgotten.unfinished == 0


@pytest.mark.parametrize("trouble", ["empty", "another", "gone"])
@pytest.mark.security("T-PEOPLE-INSIDER")
def test_a_folder_that_is_not_the_one_that_was_read_gives_nobody_a_second_id(
    place: Place, tmp_path: Path, trouble: str
) -> None:
    store = place.process()
    ann, generation = store.person_of(ANN), store.generation
    shutil.move(place.folder, tmp_path / "away")
    if trouble != "gone":
        place.folder.mkdir(mode=0o700)
    if trouble == "another":
        shutil.copytree(Other(tmp_path / "other").folder, place.folder, dirs_exist_ok=True)
    with pytest.raises(UnavailableError):
        store.person_of(claims("bob-1"))
    with pytest.raises(UnavailableError):
        store.refresh()
    assert store.person_of(ANN) == ann
    assert store.generation == generation
    assert not list(place.folder.glob("*.json"))
    shutil.rmtree(place.folder, ignore_errors=True)
    shutil.move(tmp_path / "away", place.folder)
    store.refresh()
    assert store.person_of(claims("bob-1")).subject != ann.subject


def test_a_copy_of_the_folder_does_not_say_who_was_in_it(place: Place) -> None:
    store = place.process()
    ann = store.person_of(ANN)
    text = (place.folder / "lookup.key").read_text()
    assert store.lookup_key.hex() not in text
    forgetting.forget(store, ann.subject)
    assert store.wrapping.unwrap([json.loads(text)["key"]]) == [None]
    assert place.process().lookup_key == store.lookup_key


def test_a_lookup_key_of_before_it_was_wrapped_is_wrapped_at_the_next_renewal(place: Place) -> None:
    store = place.process()
    bob = store.person_of(claims("bob-1"))
    (place.folder / "lookup.key").write_text(store.lookup_key.hex())
    later = place.process()
    assert later.person_of(claims("bob-1")) == bob
    forgetting.destroy_older(later)
    assert store.lookup_key.hex() not in (place.folder / "lookup.key").read_text()
    later.refresh()
    assert place.process().everybody() == [bob]


def test_a_wrapping_key_that_is_away_delays_no_forgetting(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    one, far = place.process(), place.process(far=True)
    ann, bob, cid = (one.person_of(claims(f"{name}-1")) for name in ("ann", "bob", "cid"))
    far.refresh()
    with monkeypatch.context() as patch:
        patch.setattr(Far, "unwrap", _away)
        for gone in (ann, cid):
            forgetting.forget(one, gone.subject)
        again = one.person_of(claims("cid-1", iat=2**31))
        with pytest.raises(UnavailableError):
            far.refresh()
        assert far.everybody() == [bob]
    far.refresh()
    assert far.of_subject(again.subject) == again


def _away(_: FileWrapping, __: Sequence[str]) -> list[bytes | None]:
    raise UnavailableError


@pytest.mark.security("T-PEOPLE-PRIVACY")
def test_a_running_process_opens_nothing_with_a_version_that_was_destroyed(place: Place) -> None:
    running = place.process()
    ann = running.person_of(ANN)
    copy = [str(entry.file["key"]) for entry in running.entries().values()]
    kept = place.keys.read_bytes()
    assert running.wrapping.unwrap(copy) != [None]
    forgetting.forget(place.process(), ann.subject)
    assert running.wrapping.unwrap(copy) == [None]
    place.keys.write_bytes(kept)
    with pytest.raises(ConfigError, match="older copy"):
        running.wrapping.unwrap(copy)
    with pytest.raises(UnavailableError, match="log says why"):
        running.person_of(claims("bob-1", iat=2**31))


def test_a_wrapping_key_that_is_far_is_never_asked_when_somebody_comes(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = place.process(far=True)
    with monkeypatch.context() as patch:
        patch.setattr(Far, "may_be_asked", False)
        met = [far.person_of(claims(f"p-{number}")) for number in range(4)]
        with pytest.raises(UnavailableError, match="being entered"):
            far.person_of(claims("p-4"))
        assert far.person_of(claims("p-0")) == met[0]
    far.refresh()
    assert far.person_of(claims("p-4")).subject
    # Keys made ahead are wrapped with a version that another process destroys: they serve nobody any more.
    forgetting.forget(place.process(), met[0].subject)
    later = claims("p-5", iat=2**31)
    with pytest.raises(UnavailableError):
        far.person_of(later)
    far.refresh()
    late = far.person_of(later)
    assert place.process().of_subject(late.subject) == late


@pytest.mark.parametrize("step", ["renew", "turn_epoch"])
def test_keys_that_another_process_makes_ahead_meanwhile_are_of_the_newer_version(
    place: Place, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    one, other = place.process(far=True), place.process(far=True)
    ann = one.person_of(ANN)
    owner = one.wrapping if step == "renew" else one
    done = getattr(owner, step)

    def meanwhile() -> None:
        other.refresh()
        done()

    monkeypatch.setattr(owner, step, meanwhile)
    forgetting.forget(one, ann.subject)
    try:
        bob = other.person_of(claims("bob-1", iat=2**31))
    except UnavailableError:  # it knows that what it made ahead serves nobody
        other.refresh()
        bob = other.person_of(claims("bob-1", iat=2**31))
    later = place.process()
    assert later.everybody() == [bob]
    assert later.unreadable == frozenset()
    assert forgetting.destroy_older(later) == 1


@pytest.mark.drill("person-keys")
def test_a_version_that_somebody_else_makes_meanwhile_costs_nobody(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = place.process()
    ann, bob = store.person_of(ANN), store.person_of(claims("bob-1"))
    wrap = store.wrapping.wrap

    def rotated(secrets: Sequence[bytes]) -> list[str]:
        wrapped = wrap(secrets)
        key_ring.add(place.keys)
        return wrapped

    monkeypatch.setattr(store.wrapping, "wrap", rotated)
    forgetting.forget(store, ann.subject)
    assert place.process().everybody() == [bob]
    assert len(key_ring.read(place.keys)) == 2


def test_what_does_not_open_again_keeps_the_older_versions(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    store = place.process()
    bob = store.person_of(claims("bob-1"))
    unwrap = store.wrapping.unwrap
    monkeypatch.setattr(store.wrapping, "unwrap", lambda wrapped: [None, *unwrap(wrapped)[1:]])
    with pytest.raises(UnavailableError, match="do not open again"):
        forgetting.destroy_older(store)
    assert place.process().everybody() == [bob]
    assert len(key_ring.read(place.keys)) == 2


def test_without_its_key_file_a_directory_says_so_and_makes_no_other(place: Place) -> None:
    place.process().person_of(ANN)
    place.keys.rename(place.keys.with_name("away"))
    with pytest.raises(ConfigError, match=r"privacy\.keys"):
        place.process()
    assert not place.keys.exists()


def test_before_it_was_read_nobody_is_known_nor_unknown(place: Place) -> None:
    store = Store(place.folder, FileWrapping(f"file:{place.keys}"))
    with pytest.raises(UnavailableError, match="cannot be read yet"):
        store.person_of(ANN)
    with pytest.raises(UnavailableError, match="cannot be read yet"):
        store.of_subject("person-aaaaaaaaaaaaaaaa")


def test_a_person_is_found_by_what_it_is_called_and_only_one(place: Place) -> None:
    store = place.process()
    ann = store.person_of(ANN)
    for text in (ann.subject, "ann-1", "ANN", NAME.upper(), ADDRESS):
        assert forgetting.find(store, text) == ann
    store.person_of(claims("ann-2", name=NAME))
    with pytest.raises(PreconditionError, match="2 people"):
        forgetting.find(store, NAME)
    with pytest.raises(NotFoundError):
        forgetting.find(store, "nobody")


def test_a_lookup_key_that_is_damaged_or_missing_is_told(place: Place) -> None:
    place.process().person_of(ANN)
    (place.folder / "lookup.key").write_text("\xffhalf")
    with pytest.raises(ConfigError, match="damaged"):
        place.process()
    (place.folder / "lookup.key").unlink()
    with pytest.raises(ConfigError, match="missing"):
        place.process()


def test_settings_that_would_put_the_key_with_what_it_opens_are_refused() -> None:
    with pytest.raises(ValueError, match=r"inside privacy\.folder"):
        PrivacySettings(folder="/data/people", keys="file:/data/people/keys")
    with pytest.raises(ValueError, match="belong together"):
        PrivacySettings(folder="/data/people")


def test_a_file_in_anothers_place_opens_for_nobody(place: Place) -> None:
    store = place.process()
    store.person_of(ANN)
    store.person_of(claims("bob-1"))
    one, other = sorted(place.folder.glob("*.json"))
    one.write_text(json.dumps(json.loads(other.read_text())))
    assert len(place.process().unreadable) == 1


# --- a folder that is empty at a start --------------------------------------------------------------------------------------


@pytest.mark.security("T-PEOPLE-INSIDER")
def test_a_start_with_an_empty_folder_whose_key_is_there_makes_no_directory(place: Place, tmp_path: Path) -> None:
    ann = place.process().person_of(ANN)
    shutil.move(place.folder, tmp_path / "away")
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"is empty.*privacy begin"):
            place.process()
    assert {path.name for path in place.folder.iterdir()} <= {".lock"}
    shutil.rmtree(place.folder)
    shutil.move(tmp_path / "away", place.folder)
    assert place.process().everybody() == [ann]


def test_a_new_directory_is_made_where_somebody_says_so_and_only_in_an_empty_folder(
    place: Place, tmp_path: Path
) -> None:
    ann = place.process().person_of(ANN)
    shutil.move(place.folder, tmp_path / "away")
    new = Store(place.folder, FileWrapping(f"file:{place.keys}"), clock=lambda: place.now_us)
    new.begin()
    assert new.person_of(ANN).subject != ann.subject
    with pytest.raises(PreconditionError, match="already"):
        place.process().begin()
    assert len(place.process().everybody()) == 1


def test_a_first_start_that_was_interrupted_goes_on(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as crash:
        crash.setattr(FileWrapping, "wrap", _fails)
        with pytest.raises(UnavailableError):
            place.process()
    assert place.keys.exists()
    assert place.process().person_of(ANN).subject
    assert not (place.folder / ".begun").exists()
