"""What can be wrong with an identity.

    IdentityError
    ├── BadJson                 not the one spelling of a JSON value that can be signed
    ├── BadLabel                a signature's purpose or signer is not spelled as one can be
    ├── BadSignature            the signature is not by this key over these bytes
    ├── DegenerateKey           no honest machine has this public key
    ├── BadName                 an instance cannot be called that
    ├── CertificateError        blame the certificate: somebody else made it
    │   ├── CertificateTooLarge, CertificateMalformed, CertificateNewer
    │   ├── CertificateForeign  of another identity
    │   ├── CertificateForged   says it is ours, and the chain key did not sign it
    │   ├── FeedKeyForged       another feed key stands beside it than was certified
    │   └── CertificateNotYetValid, CertificateExpired
    ├── WordsError              blame the typing
    │   └── WrongWordCount, UnknownWord, WrongChecksum
    ├── SealError               blame the file
    │   └── SealDamaged, SealNewer, PassphraseMissing, WrongPassphrase, EmptyPassphrase, NoMemory
    ├── ProbeError              the other machine did not show who it is
    │   ├── ProbeMalformed, ProbeNewer
    │   ├── WrongChallenge      another challenge is echoed than was sent
    │   ├── ChallengeUnknown    a challenge that was answered before, or never made here
    │   ├── WrongInstance       it speaks of another instance than it should
    │   ├── ProbeOfItself       the machine talks to itself
    │   └── ProbeForged         not by the key it should be from
    ├── RevocationError         blame the statement: somebody else made it
    │   ├── RevocationTooLarge, RevocationMalformed, RevocationNewer
    │   ├── RevocationForeign   of another identity
    │   └── RevocationForged    names our chain, and the chain key did not sign it
    ├── InvitationError         joining by a one-time code
    │   ├── CodeMistyped        blame the typing
    │   ├── JoinMalformed, JoinNewer
    │   ├── WrongCode           made with another code, or changed on its way
    │   ├── WrongAnswer         rightly made, and not for what was asked
    │   ├── JoinRefused         the machine that invites said no
    │   └── InvitationExpired, InvitationUsed, TriesUsedUp
    └── TransferError           blame the file that carries an identity
        └── NotAnExport, DeviceSecretCarried, ExportUnsealed

No message repeats what another machine sent.
"""

from __future__ import annotations

from crow_hooks import CrowError


class IdentityError(CrowError):
    """Something is wrong with an identity."""

    code = "identity_error"


class BadJson(IdentityError):
    """Bytes or a value that have no canonical JSON form, or not this one."""

    code = "bad_json"

    def __init__(self, reason: str) -> None:
        super().__init__(f"this is not canonical JSON: {reason}; use the bytes as their author made them")


class BadLabel(IdentityError):
    """A signature's purpose or signer is not spelled as one can be."""

    code = "bad_label"

    def __init__(self, part: str, allowed: str) -> None:
        super().__init__(f"the {part} of a signature is {allowed}; choose such a one")


class BadSignature(IdentityError):
    """A signature is not by this key, for this purpose, over these bytes."""

    code = "bad_signature"

    def __init__(self, purpose: str) -> None:
        super().__init__(f"the signature ({purpose}) is not by the one it should be from; do not trust what it covers")


class DegenerateKey(IdentityError):
    """A public key that no honest machine has: signatures under it can be forged."""

    code = "degenerate_key"

    def __init__(self, which: str) -> None:
        super().__init__(f"the {which} is not a key that a machine can have; do not trust who sent it")


class BadName(IdentityError):
    """An instance cannot have this name."""

    code = "bad_name"

    def __init__(self, characters_max: int) -> None:
        super().__init__(
            f"a name has 1 to {characters_max} characters, no control or invisible ones, no space at its ends; "
            "choose another"
        )


class CertificateError(IdentityError):
    """A certificate is not to be trusted."""

    code = "certificate_error"


class CertificateTooLarge(CertificateError):
    """Longer than any certificate; it was not looked at."""

    code = "certificate_too_large"

    def __init__(self, size_max: int) -> None:
        super().__init__(f"a certificate has at most {size_max} bytes; ask for it again")


class CertificateMalformed(CertificateError):
    """Not spelled as a certificate is; `reason` names the first thing wrong."""

    code = "certificate_malformed"

    def __init__(self, reason: str) -> None:
        super().__init__(f"this is not a certificate: {reason}; ask the machine for it again")


class CertificateNewer(CertificateError):
    """A format that this release does not know."""

    code = "certificate_newer"

    def __init__(self) -> None:
        super().__init__("the certificate was made by a newer release; update this machine's crow to read it")


class CertificateForeign(CertificateError):
    """It is by another identity: the machine is of another chain."""

    code = "certificate_foreign"

    def __init__(self) -> None:
        super().__init__(
            "the certificate is of another identity: that machine is not of this chain; "
            "join it with crow invite, or import the identity there"
        )


