"""An identity is made once and whole, found again, opened by its passphrase alone, and never lost or mixed up."""

from __future__ import annotations

import json
import os
import random
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from crow_hooks import CrowError
from crow_plugins.files import ForeignOwner, NotPlain, NotPrivate, read_private, write_private
from crow_plugins.identity import certificate, fingerprint, keys, sealing, signing, words
from crow_plugins.identity.errors import (
    BadLabel,
    BadName,
    CertificateForeign,
    CertificateMalformed,
    CertificateNotYetValid,
    SealDamaged,
    SealNewer,
)
from crow_plugins.keyring import (
    PASSPHRASE_SIZE_MAX,
    BadPassphraseSource,
    EmptyPassphrase,
    IdentityDamaged,
    IdentityExists,
    IdentityNewer,
    Keyring,
    KeyringError,
    NoIdentity,
    NoSeed,
    PassphraseMissing,
    WrongCertificate,
    WrongPassphrase,
    passphrase_from_environment,
)
from tests.identity.making import LEAST_COST

NOW = 1_711_000_000
PASSPHRASE = "correct horse"
STEPS_MAX = 40
SOMEBODY = 12345
CUT_EVERY = 3  # bytes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "home"


def make(folder: Path, passphrase: str | None = None, **options: Any) -> Keyring:
    return Keyring.create(folder, "grackle", "home", NOW, passphrase, cost=LEAST_COST, **options)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def change(path: Path, **changes: object) -> None:
    write_private(path, json.dumps({**json.loads(path.read_bytes()), **changes}).encode())


# ---- making and finding again ---------------------------------------------------------------------


def test_an_identity_is_found_again_as_it_was_made(folder: Path) -> None:
    made = make(folder)
    found = Keyring.load(folder)
    assert found.identity == made.identity == Keyring.public(folder)
    assert found.device.noise.seed == made.device.noise.seed
    assert (found.identity.name, found.identity.role) == ("grackle", "home")
    assert not found.locked


def test_its_public_facts_are_those_of_its_keys(folder: Path) -> None:
    made = make(folder)
    facts, chain = made.identity, made.chain_key().public_key
    assert facts.chain == chain.hex()
    assert facts.fingerprint == fingerprint(chain)
    assert facts.instance_key == made.device.instance.public_key.hex()
    assert facts.noise_key == made.device.noise.public_key.hex()
    assert facts.feed_key == made.device.feed.public_key.hex()
    assert (facts.encrypted, facts.has_seed) == (False, True)
    assert json.loads(json.dumps(asdict(facts))) == asdict(facts)


def test_its_certificate_is_the_chains_and_valid_from_now(folder: Path) -> None:
    facts = make(folder).identity
    known = certificate.verify(facts.certificate, bytes.fromhex(facts.chain), NOW)
    assert (known.instance_id, known.serial, known.not_before, known.expires) == (facts.instance_id, 1, NOW, None)


def test_two_identities_share_nothing(tmp_path: Path) -> None:
    one, other = asdict(make(tmp_path / "one").identity), asdict(make(tmp_path / "other").identity)
    assert [name for name in one if one[name] == other[name]] == ["name", "role", "encrypted", "has_seed"]


def test_the_same_random_bytes_make_the_same_files(tmp_path: Path) -> None:
    make(tmp_path / "one", PASSPHRASE, random=random.Random(7).randbytes)
    make(tmp_path / "other", PASSPHRASE, random=random.Random(7).randbytes)
    assert contents(tmp_path / "one") == contents(tmp_path / "other")


