"""Real or fake? A page on loopback that asks people, one image at a time, and keeps each answer as it is given.

What is shown to whom is a function of the seed and the rater's name: as many real test images as generated ones, and
a few whose answer is plain to see, in an order of its own for each rater. The page knows a position and a picture;
which it is stays here.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from genlib.data.batches import seeded
from genlib.evaluation.parts.answers import CATCH, KINDS, Answer, append, read_answers

if TYPE_CHECKING:
    from flask import Flask

CATCHES = 12  # of how many images one is plain to see
SIDE = 256  # pixels that the larger side is shown at, at least
NAME = re.compile(r"[\w .-]{1,40}")


@dataclass(frozen=True)
class Item:
    """One image: its name, what it is, and its pixels uint8 [C, H, W]."""

    name: str
    truth: str
    pixels: Tensor


def items(real: Tensor, fake: Tensor, seed: int, mark: str) -> list[Item]:
    """Real and generated images uint8 [n, C, H, W], and of every CATCHES of them one of noise; their names begin with
    `mark`, by which answers are told from those about other weights."""
    noise = torch.randint(256, (max(1, 2 * len(real) // CATCHES), *real.shape[1:]), generator=seeded(seed, "catch"))
    parts = {"real": ("real", real), "fake": ("fake", fake), CATCH: ("fake", noise.to(torch.uint8))}
    return [
        Item(f"{mark}-{name}-{index}", truth, pixels)
        for name, (truth, images) in parts.items()
        for index, pixels in enumerate(images)
    ]


@dataclass
class Survey:
    """Who was shown what and said what; `path` holds the answers."""

    items: Sequence[Item]
    path: Path
    seed: int
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.said = {(answer.rater, answer.item) for answer in read_answers(self.path)}

    def order(self, rater: str) -> list[Item]:
        """This rater's own order."""
        return [self.items[at] for at in torch.randperm(len(self.items), generator=seeded(self.seed, "order", rater))]

    def position(self, rater: str) -> int:
        """The first image that this rater has not answered; how many there are once all are."""
        order = self.order(rater)
        return next((at for at, item in enumerate(order) if (rater, item.name) not in self.said), len(order))

    def answer(self, rater: str, position: int, said: str, seconds: float) -> bool:
        """Keep one answer; False where it was given before, which then stands."""
        item = self.order(rater)[position]
        time = datetime.now(UTC).isoformat(timespec="seconds")
        with self.lock:
            if (rater, item.name) in self.said:
                return False
            append(Answer(rater, item.name, said, item.truth, round(seconds, 2), time), self.path)
            self.said.add((rater, item.name))
            return True


def app(survey: Survey, title: str) -> Flask:
    """The page and what it asks for. Requests for other names than this machine's are refused, and so are answers that
    are not JSON, which another site's page cannot send."""
    from flask import Flask, Response, abort, jsonify, render_template, request

    found = Flask(__name__, template_folder=str(Path(__file__).parent), static_folder=None)

    @found.before_request
    def of_this_machine() -> None:
        if request.host.partition(":")[0] not in ("127.0.0.1", "localhost"):
            abort(403)

    @found.get("/")
    def page() -> str:
        return render_template("rating.html", title=title)

    @found.get("/next")
    def following() -> Response:
        rater = legal(request.args.get("rater", ""))
        return jsonify(position=survey.position(rater), total=len(survey.items))

    @found.get("/image")
    def image() -> Response:
        order, at = survey.order(legal(request.args.get("rater", ""))), request.args.get("position", "")
        if not at.isdecimal() or int(at) >= len(order):
            abort(400)
        return Response(png(order[int(at)].pixels), mimetype="image/png", headers={"Cache-Control": "no-store"})

    @found.post("/answer")
    def answer() -> Response:
        told: Any = request.get_json()
        rater = legal(told.get("rater") if isinstance(told, dict) else None)
        at, said, seconds = told.get("position"), told.get("answer"), told.get("seconds")
        if type(at) is not int or not 0 <= at < len(survey.items) or said not in KINDS:
            abort(400)
        if not isinstance(seconds, int | float) or not 0 <= seconds < 86_400:
            abort(400)
        survey.answer(rater, at, said, seconds)
        return jsonify(position=survey.position(rater), total=len(survey.items))

    def legal(rater: Any) -> str:
        if not isinstance(rater, str) or not NAME.fullmatch(rater.strip()):
            abort(400)
        return rater.strip()

    return found


def png(pixels: Tensor) -> bytes:
    """Each pixel as a square, so that real and generated ones are enlarged alike."""
    from genlib.data.png import encoded

    return encoded(pixels, scale=max(1, -(-SIDE // max(pixels.shape[1:]))))


def serve(survey: Survey, title: str, port: int) -> None:
    """Serve until Ctrl-C.

    Raises:
        OSError: the port is taken.
    """
    import logging

    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", port, app(survey, title), threaded=True)
    print(f"{title}: http://127.0.0.1:{server.port} (Ctrl-C ends it)", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()
        raters = {rater for rater, _ in survey.said}
        print(f"\n{survey.path}: {len(survey.said)} answers of {len(raters)} raters")
