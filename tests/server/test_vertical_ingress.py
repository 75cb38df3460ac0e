"""Where parties connect, on loopback: who is let in, who is turned away, and that it harms nobody.

The parties are `take_part` with a real socket; the coordinator's side asks as its loop does.
"""

import asyncio
import contextlib
import os
import time
from types import SimpleNamespace

import grpc
import pytest
from vertical_group import Group, terms_of

pytest.importorskip("ray", reason="needs the server extra")

from narrows.edge.link import LinkSettings
from narrows.edge.vertical import join
from narrows.edge.vertical.join import Straggling, take_part
from narrows.edge.vertical.party import Party
from narrows.errors import LinkError, SessionError
from narrows.protos.narrows.v1 import vertical_pb2 as pb
from narrows.protos.narrows.v1 import vertical_pb2_grpc as pb_grpc
from narrows.security.authority import Authority
from narrows.server.vertical import ingress as module
from narrows.server.vertical.ingress import Ingress, IngressSettings

LINK = LinkSettings(give_up_s=60.0, backoff_cap_s=0.1)
INTRODUCE = pb.CoordinatorMessage(introduce=pb.Introduce(session="0" * 32, parties=["party-0"]))
FINISH = pb.CoordinatorMessage(finish=pb.Finish())


def run(scenario, **settings):
    """A fresh ingress for two parties."""

    async def whole():
        ingress = Ingress()
        port, _ = await ingress.start(IngressSettings(**({"parties": 2} | settings)))
        try:
            return await asyncio.wait_for(scenario(ingress, f"127.0.0.1:{port}"), 100)
        finally:
            await ingress.close()

    return asyncio.run(whole())


async def ask(ingress: Ingress, name: str, question: pb.CoordinatorMessage) -> tuple[str, bytes]:
    return await ingress.ask(name, question.SerializeToString())


@contextlib.asynccontextmanager
async def joining(party, address: str, link: LinkSettings = LINK, **straggling):
    """The task of a party that takes part."""
    task = asyncio.create_task(take_part(party, address, link, Straggling(**straggling)))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition) -> None:
    while not condition():  # the ingress tells of a change only those who gather
        await asyncio.sleep(0.01)


async def says(address: str, *messages: pb.PartyMessage, credentials=None) -> grpc.StatusCode:
    """How a stream ends on which these were sent."""
    channel = (
        grpc.aio.insecure_channel(address)
        if credentials is None
        else grpc.aio.secure_channel(address, credentials)
    )
    async with channel:
        stream = pb_grpc.VerticalStub(channel).Join()
        with contextlib.suppress(grpc.aio.AioRpcError):
            for message in messages:
                await stream.write(message)
            if messages:
                await stream.done_writing()
            async for _ in stream:
                pass
        return await stream.code(), await stream.details()


def hello(name: str, digest: bytes = b"") -> pb.PartyMessage:
    return pb.PartyMessage(hello=pb.Hello(name=name, terms_digest=digest))


@pytest.fixture
def group(tmp_path) -> Group:
    return Group(tmp_path)


def test_parties_gather_answer_and_leave_at_the_end(group):
    async def scenario(ingress, address):
        async with joining(group.parties[0], address) as one, joining(group.parties[1], address):
            assert await ingress.gather(2) == ["party-0", "party-1"]
            kind, body = await ask(ingress, "party-0", INTRODUCE)
            assert kind == "introduction"
            assert pb.Introduction.FromString(body).records == len(group.settings[0].table.ids)
            group.parties[0]._rounds = _Ends()
            assert await ask(ingress, "party-0", FINISH) == ("finished", b"")
            await one
            await until(lambda: ingress._present() == ["party-1"])
            assert await ask(ingress, "party-0", FINISH) == ("", b"")

    run(scenario)


class _Ends:
    """Rounds of which nothing is left but their end."""

    terms = terms_of(f"party-{n}" for n in range(5))

    def learn(self, gradients) -> None:
        pass


def test_what_a_party_refuses_is_told_and_ends_it(group):
    async def scenario(ingress, address):
        async with joining(group.parties[0], address) as one:
            await ingress.gather(1)
            kind, body = await ask(ingress, "party-0", FINISH)
            assert kind == "refusal"
            assert "before terms were agreed on" in pb.Refusal.FromString(body).message
            with pytest.raises(SessionError, match="before terms"):
                await one
            await until(lambda: not ingress._present())

    run(scenario)


def test_a_third_party_is_turned_away_while_two_are_here(group):
    async def scenario(ingress, address):
        async with joining(group.parties[0], address), joining(group.parties[1], address):
            await ingress.gather(2)
            with pytest.raises(LinkError, match="'party-2': all 2 parties are here"):
                await take_part(group.parties[2], address, LINK, Straggling())
            assert (await ask(ingress, "party-0", INTRODUCE))[0] == "introduction"

    run(scenario)