def test_everything_lies_there_for_its_owner_alone(folder: Path) -> None:
    make(folder)
    modes = {str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*")}
    assert modes == {"identity.json": 0o600, "keys": 0o700, "keys/device.json": 0o600, "keys/seed.json": 0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_no_secret_is_in_the_public_file_nor_in_the_words_for_it(folder: Path) -> None:
    keyring = make(folder)
    public = (folder / "identity.json").read_text() + repr(keyring.identity) + repr(keyring)
    device = json.loads((folder / "keys" / "device.json").read_bytes())["secret"]
    for secret in (device, keyring.seed().hex(), keyring.device.feed.seed.hex()):
        assert secret not in public


def test_a_seed_makes_another_instance_of_the_same_chain(tmp_path: Path) -> None:
    home = make(tmp_path / "one")
    seed = words.to_secret(home.words())
    other = Keyring.create(tmp_path / "other", "swan", "satellite", NOW, seed=seed).identity
    assert other.chain == home.identity.chain
    assert other.fingerprint == home.identity.fingerprint
    assert other.instance_id != home.identity.instance_id
    assert other.instance_key != home.identity.instance_key


@pytest.mark.parametrize("name", ["", "x" * 65, "a\nb"])
def test_a_name_that_cannot_be_makes_no_identity(name: str, folder: Path) -> None:
    with pytest.raises(BadName):
        Keyring.create(folder, name, "home", NOW)
    assert not folder.exists()


def test_a_role_that_is_none_makes_no_identity(folder: Path) -> None:
    role: Any = "node"
    with pytest.raises(CertificateMalformed, match="role"):
        Keyring.create(folder, "grackle", role, NOW)


# ---- refusing to make -----------------------------------------------------------------------------


def test_an_identity_is_never_overwritten(folder: Path) -> None:
    make(folder)
    before = contents(folder)
    with pytest.raises(IdentityExists, match="already"):
        make(folder, PASSPHRASE)
    assert contents(folder) == before


def test_not_even_one_that_cannot_be_read(folder: Path) -> None:
    make(folder)
    write_private(folder / "identity.json", b"")
    with pytest.raises(IdentityExists):
        make(folder)
    (folder / "identity.json").unlink()
    (folder / "identity.json").symlink_to(folder / "nowhere")
    with pytest.raises(IdentityExists):
        make(folder)


def test_of_many_who_make_one_at_once_exactly_one_wins(folder: Path) -> None:
    def attempt(_: int) -> Keyring | None:
        try:
            return make(folder)
        except IdentityExists:
            return None

    with ThreadPoolExecutor(8) as pool:
        (winner,) = [made for made in pool.map(attempt, range(8)) if made is not None]
    assert Keyring.load(folder).identity == winner.identity
    assert Keyring.load(folder).words() == winner.words()


def test_keys_without_an_identity_are_set_aside_and_not_lost(folder: Path) -> None:
    seed = make(folder).seed()
    (folder / "identity.json").unlink()
    make(folder)
    (aside,) = folder.glob("keys.set-aside-*")
    kept = read_private(aside / "seed.json")
    assert sealing.secret_of("master seed", kept) == seed != Keyring.load(folder).seed()


def test_an_identity_is_not_made_where_others_can_read(folder: Path) -> None:
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    with pytest.raises(NotPrivate, match="chmod 700"):
        make(folder)
    assert list(folder.iterdir()) == []


def test_nor_through_a_link(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    folder.mkdir(mode=0o700)
    (folder / "keys").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotPlain):
        make(folder)
    assert list((tmp_path / "elsewhere").iterdir()) == []


# ---- crashes --------------------------------------------------------------------------------------

CRASHING = """
import os, sys
from pathlib import Path
from crow_plugins.keyring import Keyring

left = int(sys.argv[2])

def counted(call):
    def count(*arguments, **options):
        global left
        left -= 1
        if left < 0:
            os._exit(9)
        return call(*arguments, **options)
    return count

for name in ("mkdir", "rename", "fchmod", "fsync", "replace", "link", "unlink"):
    setattr(os, name, counted(getattr(os, name)))
Keyring.create(Path(sys.argv[1]), "swan", "home", 1711000000)
"""


def crash_after(steps: int, folder: Path) -> bool:
    """Make an identity in a process that dies after so many changes to the disk; whether it died."""
    arguments = [sys.executable, "-c", CRASHING, str(folder), str(steps)]
    done = subprocess.run(arguments, capture_output=True, timeout=60)
    assert done.returncode in (0, 9), done.stderr
    return done.returncode == 9


def test_a_crash_at_any_step_leaves_no_identity_or_a_whole_one(tmp_path: Path) -> None:
    whole: list[bool] = []
    for steps in range(STEPS_MAX):
        folder = tmp_path / str(steps)
        if not crash_after(steps, folder):
            break
        try:
            assert Keyring.load(folder).identity.name == "swan"
            whole.append(True)
        except NoIdentity:
            assert make(folder).identity == Keyring.load(folder).identity
            whole.append(False)
    assert len(whole) < STEPS_MAX
    assert whole == sorted(whole)
    assert 5 < whole.count(False) < len(whole)


# ---- passphrases ----------------------------------------------------------------------------------


def test_with_a_passphrase_no_secret_lies_in_the_clear(folder: Path) -> None:
    keyring = make(folder, PASSPHRASE)
    everything = b"".join(contents(folder).values())
    for secret in (keyring.seed(PASSPHRASE), keyring.device.instance.seed, PASSPHRASE.encode()):
        assert secret.hex().encode() not in everything
        assert secret not in everything
    assert keyring.identity.encrypted


def test_the_usual_cost_works_from_end_to_end(folder: Path) -> None:
    made = Keyring.create(folder, "grackle", "home", NOW, PASSPHRASE)
    assert Keyring.load(folder, PASSPHRASE).identity == made.identity
    kdf = json.loads((folder / "keys" / "device.json").read_bytes())["kdf"]
    assert (kdf["passes"], kdf["memory"]) == (3, 256 << 20)


def test_the_passphrase_opens_device_and_seed(folder: Path) -> None:
    made = make(folder, PASSPHRASE)
    found = Keyring.load(folder, PASSPHRASE)
    assert found.device.feed.seed == made.device.feed.seed
    assert words.to_secret(found.words(PASSPHRASE)) == found.seed(PASSPHRASE)


def test_each_secret_has_salt_and_nonce_of_its_own(folder: Path) -> None:
    make(folder, PASSPHRASE)
    device, seed = (json.loads((folder / "keys" / f"{name}.json").read_bytes()) for name in ("device", "seed"))
    assert device["kdf"]["salt"] != seed["kdf"]["salt"]
    assert device["box"][:48] != seed["box"][:48]


def test_without_its_passphrase_a_keyring_is_locked_and_tells_public_facts_only(folder: Path) -> None:
    made = make(folder, PASSPHRASE)
    found = Keyring.load(folder)
    assert found.locked
    assert found.identity == made.identity
    refusals: list[Callable[[], object]] = [lambda: found.device, lambda: found.sign("token", b""), found.words]
    for refused in refusals:
        with pytest.raises(PassphraseMissing):
            refused()


def test_a_locked_keyring_is_unlocked_by_its_passphrase(folder: Path) -> None:
    made = make(folder, PASSPHRASE)
    found = Keyring.load(folder)
    with pytest.raises(WrongPassphrase):
        found.unlock("wrong")
    with pytest.raises(PassphraseMissing):
        found.unlock(None)
    assert found.locked
    found.unlock(PASSPHRASE)
    assert found.sign("token", b"x") == made.sign("token", b"x")


@pytest.mark.parametrize("passphrase", ["wrong", PASSPHRASE + " ", PASSPHRASE.upper()])
def test_a_wrong_passphrase_is_told_at_once(passphrase: str, folder: Path) -> None:
    keyring = make(folder, PASSPHRASE)
    with pytest.raises(WrongPassphrase, match="device secret"):
        Keyring.load(folder, passphrase)
    with pytest.raises(WrongPassphrase, match="master seed"):
        keyring.words(passphrase)


def test_an_empty_passphrase_is_not_taken_for_none(folder: Path) -> None:
    with pytest.raises(EmptyPassphrase):
        make(folder, "")
    assert not folder.exists()


def test_a_passphrase_that_is_not_needed_is_not_looked_at(folder: Path) -> None:
    make(folder)
    assert Keyring.load(folder, "any").words("any")


def test_a_running_gateway_needs_the_device_secret_only(folder: Path) -> None:
    make(folder, PASSPHRASE)
    (folder / "keys" / "seed.json").unlink()
    found = Keyring.load(folder, PASSPHRASE)
    assert found.sign("probe", b"x")
    assert not found.identity.has_seed
    with pytest.raises(NoSeed, match="invitation"):
        found.words(PASSPHRASE)


# ---- signing --------------------------------------------------------------------------------------


def test_an_instance_signs_in_its_own_name(folder: Path) -> None:
    keyring = make(folder)
    signature, facts = keyring.sign("probe", b"payload"), keyring.identity
    signing.verify(bytes.fromhex(facts.instance_key), "probe", facts.instance_id, b"payload", signature)


@pytest.mark.parametrize("purpose", ["", "Probe", "crow/v1/probe", "a\0b"])
def test_it_signs_for_no_purpose_that_is_spelled_otherwise(purpose: str, folder: Path) -> None:
    with pytest.raises(BadLabel):
        make(folder).sign(purpose, b"")


def test_what_an_instance_signs_is_no_certificate(folder: Path) -> None:
    keyring = make(folder)
    body, chain = b"{}", keyring.chain_key()
    assert keyring.sign("certificate", body) != signing.sign(chain, "certificate", keyring.identity.instance_id, body)


# ---- joining --------------------------------------------------------------------------------------


def certified(home: Keyring, device_secret: bytes) -> bytes:
    device = keys.device_keys(device_secret)
    request = certificate.Certificate(
        chain=home.chain_key().public_key,
        instance_id="00112233-4455-4677-8899-aabbccddeeff",
        name="swan",
        role="satellite",
        instance_key=device.instance.public_key,
        noise_key=device.noise.public_key,
        feed_key=device.feed.public_key,
        serial=1,
        not_before=NOW,
    )
    return certificate.issue(request, home.chain_key())


def test_a_machine_that_was_certified_elsewhere_keeps_no_seed(tmp_path: Path) -> None:
    home, secret = make(tmp_path / "home"), bytes(range(32))
    chain = bytes.fromhex(home.identity.chain)
    made = Keyring.adopt(tmp_path / "swan", secret, certified(home, secret), chain, NOW, PASSPHRASE, cost=LEAST_COST)
    found = Keyring.load(tmp_path / "swan", PASSPHRASE)
    assert found.identity == made.identity
    assert (found.identity.name, found.identity.chain) == ("swan", home.identity.chain)
    assert not found.identity.has_seed
    with pytest.raises(NoSeed):
        found.chain_key(PASSPHRASE)


def test_a_certificate_for_other_keys_is_not_adopted(tmp_path: Path) -> None:
    home = make(tmp_path / "home")
    chain = bytes.fromhex(home.identity.chain)
    with pytest.raises(WrongCertificate, match="another machine"):
        Keyring.adopt(tmp_path / "swan", bytes(32), certified(home, bytes(range(32))), chain, NOW)
    assert not (tmp_path / "swan").exists()


def test_a_certificate_of_another_chain_is_not_adopted(tmp_path: Path) -> None:
    home, other = make(tmp_path / "home"), make(tmp_path / "other")
    with pytest.raises(CertificateForeign):
        Keyring.adopt(tmp_path / "swan", bytes(32), certified(home, bytes(32)), other.chain_key().public_key, NOW)
    assert not (tmp_path / "swan").exists()


def test_a_certificate_that_is_not_valid_now_is_not_adopted(tmp_path: Path) -> None:
    home = make(tmp_path / "home")
    long_ago = NOW - certificate.CLOCK_TOLERANCE_SECONDS - 1
    with pytest.raises(CertificateNotYetValid):
        Keyring.adopt(tmp_path / "swan", bytes(32), certified(home, bytes(32)), home.chain_key().public_key, long_ago)
    assert not (tmp_path / "swan").exists()


# ---- damage ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["", "missing"])
def test_where_none_was_made_it_says_how_to_make_one(path: str, tmp_path: Path) -> None:
    for ask in (Keyring.load, Keyring.public):
        with pytest.raises(NoIdentity, match="crow init"):
            ask(tmp_path / path)


@pytest.mark.parametrize("name", ["identity.json", "keys/device.json", "keys/seed.json"])
def test_a_file_that_others_can_read_is_refused(name: str, folder: Path) -> None:
    make(folder)
    (folder / name).chmod(0o640)
    with pytest.raises(NotPrivate, match="chmod 600"):
        Keyring.load(folder).words()


@pytest.mark.parametrize("name", ["", "keys"])
def test_a_folder_that_others_can_enter_is_refused(name: str, folder: Path) -> None:
    make(folder)
    (folder / name).chmod(0o750)
    with pytest.raises(NotPrivate, match="chmod 700"):
        Keyring.load(folder)


@pytest.mark.parametrize("name", ["identity.json", "keys/device.json", "keys/seed.json"])
def test_a_link_in_the_place_of_a_file_is_refused(name: str, folder: Path, tmp_path: Path) -> None:
    make(folder)
    (folder / name).rename(tmp_path / "moved")
    (folder / name).symlink_to(tmp_path / "moved")
    with pytest.raises(NotPlain):
        Keyring.load(folder).words()


@pytest.mark.parametrize("name", ["", "keys"])
def test_a_link_in_the_place_of_a_folder_is_refused(name: str, folder: Path, tmp_path: Path) -> None:
    make(folder)
    (folder / name).rename(tmp_path / "moved")
    (folder / name).symlink_to(tmp_path / "moved")
    with pytest.raises(NotPlain, match="plain folder"):
        Keyring.load(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("name", ["", "identity.json", "keys", "keys/device.json", "keys/seed.json"])
def test_what_belongs_to_somebody_else_is_refused_with_the_chown_to_run(name: str, folder: Path) -> None:
    make(folder)
    os.chown(folder / name, SOMEBODY, -1)
    with pytest.raises(ForeignOwner) as refused:
        Keyring.load(folder).words()
    subprocess.run(str(refused.value).rpartition(": ")[2], shell=True, check=True)
    assert Keyring.load(folder).words()


def test_an_identity_without_its_device_secret_says_so(folder: Path) -> None:
    make(folder)
    (folder / "keys" / "device.json").unlink()
    with pytest.raises(IdentityDamaged, match="missing"):
        Keyring.load(folder)
    shutil.rmtree(folder / "keys")
    with pytest.raises(IdentityDamaged, match="missing"):
        Keyring.public(folder)


@pytest.mark.parametrize("content", [b"", b"null", b"[]", b"{}", b"{", b"\xff", b'{"v":1,"v":1}'])
def test_an_identity_that_is_not_what_was_written_is_damaged(content: bytes, folder: Path) -> None:
    make(folder)
    write_private(folder / "identity.json", content)
    with pytest.raises(IdentityDamaged, match="restore"):
        Keyring.load(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"v": 0},
        {"v": "1"},
        {"v": True},
        {"v": 1.0},
        {"chain": None},
        {"chain": "00" * 31},
        {"chain": "00" * 32},
        {"chain": "ZZ" * 32},
        {"certificate": None},
        {"certificate": {}},
        {"certificate": "text"},
        {"more": 1},
    ],
)
def test_a_field_of_an_identity_that_was_changed_is_noticed(changes: dict[str, object], folder: Path) -> None:
    make(folder)
    change(folder / "identity.json", **changes)
    with pytest.raises(IdentityDamaged):
        Keyring.load(folder)


def test_a_name_changed_by_hand_is_noticed(folder: Path) -> None:
    make(folder)
    text = (folder / "identity.json").read_bytes()
    write_private(folder / "identity.json", text.replace(b"grackle", b"starling"))
    with pytest.raises(IdentityDamaged, match="not the chain's"):
        Keyring.load(folder)


def test_newer_formats_say_to_update(folder: Path) -> None:
    make(folder)
    change(folder / "keys" / "seed.json", v=2)
    with pytest.raises(SealNewer, match="update"):
        Keyring.load(folder).words()
    change(folder / "keys" / "device.json", v=2)
    with pytest.raises(SealNewer, match="update"):
        Keyring.load(folder)
    change(folder / "identity.json", v=2, more="fields")
    with pytest.raises(IdentityNewer, match="update"):
        Keyring.load(folder)


def test_a_newer_certificate_says_to_update(folder: Path) -> None:
    make(folder)
    signed = json.loads((folder / "identity.json").read_bytes())["certificate"]
    signed["certificate"]["v"] = 2
    change(folder / "identity.json", certificate=signed)
    with pytest.raises(IdentityNewer):
        Keyring.load(folder)


@pytest.mark.parametrize("name", ["identity.json", "keys/device.json", "keys/seed.json"])
def test_files_of_two_identities_do_not_mix(name: str, tmp_path: Path) -> None:
    make(tmp_path / "one")
    make(tmp_path / "other")
    shutil.copy(tmp_path / "other" / name, tmp_path / "one" / name)
    with pytest.raises(IdentityDamaged, match="another"):
        Keyring.load(tmp_path / "one").words()


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE], ids=["plain", "sealed"])
@pytest.mark.parametrize(("copied", "over"), [("seed", "device"), ("device", "seed")])
def test_seed_and_device_secret_cannot_be_swapped(copied: str, over: str, passphrase: str | None, folder: Path) -> None:
    make(folder, passphrase)
    shutil.copy(folder / "keys" / f"{copied}.json", folder / "keys" / f"{over}.json")
    with pytest.raises(SealDamaged, match="another secret"):
        Keyring.load(folder, passphrase).words(passphrase)


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE], ids=["plain", "sealed"])
@pytest.mark.parametrize("name", ["identity.json", "keys/device.json", "keys/seed.json"])
def test_a_file_that_is_cut_short_anywhere_is_damaged(name: str, passphrase: str | None, folder: Path) -> None:
    made = make(folder, passphrase)

    def read() -> object:
        return made.words(passphrase) if "seed" in name else Keyring.public(folder)

    whole = (folder / name).read_bytes()
    for length in range(0, len(whole.rstrip()), CUT_EVERY):
        (folder / name).write_bytes(whole[:length])
        with pytest.raises((IdentityDamaged, SealDamaged), match="restore"):
            read()


