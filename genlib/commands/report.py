"""`genlib report`: the page of the runs so far; `make repro` writes its own at the end."""

from pathlib import Path

from genlib.errors import InputError
from genlib.files import require_writable, write_text


def report(out: Path, show: bool) -> None:
    """Write the page of the runs so far."""
    from genlib import provenance
    from genlib.params import load_params
    from genlib.report.page import Provenance, render_page
    from genlib.runs import read_results

    root, params = Path.cwd(), load_params()
    trained = [name for name in params.models if (root / "runs/train" / name / "config.json").is_file()]
    if not trained:
        raise InputError("runs/train: got no model of params.yaml, expected runs of `make repro`")
    require_writable(out, "--out")
    results, tune = read_results(root, trained, params.tune.models), params.tune
    data_sha256 = str(results.dataset.get("sha256", ""))
    tags = provenance.tags(root, stage="report", model="", params_digest=params.digest(), data_sha256=data_sha256)
    page = render_page(results, Provenance(tags, params.model_dump(), tune.metric, "genlib report", tune.second_metric))
    write_text(page, out)
    missing = [name for name in params.models if name not in trained]
    print(f"{out}: {len(trained)} models" + (f", without {', '.join(missing)}" if missing else ""))
    if show:
        import webbrowser

        webbrowser.open(out.resolve().as_uri())
