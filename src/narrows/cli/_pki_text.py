"""What `narrows pki` prints."""

from dataclasses import asdict
from json import dumps

from narrows.security.authority import Authority, Issued


def told(issued: Issued, as_json: bool) -> str:
    if as_json:
        return dumps(asdict(issued))
    return f"{issued.kind} {issued.name}: {issued.folder}, until {issued.expires}"


def listed(authority: Authority, as_json: bool) -> str:
    revoked = authority.revoked()
    rows = [asdict(row) | {"revoked": int(row.serial, 16) in revoked} for row in authority.issued()]
    if as_json:
        return dumps(rows)
    return "\n".join(
        f"{row['kind']:8}{row['name']:24}{row['expires']}{'  revoked' * row['revoked']}"
        for row in rows
    )