def test_a_wrong_clock_does_not_lock_its_owner_out(folder: Path) -> None:
    Keyring.create(folder, "grackle", "home", NOW + 10**9)
    assert Keyring.load(folder).identity.name == "grackle"


def test_every_refusal_is_one_sentence_with_a_code_of_its_own(folder: Path) -> None:
    refusals: list[CrowError] = [
        NoIdentity(folder),
        IdentityExists(folder),
        IdentityDamaged(folder, "reason"),
        IdentityNewer(folder),
        NoSeed(folder),
        WrongCertificate(),
        BadPassphraseSource("source", "reason"),
    ]
    assert {type(refusal) for refusal in refusals} == set(KeyringError.__subclasses__())
    assert len({refusal.code for refusal in refusals}) == len(refusals)
    assert all("\n" not in str(refusal) and ";" in str(refusal) for refusal in refusals)


# ---- the passphrase of the environment ------------------------------------------------------------


@pytest.fixture
def secret_file(tmp_path: Path) -> Callable[[bytes], str]:
    def write(content: bytes) -> str:
        write_private(tmp_path / "secret", content)
        return str(tmp_path / "secret")

    return write


def descriptor_with(content: bytes) -> str:
    reader, writer = os.pipe()
    with os.fdopen(writer, "wb") as pipe:
        pipe.write(content)
    return str(reader)


