"use strict";

const express = require("express");
const { createStore } = require("./lib/store");

const app = express();
const notes = createStore();

app.use(express.json());

app.get("/healthz", (req, res) => res.json({ status: "ok" }));

app.get("/notes", (req, res) => res.json(notes.all()));

app.post("/notes", (req, res) => {
  const text = req.body && req.body.text;
  if (typeof text !== "string" || text === "") {
    return res.status(400).json({ error: "text is missing" });
  }
  return res.status(201).json(notes.add(text));
});

const port = Number(process.env.PORT || 3000);
const server = app.listen(port, () => console.log(`listening on ${port}`));

process.on("SIGTERM", () => server.close());