def test_a_name_that_is_here_is_not_taken_by_a_second_party(group):
    async def scenario(ingress, address):
        async with joining(group.parties[0], address) as one:
            await ingress.gather(1)
            twin = Party(group.settings[0])
            link = LinkSettings(give_up_s=0.3, backoff_cap_s=0.1)
            with pytest.raises(LinkError, match=r"no coordinator for 0\.3 s: 'party-0' is here"):
                await take_part(twin, address, link, Straggling())
            assert not one.done()
            assert (await ask(ingress, "party-0", INTRODUCE))[0] == "introduction"

    run(scenario)


def test_once_begun_only_those_who_kept_the_session_come_back(group):
    digest = b"\7" * 32

    async def scenario(ingress, address):
        await ingress.begin(["party-0", "party-1"], digest)
        for name, told, said in [
            ("party-2", digest, "the session has begun without it"),
            ("party-0", b"", "come back with the folder it was begun with"),
            ("party-0", b"\6" * 32, "come back with the folder"),
            ("", digest, "expected a name"),
            ("x" * 65, digest, "expected a name"),
        ]:
            code, details = await says(address, hello(name, told))
            assert code is grpc.StatusCode.FAILED_PRECONDITION
            assert said in details
        assert await ingress.present() == []

    run(scenario)


def test_a_begun_sessions_party_that_comes_again_takes_its_seat_and_the_old_process_ends(group):
    group.begin(terms_of(group.names))

    async def scenario(ingress, address):
        await ingress.begin(group.names, group.terms.digest)
        async with joining(group.parties[0], address) as old:
            await ingress.gather(1)
            async with joining(Party(group.settings[0]), address) as new:
                with pytest.raises(LinkError, match="'party-0': another came in its name"):
                    await old
                question = pb.CoordinatorMessage(share=pb.Share(round=1, step=0))
                assert (await ask(ingress, "party-0", question))[0] == "shares"
                assert not new.done()

    run(scenario, parties=5)


def test_none_but_the_named_parties_are_let_in(group):
    async def scenario(ingress, address):
        code, details = await says(address, hello("party-2"))
        assert code is grpc.StatusCode.FAILED_PRECONDITION
        assert "not one of the parties party-0, party-1" in details
        async with joining(group.parties[0], address):
            await ingress.gather(1)

    run(scenario, names=("party-0", "party-1"))


def test_streams_that_say_no_hello_are_ended_and_harm_nobody(group, monkeypatch):
    async def scenario(ingress, address):
        async with joining(group.parties[0], address):
            await ingress.gather(1)
            monkeypatch.setattr(module, "HELLO_SECONDS", 0.2)
            for messages in ((), (pb.PartyMessage(),), (pb.PartyMessage(kept=pb.Kept()),)):
                code, details = await says(address, *messages)
                assert code is grpc.StatusCode.INVALID_ARGUMENT
                assert "expected a Hello first" in details
            assert await ingress.present() == ["party-0"]
            assert (await ask(ingress, "party-0", INTRODUCE))[0] == "introduction"

    run(scenario)


def test_bytes_that_are_no_protocol_harm_nobody(group):
    async def scenario(ingress, address):
        async with joining(group.parties[0], address):
            await ingress.gather(1)
            host, port = address.split(":")
            for garbage in (b"\0" * 100, os.urandom(5000), b"GET / HTTP/1.1\r\n\r\n"):
                reader, writer = await asyncio.open_connection(host, port)
                writer.write(garbage)
                with contextlib.suppress(OSError):
                    await writer.drain()
                    await reader.read()
                writer.close()
            async with grpc.aio.insecure_channel(address) as channel:
                raw = channel.stream_stream("/narrows.v1.Vertical/Join")
                for first in (b"\xff" * 50, hello("party-9").SerializeToString()):
                    stream = raw()
                    await stream.write(first)
                    await stream.write(b"\xff" * 50)
                    with contextlib.suppress(grpc.aio.AioRpcError):
                        async for _ in stream:
                            pass
            await until(lambda: ingress._present() == ["party-0"])
            assert (await ask(ingress, "party-0", INTRODUCE))[0] == "introduction"

    run(scenario)


def test_a_party_waits_for_a_coordinator_and_gives_up_when_none_comes(group):
    async def scenario(ingress, address):
        await ingress.close()
        link = LinkSettings(give_up_s=0.5, backoff_cap_s=0.1, connect_timeout_s=0.2)
        with pytest.raises(LinkError, match=r"no coordinator for 0\.5 s"):
            await take_part(group.parties[0], address, link, Straggling())

    run(scenario)