LINES = pytest.mark.parametrize(
    ("content", "passphrase"),
    [
        (b"sesam", "sesam"),
        (b"sesam\n", "sesam"),
        (b"sesam\r\nmore\n", "sesam"),
        (b" spaced out \n", " spaced out "),
        ("Öl\n".encode(), "Öl"),
    ],
)


def test_where_the_environment_says_nothing_there_is_none(tmp_path: Path) -> None:
    assert passphrase_from_environment({}) is None
    assert passphrase_from_environment({"CREDENTIALS_DIRECTORY": str(tmp_path)}) is None
    assert passphrase_from_environment({"CROW_PASSPHRASE_FILE": "", "CROW_PASSPHRASE_FD": ""}) is None


@LINES
def test_the_first_line_of_a_private_file(content: bytes, passphrase: str, secret_file: Callable[[bytes], str]) -> None:
    assert passphrase_from_environment({"CROW_PASSPHRASE_FILE": secret_file(content)}) == passphrase


@LINES
def test_the_first_line_that_a_descriptor_gives(content: bytes, passphrase: str) -> None:
    assert passphrase_from_environment({"CROW_PASSPHRASE_FD": descriptor_with(content)}) == passphrase


@LINES
def test_the_first_line_of_the_service_managers_credential(content: bytes, passphrase: str, tmp_path: Path) -> None:
    (tmp_path / "crow-passphrase").write_bytes(content)
    (tmp_path / "crow-passphrase").chmod(0o440)
    assert passphrase_from_environment({"CREDENTIALS_DIRECTORY": str(tmp_path)}) == passphrase


