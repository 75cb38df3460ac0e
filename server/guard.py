"""Who is let in, to what, and how often. Every call passes here, streams with every frame."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from narrows.errors import ConfigError
from narrows.protos.narrows.v1 import inference_pb2
from narrows.security.identity import Identity, Revocations, identity_of
from narrows.server.logs import about
from narrows.server.quotas import Allowance, Quotas
from narrows.server.ration import Ration
from narrows.server.refusal import Refusal

log = logging.getLogger(__name__)
Status = inference_pb2.FrameStatus
LINES_PER_SECOND = 5  # of strangers
NO_DEVICE = "a device's certificate is needed: `narrows pki enroll` makes one"


@dataclass(eq=False)
class Visitor:
    """One device, on however many streams."""

    name: str
    identity: Identity | None  # None without TLS
    allowance: Allowance = field(default_factory=Allowance)

    @property
    def shown(self) -> str:
        """Its name for people; without TLS its address, so that counters are one a machine."""
        return self.name if self.identity else self.name.rpartition(":")[0]


class Guard:
    """Checks identities against the revocation list, and frames against quotas."""

    def __init__(self, tls: Path | None, quotas: Path | None):
        """`tls`: the server's credentials; None: nobody is known, peers go by their address.

        Raises:
            ConfigError: a file that is missing or says something else than it should.
        """
        if quotas is not None and tls is None:
            raise ConfigError("--quotas without --tls: nobody is known without a certificate")
        self._revocations = None if tls is None else Revocations(tls)
        self._quotas = Quotas(quotas)
        self._visitors: dict[str, Visitor] = {}  # as many as the fleet has devices

    def visitor(self, context: grpc.aio.ServicerContext) -> Visitor | None:
        """Who calls; None for a stranger or a revoked certificate."""
        if self._revocations is None:
            return Visitor(context.peer(), None)
        identity = identity_of(context.auth_context())
        if identity is None or self._revocations.has(identity):
            return None
        known = self._visitors.get(identity.name)
        if known is None or known.identity != identity:
            allowance = known.allowance if known else Allowance()
            known = self._visitors[identity.name] = Visitor(identity.name, identity, allowance)
        return known

    def revoked(self, visitor: Visitor) -> bool:
        """Whether the certificate that a stream began with is revoked by now."""
        return (
            self._revocations is not None
            and visitor.identity is not None
            and self._revocations.has(visitor.identity)
        )

    def check(self, visitor: Visitor, bundle: str) -> None:
        """One frame for the bundle of that name.

        Raises:
            Refusal: the device may not use it, or sends faster than it may.
        """
        quota = self._quotas.of(visitor.name)
        if quota.bundles and bundle not in quota.bundles:
            allowed = ", ".join(quota.bundles)
            raise Refusal(
                Status.NOT_ALLOWED, f"{visitor.name} may not use {bundle!r}, but {allowed}"
            )
        early_s = visitor.allowance.take(quota.frames_per_second)
        if early_s:
            raise Refusal(
                Status.QUOTA_EXCEEDED,
                f"{visitor.name} may send {quota.frames_per_second:g} frames a second",
                retry_after_ms=round(1e3 * early_s) + 1,
            )


class GuardInterceptor(grpc.aio.ServerInterceptor):
    """Refuses strangers before any service sees their call."""

    def __init__(self, guard: Guard):
        self._guard, self._lines = guard, Ration(LINES_PER_SECOND)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler:
        handler = await continuation(handler_call_details)
        if handler is None:
            return handler
        kinds = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
        kind = next(kind for kind in kinds if getattr(handler, kind))
        wrap = self._answering if kind.endswith("unary") else self._streaming
        return getattr(grpc, f"{kind}_rpc_method_handler")(  # type: ignore[no-any-return]
            wrap(getattr(handler, kind), handler_call_details.method),
            handler.request_deserializer, handler.response_serializer,
        )  # fmt: skip

    def _answering(self, behaviour: Any, method: str) -> Any:
        async def guarded(request: Any, context: grpc.aio.ServicerContext) -> Any:
            await self._let_in(context, method)
            return await behaviour(request, context)

        return guarded

    def _streaming(self, behaviour: Any, method: str) -> Any:
        async def guarded(request: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
            await self._let_in(context, method)
            answers = behaviour(request, context)
            if hasattr(answers, "__aiter__"):
                async for answer in answers:
                    yield answer
            else:  # it writes to the context itself
                await answers

        return guarded

    async def _let_in(self, context: grpc.aio.ServicerContext, method: str) -> None:
        if self._guard.visitor(context) is None:
            if self._lines.take():
                fields = about(device=context.peer(), unsaid=self._lines.settle() or None)
                log.warning("a stranger, or a revoked certificate, at %s", method, extra=fields)
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, NO_DEVICE)
