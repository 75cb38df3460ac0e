"""Compiles a bundle's tail: `python -m narrows.models.tail_compile BUNDLE DIGEST PRECISION DEVICE
TARGET`. A process of its own, since compilers crash, fork and keep memory."""

import sys
from pathlib import Path
from typing import cast

import torch

from narrows.codec.manifest import Manifest, Precision
from narrows.errors import BundleError
from narrows.models.bundle import load_tail
from narrows.models.cores import DTYPES, core_module


def compile_tail(bundle: Path, digest: str, precision: Precision, device: str, to: Path) -> None:
    """Write an AOTInductor package of the tail's core, for every batch and latent size.

    Raises:
        BundleError: the folder holds another bundle than that of `digest`.
        Exception: whatever torch's compiler does not get done.
    """
    manifest = Manifest.load(bundle)
    if manifest.digest != digest:
        raise BundleError(f"{bundle}: expected {digest[:8]}..., found {manifest.digest[:8]}...")
    core = core_module(load_tail(bundle, device).tail, precision)
    any_size = torch.export.Dim.DYNAMIC
    latent = torch.zeros(2, manifest.latent.channels, 6, 4, dtype=DTYPES[precision], device=device)
    with torch.no_grad():
        program = torch.export.export(
            core,
            (latent.contiguous(memory_format=torch.channels_last),),
            dynamic_shapes=({0: any_size, 2: any_size, 3: any_size},),
        )
        torch._inductor.aoti_compile_and_package(
            program,
            package_path=str(to),
            inductor_configs={"cpp.dynamic_threads": True},  # as many as the caller's
        )


if __name__ == "__main__":
    folder, whose, asked, where, target = sys.argv[1:]
    compile_tail(Path(folder), whose, cast(Precision, asked), where, Path(target))
