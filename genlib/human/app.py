"""A page on loopback that asks people what they see, one trial at a time, and keeps each answer as it is given.

What is shown to whom is a function of the seed and the rater's name: all trials, in an order of its own for each rater.
The page knows a position and pictures; which they are stays here.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from genlib.data.batches import seeded_generator
from genlib.human.answers import Answer, append_answer, read_answers
from genlib.human.questions import RatingItem
from genlib.human.staircase import staircase

if TYPE_CHECKING:
    from flask import Flask

MIN_SIDE = 256  # pixels that the larger side is shown at, at least
RATER_NAME = re.compile(r"[\w .-]{1,40}")


@dataclass(frozen=True)
class QuestionForm:
    """How the page asks: its title, what it says first, words for each picture that give nothing away, for each answer
    its label and the keys that give it, and whether the picture is seen for a moment only."""

    title: str
    instructions: str
    alt_texts: tuple[str, ...]
    answers: Mapping[str, tuple[str, tuple[str, ...]]]
    is_timed: bool = False


REAL_FAKE_KEYS = {"real": ("Real (R)", ("r",)), "fake": ("Fake (F)", ("f",))}
LEFT_RIGHT_KEYS = {
    "left": ("Left (\u2190 or 1)", ("ArrowLeft", "1")),
    "right": ("Right (\u2192 or 2)", ("ArrowRight", "2")),
}
QUESTION_FORMS = {
    "one": QuestionForm(
        "Real or fake?",
        "Images are shown one at a time. About half of them are real; the others were made by a model. Say which.",
        ("An image, real or made by a model",),
        REAL_FAKE_KEYS,
    ),
    "timed": QuestionForm(
        "Real or fake, at a glance?",
        "Each image is shown for a moment, and noise after it: the more often you are right, the shorter. About half "
        "of the images are real; the others were made by a model. Say which. The page flickers: leave it out if that "
        "harms you.",
        ("An image, real or made by a model",),
        REAL_FAKE_KEYS,
        is_timed=True,
    ),
    "two": QuestionForm(
        "Which one is real?",
        "Images are shown two by two. One of them is real; the other was made by a model. Say which is the real one.",
        ("The left image", "The right image"),
        LEFT_RIGHT_KEYS,
    ),
    "pair": QuestionForm(
        "The same picture?",
        "Images are shown two by two. Say whether they are the same picture, but for such small changes as two copies "
        "of it may have. Two pictures of the same thing are different pictures.",
        ("The left image", "The right image"),
        {"same": ("Same (S)", ("s",)), "different": ("Different (D)", ("d",))},
    ),
}


@dataclass
class Survey:
    """Who was shown what and said what; `path` holds the answers."""

    form: QuestionForm
    items: Sequence[RatingItem]
    path: Path
    seed: int
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.answers = {(answer.rater, answer.item): answer for answer in read_answers(self.path)}

    def order_items(self, rater: str) -> list[RatingItem]:
        """This rater's own order."""
        return [
            self.items[at]
            for at in torch.randperm(len(self.items), generator=seeded_generator(self.seed, "order", rater))
        ]

    def next_position(self, rater: str) -> int:
        """The first trial that this rater has not answered; how many there are once all are."""
        order = self.order_items(rater)
        return next((at for at, trial in enumerate(order) if (rater, trial.name) not in self.answers), len(order))

    def record_answer(self, rater: str, position: int, choice: str, seconds: float) -> bool:
        """Keep one answer; False where it was given before, which then stands."""
        trial = self.order_items(rater)[position]
        time = datetime.now(UTC).isoformat(timespec="seconds")
        with self.lock:
            if (rater, trial.name) in self.answers:
                return False
            answer = Answer(rater, trial.name, choice, trial.truth, round(seconds, 2), time)
            append_answer(answer, self.path)
            self.answers[rater, trial.name] = answer
            return True

    def next_exposure_ms(self, rater: str) -> int | None:
        """Milliseconds of this rater's next look, by all answers so far; None where a look may take any time."""
        if not self.form.is_timed:
            return None
        names = {trial.name for trial in self.items}
        with self.lock:
            told = [answer for (who, name), answer in self.answers.items() if who == rater and name in names]
        return staircase(answer.is_wrong for answer in told if not answer.is_catch)[-1]


def create_app(survey: Survey, model: str) -> Flask:
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
        return render_template("rating.html", form=survey.form, model=model)

    @found.get("/next")
    def following() -> Response:
        return state(check_rater_name(request.args.get("rater", "")))

    @found.get("/image")
    def image() -> Response:
        order = survey.order_items(check_rater_name(request.args.get("rater", "")))
        at, side = (request.args.get(name, "") for name in ("position", "side"))
        if not at.isdecimal() or int(at) >= len(order):
            abort(400)
        pictures = order[int(at)].images
        if not side.isdecimal() or int(side) >= len(pictures):
            abort(400)
        return Response(render_png(pictures[int(side)]), mimetype="image/png", headers={"Cache-Control": "no-store"})

    @found.post("/answer")
    def answer() -> Response:
        told: Any = request.get_json()
        rater = check_rater_name(told.get("rater") if isinstance(told, dict) else None)
        at, said, seconds = told.get("position"), told.get("answer"), told.get("seconds")
        if type(at) is not int or not 0 <= at < len(survey.items) or said not in list(survey.form.answers):
            abort(400)
        if not isinstance(seconds, int | float) or not 0 <= seconds < 86_400:
            abort(400)
        survey.record_answer(rater, at, said, seconds)
        return state(rater)

    def state(rater: str) -> Response:
        position, exposure = survey.next_position(rater), survey.next_exposure_ms(rater)
        return jsonify(position=position, total=len(survey.items), exposure=exposure)

    def check_rater_name(rater: Any) -> str:
        if not isinstance(rater, str) or not RATER_NAME.fullmatch(rater.strip()):
            abort(400)
        return rater.strip()

    return found


def render_png(pixels: Tensor) -> bytes:
    """Each pixel as a square, so that real and generated ones are enlarged alike."""
    from genlib.data.png import encode_png

    return encode_png(pixels, scale=max(1, -(-MIN_SIDE // max(pixels.shape[1:]))))


def serve(survey: Survey, model: str, port: int) -> None:
    """Serve until Ctrl-C.

    Raises:
        OSError: the port is taken.
    """
    import logging

    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", port, create_app(survey, model), threaded=True)
    print(f"{survey.form.title} {model}: http://127.0.0.1:{server.port} (Ctrl-C ends it)", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()
        raters = {rater for rater, _ in survey.answers}
        print(f"\n{survey.path}: {len(survey.answers)} answers of {len(raters)} raters")
