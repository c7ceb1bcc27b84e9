"""Serves the forecast, which is always the same here."""
import argparse

from bottle import Bottle, run

app = Bottle()


@app.get("/healthz")
def healthz():
    return "ok\n"


@app.get("/forecast/<place>")
def forecast(place):
    return {"place": place, "sky": "clear", "wind": len(place)}


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--port", type=int, default=8000)
    run(app, host="0.0.0.0", port=options.parse_args().port, quiet=True)
