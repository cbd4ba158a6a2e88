"""`genlib report`: the page, of whatever runs there are so far; `make repro` writes its own at the end."""

from __future__ import annotations

from pathlib import Path

from genlib.errors import InputError
from genlib.files import require_writable, write_text


def report(out: Path, show: bool) -> None:
    """Write the page of the runs that there are so far."""
    from genlib import provenance
    from genlib.params import load_params
    from genlib.report.page import Provenance, render_page
    from genlib.runs import read_results

    root, params = Path.cwd(), load_params()
    there = [name for name in params.models if (root / "runs/train" / name / "config.json").is_file()]
    if not there:
        raise InputError("runs/train: got no model of params.yaml, expected runs of `make repro`")
    require_writable(out, "--out")
    results = read_results(root, there, params.tune.models)
    data = str(results.dataset.get("sha256", ""))
    digest = params.digest()
    tags = provenance.tags(root, stage="report", model="", params_digest=digest, data_sha256=data)
    origin = Provenance(tags, params.model_dump(), params.tune.metric, "genlib report", params.tune.second_metric)
    write_text(render_page(results, origin), out)
    missing = [name for name in params.models if name not in there]
    print(f"{out}: {len(there)} models" + (f", without {', '.join(missing)}" if missing else ""))
    if show:
        import webbrowser

        webbrowser.open(out.resolve().as_uri())
