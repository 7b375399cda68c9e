"""Who an instance is: keys, certificates, words, and the sealed form of secrets. Pure: randomness and time are given.

master seed ── chain key: the identity that all instances of a chain share; signs certificates
device secret ── instance key, noise key, feed key: one machine's own, named together in its certificate
"""

from crow_plugins.identity import canonical_json, certificate, keys, sealing, signing, words
from crow_plugins.identity.certificate import Certificate
from crow_plugins.identity.keys import DeviceKeys, KeyPair
from crow_plugins.identity.words import fingerprint

__all__ = [
    "Certificate",
    "DeviceKeys",
    "KeyPair",
    "canonical_json",
    "certificate",
    "fingerprint",
    "keys",
    "sealing",
    "signing",
    "words",
]
