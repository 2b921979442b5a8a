"""The assets that pages share: styles, scripts, the table component and the chart library, all of them local."""

from __future__ import annotations

import json
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import altair
import vl_convert

HERE = Path(__file__).parent / "static"

NOTICES = """\
DataTables 3.1.5, https://datatables.net, MIT licence: see datatables.LICENSE.txt beside this file.

Vega {vega}, Vega-Lite {vega_lite} and Vega-Embed, https://vega.github.io, BSD 3-clause licence, as bundled by
vl-convert-python {vl_convert}:

Copyright (c) 2015-2026, University of Washington Interactive Data Lab and other Vega contributors. All rights reserved.

Redistribution and use in source and binary forms, with or without modification, are permitted provided that the
following conditions are met:

1. Redistributions of source code must retain the above copyright notice, this list of conditions and the following
   disclaimer.
2. Redistributions in binary form must reproduce the above copyright notice, this list of conditions and the following
   disclaimer in the documentation and/or other materials provided with the distribution.
3. Neither the name of the copyright holder nor the names of its contributors may be used to endorse or promote products
   derived from this software without specific prior written permission.

THIS SOFTWARE IS PROVIDED BY THE COPYRIGHT HOLDERS AND CONTRIBUTORS "AS IS" AND ANY EXPRESS OR IMPLIED WARRANTIES,
INCLUDING, BUT NOT LIMITED TO, THE IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS FOR A PARTICULAR PURPOSE ARE
DISCLAIMED. IN NO EVENT SHALL THE COPYRIGHT HOLDER OR CONTRIBUTORS BE LIABLE FOR ANY DIRECT, INDIRECT, INCIDENTAL,
SPECIAL, EXEMPLARY, OR CONSEQUENTIAL DAMAGES (INCLUDING, BUT NOT LIMITED TO, PROCUREMENT OF SUBSTITUTE GOODS OR
SERVICES; LOSS OF USE, DATA, OR PROFITS; OR BUSINESS INTERRUPTION) HOWEVER CAUSED AND ON ANY THEORY OF LIABILITY,
WHETHER IN CONTRACT, STRICT LIABILITY, OR TORT (INCLUDING NEGLIGENCE OR OTHERWISE) ARISING IN ANY WAY OUT OF THE USE OF
THIS SOFTWARE, EVEN IF ADVISED OF THE POSSIBILITY OF SUCH DAMAGE.
"""


def write(out: Path, charts: dict[str, Any]) -> None:
    """Write the assets of a site into ``out``."""
    for source in sorted(HERE.rglob("*")):
        if source.is_file():
            target = out / source.relative_to(HERE)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    (out / "vendor" / "vega.js").write_text(_vega(), encoding="utf-8")
    notices = NOTICES.format(
        vega=altair.VEGA_VERSION, vega_lite=altair.VEGALITE_VERSION, vl_convert=version("vl-convert-python")
    )
    (out / "vendor" / "NOTICES.txt").write_text(notices, encoding="utf-8")
    (out / "charts.js").write_text(f"claimbench.charts = {json.dumps(charts)};\n", encoding="utf-8")


@cache
def _vega() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script that sets ``vegaEmbed``."""
    language = ".".join(altair.VEGALITE_VERSION.split(".")[:2])
    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=language)
    return f"(() => {{{bundle}}})();\n"
