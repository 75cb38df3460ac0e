"""Every error a user or a peer can cause, as one tree.

    NarrowsError
    ├── ConfigError          a flag, file or variable asks for something impossible
    ├── BundleError          a bundle on disk does not hold together
    │   └── SignatureError   ... or was not signed by the expected key
    ├── PacketError          bytes that are not a decodable packet
    │   ├── TruncatedPacket  ... too few bytes
    │   ├── ChecksumError    ... bytes changed on the way
    │   ├── UnsupportedVersion
    │   ├── ShapeError       ... a latent this bundle does not accept
    │   ├── CorruptPayload   ... the entropy decoder found an impossible state
    │   └── MissingReference ... coded against a frame that is not here
    ├── SourceError          a photo, folder, video or table that cannot be read
    ├── SensorError          an energy sensor that is not there, or not to be read
    ├── SharingError         what parties sent gives no result
    │   ├── TooFewResponses  ... fewer than the recovery threshold
    │   ├── WrongResponses   ... they do not lie on one polynomial, or are malformed
    │   └── UnusableSet      ... no blinded set of record ids, or no positions in one
    ├── IdentityError        a party that does not prove to be the one it names
    ├── SealError            a sealed message that was altered, or meant for another place
    ├── SessionError         a vertical session that cannot begin, or not go on
    └── LinkError            the server cannot be reached, or stopped answering

Each message says what was expected, what came, and what to do. The command line turns
them into one line and exit code 2.
"""


class NarrowsError(Exception):
    """Root of the tree: anything below is the caller's to handle, not a bug."""


class ConfigError(NarrowsError):
    """A flag, file or environment variable asks for something impossible."""


class BundleError(NarrowsError):
    """A bundle's files are missing, altered, or do not fit each other."""


class SignatureError(BundleError):
    """A bundle's signature is missing or was not made by the expected key."""


class PacketError(NarrowsError):
    """Bytes that are not a packet this decoder can turn into symbols."""


class TruncatedPacket(PacketError):
    """Fewer bytes than the header announces."""


class ChecksumError(PacketError):
    """The CRC-32C does not match: bytes changed on the way."""


class UnsupportedVersion(PacketError):
    """The packet's format version is not one this decoder speaks."""


class ShapeError(PacketError):
    """The latent's height, width or operating point is outside what the bundle accepts."""


class CorruptPayload(PacketError):
    """The entropy decoder reached a state no encoder produces."""


class MissingReference(PacketError):
    """An inter packet whose reference frame this decoder does not have."""


class SourceError(NarrowsError):
    """A photo, folder, video or table cannot be read."""


class SensorError(NarrowsError):
    """An energy sensor is not there, may not be read, or tells what cannot be."""


class SharingError(NarrowsError):
    """What parties sent does not give the result that they compute together."""


class TooFewResponses(SharingError):
    """Fewer parties answered than the recovery threshold asks for."""


class WrongResponses(SharingError):
    """Responses that are malformed or disagree; `parties` are those the message names."""

    def __init__(self, message: str, parties: tuple[int, ...]) -> None:
        super().__init__(message)
        self.parties = parties


class UnusableSet(SharingError):
    """Bytes that are no blinded set of record ids, or positions that are not in one."""


class IdentityError(NarrowsError):
    """A party that does not prove to be the one it names."""


class SealError(NarrowsError):
    """A sealed message that was altered, or was sealed for another place than it came to."""


class SessionError(NarrowsError):
    """A vertical session whose members do not agree, or of which too few are left."""


class LinkError(NarrowsError):
    """The server cannot be reached, or stopped answering."""
