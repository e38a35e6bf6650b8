"""`duml-tracker import`: weights that other projects publish, as weight files of this package."""

from __future__ import annotations

import argparse
from pathlib import Path

from .common import CliError, open_outputs

HELP = "take over weights that other projects publish"
DESCRIPTION = """\
Turn a public checkpoint into a weight file of this package. Nothing in the file is run: tensors are
read with torch's restricted unpickler, and a file that holds more than is known to be harmless is
refused. The first key that is missing or does not fit is named.

  pysot   SiamRPN++ with ResNet-50 (siamrpn_r50_l234_dwxcorr): complete weights of --tracker
          drol_rpn --size pysot, which need no training
  dimp    PyTracking's DiMP-50: backbone and online optimiser of --tracker duml --size r50, whose
          necks and heads then have to be trained
"""
EXAMPLES = """\
# DROL's online module beside PySOT's SiamRPN++
duml-tracker import pysot model.pth --out siamrpn.safetensors
duml-tracker track in.mp4 --box 310,150,40,28 --tracker drol_rpn --size pysot --weights \
siamrpn.safetensors
# train DuML from DiMP's backbone and optimiser
duml-tracker import dimp dimp50.pth --out dimp.safetensors
duml-tracker train duml_r50 --set data.root=DIR --set warm_from=dimp.safetensors
"""
PROJECTS = ("pysot", "dimp")


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("project", choices=PROJECTS, help="whose file it is")
    parser.add_argument("file", metavar="FILE", help="the public checkpoint")
    parser.add_argument("--out", required=True, metavar="OUT", help="a .safetensors file to write")


def run(args: argparse.Namespace) -> int:
    from ..tracker.checkpoint.dimp import import_dimp
    from ..tracker.checkpoint.pysot import import_pysot

    outputs = open_outputs(args)
    outputs.reads("FILE", args.file)
    out = outputs.file("--out", args.out)
    if out.suffix != ".safetensors":
        raise CliError(f"--out {out}: the name must end in .safetensors")
    file = Path(args.file).expanduser()
    if args.project == "pysot":
        digest = import_pysot(file, out)
        use = f"to use it: --tracker drol_rpn --size pysot --weights {out}"
    else:
        digest, left = import_dimp(file, out)
        parts = sorted({".".join(name.split(".")[:2]) for name in left})
        use = f"no counterpart: {', '.join(parts)}\n"
        use += f"to train from it: duml-tracker train duml_r50 --set warm_from={out}"
    print(f"written: {out} (sha256 {digest})\n{use}")
    return 0
