"""A guest book: what was said last, and a health endpoint."""
import collections

import flask

app = flask.Flask(__name__)
entries = collections.deque(maxlen=100)


@app.get("/healthz")
def healthz():
    return {"status": "ok"}


@app.get("/")
def index():
    return flask.render_template("index.html", entries=entries)


@app.post("/")
def sign():
    text = flask.request.form.get("text", "").strip()
    if text:
        entries.appendleft(text)
    return flask.redirect("/")