def test_a_descriptor_is_read_to_its_line_end_without_waiting_for_more() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"sesam\n")
    assert passphrase_from_environment({"CROW_PASSPHRASE_FD": str(reader)}) == "sesam"
    os.close(writer)


def test_a_descriptor_gives_it_once() -> None:
    environment = {"CROW_PASSPHRASE_FD": descriptor_with(b"sesam\n")}
    assert passphrase_from_environment(environment) == "sesam"
    with pytest.raises(BadPassphraseSource, match="not an open descriptor"):
        passphrase_from_environment(environment)


def test_a_file_goes_before_a_descriptor_and_that_before_a_credential(
    secret_file: Callable[[bytes], str], tmp_path: Path
) -> None:
    (tmp_path / "crow-passphrase").write_bytes(b"third")
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path), "CROW_PASSPHRASE_FD": descriptor_with(b"second")}
    assert passphrase_from_environment({**environment, "CROW_PASSPHRASE_FILE": secret_file(b"first")}) == "first"
    assert passphrase_from_environment(environment) == "second"


@pytest.mark.parametrize("number", ["x", "-1", "9999", "99999999999999999999", "1.5"])
def test_a_descriptor_that_is_none_is_refused(number: str) -> None:
    with pytest.raises(BadPassphraseSource, match="CROW_PASSPHRASE_FD"):
        passphrase_from_environment({"CROW_PASSPHRASE_FD": number})


