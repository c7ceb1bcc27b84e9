"""Parcels on their way, by number."""
from bottle import Bottle, run

app = Bottle()
PARCELS = {"7001": "at the depot", "7002": "on the van"}


@app.get("/parcels/<number>")
def parcel(number):
    return {"number": number, "where": PARCELS.get(number, "unknown")}


run(app, host="0.0.0.0", port=8070, quiet=True)