class CertificateForged(CertificateError):
    """It names our chain, and the chain key did not sign it."""

    code = "certificate_forged"

    def __init__(self) -> None:
        super().__init__("the certificate is not signed by the chain it names; do not trust the machine that sent it")


class FeedKeyForged(CertificateError):
    """Another feed key stands beside the certificate than the chain key certified."""

    code = "feed_key_forged"

    def __init__(self) -> None:
        super().__init__("the feed key that came is not the certified one; do not trust the machine that sent it")


class CertificateNotYetValid(CertificateError):
    """Its first second is still to come."""

    code = "certificate_not_yet_valid"

    def __init__(self, seconds: int) -> None:
        super().__init__(f"the certificate starts to be valid {seconds} seconds from now; set the clocks right")


class CertificateExpired(CertificateError):
    """Its last second is over."""

    code = "certificate_expired"

    def __init__(self, seconds: int) -> None:
        super().__init__(f"the certificate expired {seconds} seconds ago; certify the machine again")


class WordsError(IdentityError):
    """Backup words that give no seed."""

    code = "words_error"


class WrongWordCount(WordsError):
    """Too few words, or too many."""

    code = "wrong_word_count"

    def __init__(self, count: int, wanted: int) -> None:
        super().__init__(f"these are {count} words; an identity has {wanted}, so look for what is missing or doubled")


class UnknownWord(WordsError):
    """A word that is not of the list; `position` counts from 1."""

    code = "unknown_word"

    def __init__(self, position: int, nearest: str | None) -> None:
        self.position, self.nearest = position, nearest
        advice = f'did you mean "{nearest}"?' if nearest else "look at it again"
        super().__init__(f"word {position} is none of the 2048 that backup words are made of; {advice}")


class WrongChecksum(WordsError):
    """Each word is one of the list, and together they are not what was written down."""

    code = "wrong_checksum"

    def __init__(self) -> None:
        super().__init__("these words do not belong together: one is wrong or two are swapped; compare them again")


class SealError(IdentityError):
    """A secret that cannot be had from its file."""

    code = "seal_error"


class SealDamaged(SealError):
    """The file's content is not what was written; `kind` says of which secret."""

    code = "seal_damaged"

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(f"the file of the {kind} is damaged ({reason}); restore it from a backup")


class SealNewer(SealError):
    """A format that this release does not know."""

    code = "seal_newer"

    def __init__(self, kind: str) -> None:
        super().__init__(f"the file of the {kind} was written by a newer release; update crow to read it")


class PassphraseMissing(SealError):
    """The secret is encrypted and no passphrase was given."""

    code = "passphrase_missing"

    def __init__(self, kind: str) -> None:
        super().__init__(
            f"the {kind} is encrypted; name a file that holds the passphrase in CROW_PASSPHRASE_FILE, "
            "or run this on a terminal"
        )


class WrongPassphrase(SealError):
    """The passphrase does not open the secret."""

    code = "wrong_passphrase"

    def __init__(self, kind: str) -> None:
        super().__init__(f"the passphrase does not open the {kind}; check it and try again")


class EmptyPassphrase(SealError):
    """Nothing was given where a passphrase was promised."""

    code = "empty_passphrase"

    def __init__(self, source: object = "the passphrase") -> None:
        super().__init__(f"{source} is empty, which protects nothing; give a passphrase, or leave it out altogether")


class NoMemory(SealError):
    """The memory that makes guessing passphrases expensive could not be had."""

    code = "no_memory"

    def __init__(self, memory_bytes: int) -> None:
        super().__init__(f"checking the passphrase needs {memory_bytes >> 20} MiB of memory; free some and try again")


class ProbeError(IdentityError):
    """A machine did not show who it is."""

    code = "probe_error"


class ProbeMalformed(ProbeError):
    """Not spelled as a message of the challenge is; `reason` names the first thing wrong."""

    code = "probe_malformed"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"this is not a message of the challenge: {reason}; check that the address is of a Crow gateway"
        )


class ProbeNewer(ProbeError):
    """A format that this release does not know."""

    code = "probe_newer"

    def __init__(self) -> None:
        super().__init__("the other machine speaks as a newer release does; update this machine's crow")


class WrongChallenge(ProbeError):
    """What was echoed is not what was sent."""

    code = "wrong_challenge"

    def __init__(self) -> None:
        super().__init__("the other machine answers another challenge than it was sent; do not trust it, or try again")


class ChallengeUnknown(ProbeError):
    """A proof for a challenge that is not open here."""

    code = "challenge_unknown"

    def __init__(self) -> None:
        super().__init__("this challenge was used before, is too old, or was not made here; begin again with a new one")


class WrongInstance(ProbeError):
    """What a machine says of itself does not fit what it said before."""

    code = "wrong_instance"

    def __init__(self) -> None:
        super().__init__("the machine there is not the instance it should be; check its address")