def test_a_passphrase_file_that_others_can_read_is_refused(secret_file: Callable[[bytes], str]) -> None:
    path = secret_file(b"sesam")
    Path(path).chmod(0o644)
    with pytest.raises(BadPassphraseSource, match=f"chmod 600 {path}"):
        passphrase_from_environment({"CROW_PASSPHRASE_FILE": path})


def test_a_passphrase_file_that_is_not_there_is_missed(tmp_path: Path) -> None:
    with pytest.raises(BadPassphraseSource, match="there is no file"):
        passphrase_from_environment({"CROW_PASSPHRASE_FILE": str(tmp_path / "missing")})


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n", b"\nsesam"])
def test_an_empty_first_line_is_no_passphrase(content: bytes, secret_file: Callable[[bytes], str]) -> None:
    for environment in (
        {"CROW_PASSPHRASE_FILE": secret_file(content)},
        {"CROW_PASSPHRASE_FD": descriptor_with(content)},
    ):
        with pytest.raises(EmptyPassphrase, match="is empty"):
            passphrase_from_environment(environment)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"x" * (PASSPHRASE_SIZE_MAX + 1)])
def test_what_cannot_be_a_passphrase_is_refused(content: bytes, secret_file: Callable[[bytes], str]) -> None:
    for environment in (
        {"CROW_PASSPHRASE_FILE": secret_file(content)},
        {"CROW_PASSPHRASE_FD": descriptor_with(content)},
    ):
        with pytest.raises(BadPassphraseSource):
            passphrase_from_environment(environment)


def test_the_longest_passphrase_is_taken(secret_file: Callable[[bytes], str]) -> None:
    longest = "x" * PASSPHRASE_SIZE_MAX
    assert passphrase_from_environment({"CROW_PASSPHRASE_FILE": secret_file(longest.encode())}) == longest
    assert passphrase_from_environment({"CROW_PASSPHRASE_FD": descriptor_with(longest.encode())}) == longest