def test_it_gives_up_only_that_long_after_it_was_let_in_last(group, monkeypatch):
    """Not after its last answer: the others may let it wait for hours."""
    passed_s = 0.0  # beside what passes by itself
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + passed_s)
    monkeypatch.setattr(join, "time", clock)

    async def scenario(ingress, address):
        nonlocal passed_s
        async with joining(group.parties[0], address) as one:
            await ingress.gather(1)
            passed_s = 10 * LINK.give_up_s  # longer than it would try without a coordinator
            await ingress.close()
            again = Ingress()
            await again.start(IngressSettings(2, port=int(address.split(":")[1])))
            try:
                await again.gather(1)
                assert not one.done()
            finally:
                await again.close()

    run(scenario)


def test_a_stream_that_breaks_while_a_party_computes_is_opened_again(group):
    """The answer is lost, the party is not."""

    async def scenario(ingress, address):
        party, began, go_on = group.parties[0], asyncio.Event(), asyncio.Event()
        loop, answer = asyncio.get_running_loop(), party.answer

        def slowly(message):
            loop.call_soon_threadsafe(began.set)
            asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result()
            return answer(message)

        party.answer = slowly
        async with joining(party, address) as one:
            await ingress.gather(1)
            asked = asyncio.create_task(ask(ingress, "party-0", INTRODUCE))
            await began.wait()
            await ingress._server.stop(0)
            assert (await asked)[0] == ""
            again = Ingress()
            await again.start(IngressSettings(2, port=int(address.split(":")[1])))
            try:
                go_on.set()
                await again.gather(1)
                assert (await ask(again, "party-0", INTRODUCE))[0] == "introduction"
                assert not one.done()
            finally:
                await again.close()

    run(scenario)


def test_a_newer_question_ends_the_delay_of_an_older_ones_answer(group):
    group.begin(terms_of(group.names))

    async def scenario(ingress, address):
        await ingress.begin(group.names, group.terms.digest)
        shares = group.share(1, 0)
        sealed = [shares[n].sealed[0] for n in range(5)]
        evaluate = pb.Evaluate(round=1, step=0, versions=[1] * 5, sealed=sealed)
        party = Party(group.settings[0])
        async with joining(party, address, mean_s=1e6):
            await ingress.gather(1)
            question = pb.CoordinatorMessage(evaluate=evaluate)
            late = asyncio.create_task(ask(ingress, "party-0", question))
            await until(lambda: party._rounds._evaluated == 1)
            question = pb.CoordinatorMessage(share=pb.Share(round=2, step=1))
            assert (await ask(ingress, "party-0", question))[0] == "shares"
            assert (await late)[0] == ""

    run(scenario, parties=5)


@pytest.fixture
def fleet(tmp_path, group):
    """Certificates of the server and of two parties; `other` is of another authority."""
    authority = Authority.create(tmp_path / "ca")
    authority.serve("here", ["127.0.0.1"], tmp_path / "server")
    for name in ("party-0", "party-1"):
        authority.enroll(name, tmp_path / "tls" / name)
    other = Authority.create(tmp_path / "other-ca")
    other.enroll("party-1", tmp_path / "tls" / "other")
    return authority


def with_tls(folder, give_up_s: float = 60.0) -> LinkSettings:
    return LinkSettings(give_up_s=give_up_s, backoff_cap_s=0.1, tls=folder)


def test_strangers_are_turned_away_where_there_are_certificates(fleet, group, tmp_path):
    tls = tmp_path / "tls"

    async def scenario(ingress, address):
        async with joining(group.parties[0], address, with_tls(tls / "party-0")):
            await ingress.gather(1)
            for stranger in (tls / "other", None):  # of another authority; plain text
                link = with_tls(stranger, give_up_s=0.5)
                with pytest.raises(LinkError, match=r"no coordinator for 0\.5 s"):
                    await take_part(group.parties[1], address, link, Straggling())
            none = grpc.ssl_channel_credentials((tls / "party-0" / "ca.crt").read_bytes())
            code, _ = await says(address, hello("party-1"), credentials=none)
            assert code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.PERMISSION_DENIED)
            with pytest.raises(LinkError, match="'party-2': its certificate is of 'party-1'"):
                await take_part(group.parties[2], address, with_tls(tls / "party-1"), Straggling())
            fleet.revoke("party-1")
            with pytest.raises(LinkError, match="a device's certificate is needed"):
                await take_part(group.parties[1], address, with_tls(tls / "party-1"), Straggling())
            assert await ingress.present() == ["party-0"]
            assert (await ask(ingress, "party-0", INTRODUCE))[0] == "introduction"

    run(scenario, tls=tmp_path / "server")


def test_a_certificate_revoked_meanwhile_ends_the_stream(fleet, group, tmp_path):
    async def scenario(ingress, address):
        link = with_tls(tmp_path / "tls" / "party-0")
        async with joining(group.parties[0], address, link) as one:
            await ingress.gather(1)
            fleet.revoke("party-0")
            assert (await ask(ingress, "party-0", INTRODUCE))[0] == ""
            with pytest.raises(LinkError, match="certificate is needed"):
                await one

    run(scenario, tls=tmp_path / "server")