class ProbeOfItself(ProbeError):
    """The other end has our own id."""

    code = "probe_of_itself"

    def __init__(self) -> None:
        super().__init__("that is this instance itself; give the address of another machine")


class ProbeForged(ProbeError):
    """It names a key, and that key did not make it, or it was not meant for ours."""

    code = "probe_forged"

    def __init__(self) -> None:
        super().__init__("the other machine does not hold the key it names; do not trust it")


class RevocationError(IdentityError):
    """A statement of revocation is not to be trusted."""

    code = "revocation_error"


class RevocationTooLarge(RevocationError):
    """Longer than any statement; it was not looked at."""

    code = "revocation_too_large"

    def __init__(self, size_max: int) -> None:
        super().__init__(f"a revocation has at most {size_max} bytes; ask another machine for it")


class RevocationMalformed(RevocationError):
    """Not spelled as a revocation is; `reason` names the first thing wrong."""

    code = "revocation_malformed"

    def __init__(self, reason: str) -> None:
        super().__init__(f"this is not a revocation: {reason}; ask another machine for it")


class RevocationNewer(RevocationError):
    """A format that this release does not know."""

    code = "revocation_newer"

    def __init__(self) -> None:
        super().__init__("the revocation was made by a newer release; update this machine's crow to obey it")


class RevocationForeign(RevocationError):
    """It is by another identity."""

    code = "revocation_foreign"

    def __init__(self) -> None:
        super().__init__("the revocation is of another identity and means nothing here; check which machine sent it")


class RevocationForged(RevocationError):
    """It names our chain, and the chain key did not sign it."""

    code = "revocation_forged"

    def __init__(self) -> None:
        super().__init__("the revocation is not signed by the chain it names; do not trust the machine that sent it")


class InvitationError(IdentityError):
    """A machine cannot join by this invitation."""

    code = "invitation_error"


class CodeMistyped(InvitationError):
    """What was typed is no code; `reason` says how that shows."""

    code = "code_mistyped"

    def __init__(self, reason: str) -> None:
        super().__init__(f"this is not an invitation code: {reason}; compare it with what crow invite shows")


class JoinMalformed(InvitationError):
    """Not spelled as a message of joining is; `reason` names the first thing wrong."""

    code = "join_malformed"

    def __init__(self, reason: str) -> None:
        super().__init__(f"this is not a message of joining: {reason}; check that the address is of a Crow gateway")


class JoinNewer(InvitationError):
    """A format that this release does not know."""

    code = "join_newer"

    def __init__(self) -> None:
        super().__init__("the other machine joins as a newer release does; use the same release of crow on both")


class WrongCode(InvitationError):
    """Made with another code, or changed on its way."""

    code = "wrong_code"

    def __init__(self) -> None:
        super().__init__("the other machine does not know this code, or somebody changes what the two say; check both")


class WrongAnswer(InvitationError):
    """It is by one who knows the code, and not for what was asked."""

    code = "wrong_answer"

    def __init__(self) -> None:
        super().__init__("the answer does not fit what this machine asked for; make a new invitation")


class JoinRefused(InvitationError):
    """The machine that invites said no, for this reason."""

    code = "join_refused"

    def __init__(self, reason: str, sentence: str) -> None:
        self.reason = reason
        super().__init__(f"the machine that invites refused: {sentence}")


class InvitationExpired(InvitationError):
    """The time of an invitation is over."""

    code = "invitation_expired"

    def __init__(self) -> None:
        super().__init__("the invitation has expired; make a new one with: crow invite")


class InvitationUsed(InvitationError):
    """A machine has joined by this invitation already."""

    code = "invitation_used"

    def __init__(self) -> None:
        super().__init__("the invitation was used already; make a new one with: crow invite")


class TriesUsedUp(InvitationError):
    """Wrong codes were tried too often."""

    code = "tries_used_up"

    def __init__(self) -> None:
        super().__init__("wrong codes were tried too often for this invitation; make a new one with: crow invite")


class TransferError(IdentityError):
    """A file from which no identity can be taken over."""

    code = "transfer_error"


class NotAnExport(TransferError):
    """The file is something else than an exported identity."""

    code = "not_an_export"

    def __init__(self) -> None:
        super().__init__("this is not an exported identity; make one on the other machine with: crow identity export")


class DeviceSecretCarried(TransferError):
    """The file holds the secret of one machine, which never leaves it."""

    code = "device_secret_carried"

    def __init__(self) -> None:
        super().__init__(
            "this file holds the secret of one machine, which must stay there; delete it, "
            "and make another on that machine with: crow identity export"
        )


class ExportUnsealed(TransferError):
    """The file holds the seed for everybody to read."""

    code = "export_unsealed"

    def __init__(self) -> None:
        super().__init__("the identity in this file is not encrypted; make another with: crow identity export")
