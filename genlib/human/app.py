"""A page on loopback that asks raters about images, one item at a time, and stores each answer as it is given.

Each rater gets all items in an order given by the seed and the rater's name. The page gets a position and images, not
their origin.
"""

import re
import secrets
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from genlib.data.random import seeded_generator
from genlib.errors import one_line
from genlib.human.answers import Answer, append_answer, read_answers
from genlib.human.questions import QuestionForm, RatingItem
from genlib.human.staircase import staircase

MIN_SIDE = 256  # pixels of the larger side of an image on the page, at least
MAX_SECONDS = 86_400
MAX_REQUEST_BYTES = 4096
RATER_NAME = re.compile(r"[\w .-]{1,40}")


@dataclass
class Survey:
    """The items, and the answers so far by rater and item; `path` holds the answers."""

    form: QuestionForm
    items: Sequence[RatingItem]
    path: Path
    seed: int
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.answers = {(answer.rater, answer.item): answer for answer in read_answers(self.path)}

    def order_items(self, rater: str) -> list[RatingItem]:
        order = torch.randperm(len(self.items), generator=seeded_generator(self.seed, "order", rater))
        return [self.items[i] for i in order]

    def next_position(self, rater: str) -> int:
        """The first item that this rater has not answered; the number of items once all are."""
        order = self.order_items(rater)
        return next((i for i, item in enumerate(order) if (rater, item.name) not in self.answers), len(order))

    def record_answer(self, rater: str, position: int, choice: str, seconds: float) -> None:
        """Store one answer, unless this rater has answered the item before."""
        item = self.order_items(rater)[position]
        time = datetime.now(UTC).isoformat(timespec="seconds")
        with self.lock:
            if (rater, item.name) not in self.answers:
                answer = Answer(rater, item.name, choice, item.truth, round(seconds, 2), time)
                append_answer(answer, self.path)
                self.answers[rater, item.name] = answer

    def next_exposure_ms(self, rater: str) -> int | None:
        """Milliseconds for which this rater sees the next image; None where there is no limit."""
        if not self.form.is_timed:
            return None
        names = {item.name for item in self.items}
        with self.lock:
            answers = [answer for (who, name), answer in self.answers.items() if who == rater and name in names]
        return staircase(answer.is_wrong for answer in answers if not answer.is_catch)[-1]


def create_app(survey: Survey, model: str) -> Any:
    """A Flask app."""
    from flask import Flask, Response, abort, jsonify, render_template, request

    from genlib.data.images import encode_png

    app = Flask(__name__, template_folder=str(Path(__file__).parent), static_folder=None)
    nonce = _refuse_strangers(app)

    @app.get("/")
    def page() -> str:
        return render_template("rating.html", form=survey.form, model=model, nonce=nonce)

    @app.get("/next")
    def next_item() -> Response:
        return state(check_rater_name(request.args.get("rater", "")))

    @app.get("/image")
    def image() -> Response:
        order = survey.order_items(check_rater_name(request.args.get("rater", "")))
        position, side = (request.args.get(name, -1, type=int) for name in ("position", "side"))
        if not 0 <= position < len(order) or not 0 <= side < len(order[position].images):
            abort(400)
        pixels = order[position].images[side]  # enlarged pixel by pixel, real and generated ones alike
        png = encode_png(pixels, scale=max(1, -(-MIN_SIDE // max(pixels.shape[1:]))))
        return Response(png, mimetype="image/png", headers={"Cache-Control": "no-store"})

    @app.post("/answer")
    def answer() -> Response:
        body: Any = request.get_json()
        rater = check_rater_name(body.get("rater") if isinstance(body, dict) else None)
        position, choice, seconds = body.get("position"), body.get("answer"), body.get("seconds")
        if type(position) is not int or not 0 <= position < len(survey.items):
            abort(400)
        is_duration = isinstance(seconds, int | float) and 0 <= seconds < MAX_SECONDS
        if choice not in list(survey.form.answers) or not is_duration:
            abort(400)
        survey.record_answer(rater, position, choice, seconds)
        return state(rater)

    def state(rater: str) -> Response:
        position, exposure = survey.next_position(rater), survey.next_exposure_ms(rater)
        return jsonify(position=position, total=len(survey.items), exposure=exposure)

    def check_rater_name(rater: Any) -> str:
        if not isinstance(rater, str) or not RATER_NAME.fullmatch(rater.strip()):
            abort(400)
        return rater.strip()

    @app.errorhandler(OSError)
    def say_unsaved(error: OSError) -> tuple[str, int]:
        line = f"{survey.path}: got an answer that cannot be saved ({one_line(error)}), expected a disk with room"
        print(f"genlib: {line}", file=sys.stderr)
        return line, 507

    return app


def _refuse_strangers(app: Any) -> str:
    """Refuse other hosts' names, answers that are not JSON, which no other site's page can send, or large, and frames;
    the nonce for script and style of the page."""
    from flask import Response, abort, request

    app.config["MAX_CONTENT_LENGTH"] = MAX_REQUEST_BYTES
    nonce = secrets.token_urlsafe()
    own = f"default-src 'none'; img-src 'self' data:; connect-src 'self'; style-src 'nonce-{nonce}'"
    policy = f"{own}; script-src 'nonce-{nonce}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    headers = {"Content-Security-Policy": policy, "X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff"}

    def refuse_other_hosts() -> None:
        if request.host.partition(":")[0] not in ("127.0.0.1", "localhost"):
            abort(403)

    def add_headers(response: Response) -> Response:
        response.headers.update(headers)
        return response

    app.before_request(refuse_other_hosts)
    app.after_request(add_headers)
    app.register_error_handler(RecursionError, lambda error: ("got JSON of too many levels", 400))
    return nonce


def serve(survey: Survey, model: str, port: int) -> None:
    """Serve until Ctrl-C. Raises OSError where the port is taken."""
    import logging

    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", port, create_app(survey, model), threaded=True)
    print(f"{survey.form.title} {model}: http://127.0.0.1:{server.port} (stop with Ctrl-C)", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()
        raters = {rater for rater, _ in survey.answers}
        print(f"\n{survey.path}: {len(survey.answers)} answers of {len(raters)} raters")
