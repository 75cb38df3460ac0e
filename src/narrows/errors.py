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
    ├── SourceError          a photo, folder or video that cannot be read
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
    """A photo, folder or video cannot be read."""


class LinkError(NarrowsError):
    """The server cannot be reached, or stopped answering."""
