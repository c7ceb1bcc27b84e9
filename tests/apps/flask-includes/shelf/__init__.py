"""A shelf of books: what stands on it, and who wrote it."""
from flask import Flask, abort, jsonify, render_template

BOOKS = {
    1: {"title": "The Periodic Table", "author": "Primo Levi"},
    2: {"title": "The Rings of Saturn", "author": "W. G. Sebald"},
}


def create_app():
    app = Flask(__name__)

    @app.get("/")
    def index():
        return render_template("index.html", books=BOOKS)

    @app.get("/books/<int:number>")
    def book(number):
        if number not in BOOKS:
            abort(404)
        return jsonify(BOOKS[number])

    @app.get("/healthz")
    def healthz():
        return "ok\n"

    return app
